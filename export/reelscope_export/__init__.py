"""Weights to model repository: export, verification and placement of every model."""
