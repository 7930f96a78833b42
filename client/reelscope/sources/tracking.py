"""ByteTrack for one clip: boxes in, a track id for each out.

Zhang et al. (2022), ByteTrack: multi-object tracking by associating every detection box; implementation: `trackers`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reelscope.signals import Parameter

MIN_SCORE = 0.25
"""A box from this score on may start a track (ultralytics' default, too)."""
MIN_MATCH_IOU = 0.1
LONE_MIN_SCORE = 0.5
"""A box that joined no track is a track of its own from this score on: something seen in one sampled frame only."""
LOST_SECONDS = 1.0
"""How long a track without boxes is kept for re-association."""

PARAMETERS: dict[str, Parameter] = {
    "track_min_score": MIN_SCORE,
    "track_min_iou": MIN_MATCH_IOU,
    "track_lost_seconds": LOST_SECONDS,
    "track_lone_min_score": LONE_MIN_SCORE,
}


class Tracker:
    """Feed it every sampled frame in time order, empty ones too; then read `track_ids`."""

    def __init__(self, frame_rate_fps: float) -> None:
        """Prepare for frames that come about `frame_rate_fps` times a second; the true times go to `update`."""
        # Imported here: the two take seconds, which pass beside the decoder and only when something is tracked.
        import supervision
        from trackers import ByteTrackTracker

        self._supervision = supervision
        self._tracker = ByteTrackTracker(
            lost_track_buffer=round(30 * LOST_SECONDS),  # the library counts in frames of 1/30 s
            frame_rate=frame_rate_fps,
            track_activation_threshold=MIN_SCORE,
            high_conf_det_threshold=MIN_SCORE,
            minimum_consecutive_frames=1,
            minimum_iou_threshold=MIN_MATCH_IOU,
        )
        self._ids: list[NDArray[np.int64]] = []
        self._boxes: list[NDArray[np.float64]] = []
        self._scores: list[NDArray[np.float64]] = []
        self._known: set[int] = set()

    def update(self, boxes_xyxy: NDArray[np.float64], scores: NDArray[np.float64], time_seconds: float) -> None:
        """Link the boxes of the next frame: boxes_xyxy [n, 4] in pixels, scores [n] 0-1."""
        detections = self._supervision.Detections(
            xyxy=boxes_xyxy.reshape(-1, 4), confidence=scores, data={"row": np.arange(len(scores))}
        )
        linked = self._tracker.update(detections, timestamp=time_seconds)
        ids = np.full(len(scores), -1, np.int64)
        if len(linked):
            ids[np.asarray(linked.data["row"])] = np.asarray(linked.tracker_id)
        self._name_births(ids, boxes_xyxy)
        self._ids.append(ids)
        self._boxes.append(boxes_xyxy)
        self._scores.append(scores)

    def track_ids(self) -> NDArray[np.int64]:
        """Ids of all boxes fed so far, in order: >= 0, or -1 for a weak box that joined no track."""
        ids = np.concatenate([np.empty(0, np.int64), *self._ids])
        lone = (ids < 0) & (np.concatenate([np.empty(0), *self._scores]) >= LONE_MIN_SCORE)
        ids[lone] = ids.max(initial=-1) + 1 + np.arange(lone.sum())
        return ids

    def latest_ids(self, frame_count: int) -> NDArray[np.int64]:
        """Ids of the boxes of the last frames, as far as they are known by now: >= 0, or -1."""
        return np.concatenate([np.empty(0, np.int64), *self._ids[-frame_count:]])

    def _name_births(self, ids: NDArray[np.int64], boxes: NDArray[np.float64]) -> None:
        """The library names a track at its second box: give the first one, in the frame before, the same name."""
        for row in np.flatnonzero(ids >= 0):
            track = int(ids[row])
            if track in self._known:
                continue
            self._known.add(track)
            unnamed = np.flatnonzero(self._ids[-1] < 0)
            if unnamed.size:
                overlaps = self._supervision.box_iou_batch(boxes[row][None], self._boxes[-1][unnamed])[0]
                if overlaps.max() >= MIN_MATCH_IOU:
                    self._ids[-1][unnamed[overlaps.argmax()]] = track
