"""Triton over gRPC: the only package that imports tritonclient.

translation   Triton's and gRPC's errors as ours, in one place
repository    control calls: load, ready, config, index
memory        windows of frames, in shared memory or not
client        inference calls
"""

from reelscope.inference.client import InferenceClient, PendingAnswer
from reelscope.inference.repository import IndexRow, RepositoryClient

__all__ = ["IndexRow", "InferenceClient", "PendingAnswer", "RepositoryClient"]
