"""Analytic skeletons: people whose every joint angle is known, as pose signals and as person tracks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from feeding import PROVENANCE

from reelscope.signals import KEYPOINTS, ObjectTracks, Poses

HEIGHT_OVER_WIDTH = 1280 / 720
TORSO = 0.2
"""Torso length, in frame widths."""
K = {name: number for number, name in enumerate(KEYPOINTS)}

STANDING = {"torso": 180.0, "thigh": 0.0, "shin": 0.0, "upper_arm": 0.0, "forearm": 0.0}
LENGTHS = {"torso": 1.0, "thigh": 0.85, "shin": 0.85, "upper_arm": 0.65, "forearm": 0.5, "neck": 0.4}
"""In torso lengths."""


def skeleton(
    hips: Sequence[float] = (0.5, 0.9), size: float = TORSO, confidence: float = 0.9, **directions: float
) -> np.ndarray:
    """Keypoints [17, 3] of a person who faces the camera.

    Args:
        hips: middle of the hips, in frame widths.
        size: torso length, in frame widths.
        confidence: of every keypoint.
        directions: of torso, thigh, shin, upper_arm, forearm, or of one side's, as left_forearm, in degrees: 0 hangs
            down, 90 points to the image's right, 180 up, -90 to its left; as in STANDING where nothing is said.
    """

    def limb(name: str, side: str = "") -> np.ndarray:
        degrees = directions.get(f"{side}_{name}", directions.get(name, STANDING[name]))
        return LENGTHS[name] * np.array([np.sin(np.radians(degrees)), np.cos(np.radians(degrees))])

    points = np.zeros((17, 2))
    up = limb("torso")
    across = np.array([-up[1], up[0]])  # to the person's left: the image's right, when he stands
    for side, sign in (("left", 1), ("right", -1)):
        hip, shoulder = sign * 0.3 * across, up + sign * 0.3 * across
        elbow, knee = shoulder + limb("upper_arm", side), hip + limb("thigh", side)
        points[K[f"{side}_hip"]], points[K[f"{side}_shoulder"]] = hip, shoulder
        points[K[f"{side}_elbow"]], points[K[f"{side}_wrist"]] = elbow, elbow + limb("forearm", side)
        points[K[f"{side}_knee"]], points[K[f"{side}_ankle"]] = knee, knee + limb("shin", side)
        points[K[f"{side}_eye"]] = up * (1 + LENGTHS["neck"]) + sign * 0.08 * across + 0.05 * up
        points[K[f"{side}_ear"]] = up * (1 + LENGTHS["neck"]) + sign * 0.16 * across
    points[K["nose"]] = up * (1 + LENGTHS["neck"])
    placed = np.asarray(hips) + size * points
    return np.column_stack([placed / (1, HEIGHT_OVER_WIDTH), np.full(17, confidence)])


def box(keypoints: np.ndarray) -> np.ndarray:
    """Box around keypoints [17, 3], as a detector would draw it."""
    low, high = keypoints[:, :2].min(0), keypoints[:, :2].max(0)
    return np.concatenate([low - 0.02, high + 0.02])


def poses(frames: Sequence[Sequence[np.ndarray]], rate: float = 10, trained: bool = True) -> Poses:
    """Signal of frames, each with the keypoints [17, 3] of everybody in it."""
    people = [keypoints for frame in frames for keypoints in frame]
    return Poses(
        sampling="F10",
        sampling_fps=float(rate),
        sample_count=len(frames),
        models=(replace(PROVENANCE, name="pose_yolov8", ensemble="poses", trained=trained),),
        times_seconds=np.arange(len(frames)) / rate,
        height_over_width=HEIGHT_OVER_WIDTH,
        frame=np.repeat(np.arange(len(frames)), [len(frame) for frame in frames]),
        boxes_xyxy=np.array([box(keypoints) for keypoints in people]).reshape(-1, 4),
        scores=np.full(len(people), 0.8),
        keypoints=np.array(people).reshape(-1, 17, 3),
        duration_seconds=len(frames) / rate,
    )


def tracks(
    boxes: Sequence[Mapping[int, np.ndarray]], rate: float = 10, labels: Mapping[int, str] | None = None
) -> ObjectTracks:
    """Signal of frames, each with boxes by track number; tracks are people unless `labels` names them."""
    names = ("person", *sorted(set((labels or {}).values()) - {"person"}))
    rows = [(frame, track, xyxy) for frame, found in enumerate(boxes) for track, xyxy in found.items()]
    return ObjectTracks(
        sampling="F10",
        sampling_fps=float(rate),
        sample_count=len(boxes),
        models=(replace(PROVENANCE, name="object_yolov8", ensemble="detections"),),
        times_seconds=np.arange(len(boxes)) / rate,
        height_over_width=HEIGHT_OVER_WIDTH,
        frame=np.array([frame for frame, _, _ in rows], np.int64),
        boxes_xyxy=np.array([xyxy for _, _, xyxy in rows], float).reshape(-1, 4),
        scores=np.full(len(rows), 0.9),
        class_ids=np.array([names.index((labels or {}).get(track, "person")) for _, track, _ in rows], np.int64),
        track_ids=np.array([track for _, track, _ in rows], np.int64),
        labels=names,
        duration_seconds=len(boxes) / rate,
    )
