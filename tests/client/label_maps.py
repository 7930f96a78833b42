"""Label maps of simple places, with as many labels as ADE20K has."""

from __future__ import annotations

import numpy as np

LABELS = ("wall", "building", "sky", "floor", "tree", "grass", "person", *(f"thing-{k}" for k in range(143)))
WALL, BUILDING, SKY, FLOOR, TREE, GRASS, PERSON = range(7)
WHOLE = slice(0, 128)


def room(person: float = 0.0, center=(64, 64)) -> np.ndarray:
    """Label map of a wall over a floor, with a square person whose side is `person` of the map."""
    label_map = np.full((128, 128), WALL, np.uint8)
    label_map[96:] = FLOOR
    half = round(64 * person)
    label_map[center[0] - half : center[0] + half, center[1] - half : center[1] + half] = PERSON
    return label_map


def park(person: float = 0.0) -> np.ndarray:
    """The same with a tree for the wall and grass for the floor."""
    label_map = room(person)
    return np.where(label_map == WALL, TREE, np.where(label_map == FLOOR, GRASS, label_map)).astype(np.uint8)


def areas(cells: np.ndarray) -> np.ndarray:
    """[150] share of every label."""
    return np.bincount(cells.ravel(), minlength=150) / cells.size
