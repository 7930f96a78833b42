"""What analyzers read: typed, timed arrays, each computed once per clip and shared.

A signal comes from a Triton ensemble or from CPU code (`sources`), knows which models answered for it, and holds no
pixels. Times are seconds from the first displayed PTS, intervals half-open, boxes 0-1 of the displayed frame.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reelscope.types import ModelProvenance

Parameter = float | int | str
TransitionKind = Literal["hard", "dissolve", "fade", "wipe", "flash", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """Base of all signals."""

    sampling: str
    """Frames or samples read: FULL (every frame), F10, F5, F2.5, A48, A22, A16."""
    sample_count: int
    """How many of them, >= 0."""
    sampling_fps: float | None = None
    """Frames per second that this is at the profile's rate; None for every frame and for sound."""
    models: tuple[ModelProvenance, ...] = ()
    """Models that answered; empty for CPU sources."""

    @classmethod
    def signal_name(cls) -> str:
        """Name in results: object_tracks for ObjectTracks."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    @property
    def untrained_models(self) -> tuple[str, ...]:
        """Names of the models with random weights; a signal that has one is evidence for nothing."""
        return tuple(sorted({model.name for model in self.models if not model.trained}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """How one shot becomes the next."""

    kind: TransitionKind
    """dissolve and wipe need a network and are never claimed without one: unknown stands for them."""
    length_seconds: float
    """0 for a hard cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """An uninterrupted run of frames from one camera; not a scene."""

    id: str
    """Unique within the clip: shot-1, shot-2, ..."""
    start_seconds: float
    end_seconds: float
    frame_in: int
    """Index of the first frame."""
    frame_out: int
    """Index of the first frame after it."""
    transition_in: Transition | None
    """How it begins; null for the clip's first shot."""
    score: float | None
    """Dissimilarity across its first boundary: 1 minus the HSV-histogram correlation, 0-1; null for the first shot."""

    def holds(self, times_seconds: NDArray[np.float64]) -> NDArray[np.bool_]:
        """[n] which of the sampled instants [n] show this shot."""
        # 0.5 ms: as the sampling rounds, so that a frame shown at an instant counts for its own shot.
        times = times_seconds + 0.0005
        return (times >= self.start_seconds) & (times < self.end_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flash:
    """A short burst after which the picture is as before: an effect, not a cut."""

    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Shots(Signal):
    """The clip cut into shots, and what looked like a cut but was a flash."""

    shots: tuple[Shot, ...]
    """Sorted; they partition [0, duration]. At least one."""
    flashes: tuple[Flash, ...]
    """Sorted."""
    times_seconds: NDArray[np.float64]
    """[n] time of every frame."""
    luma_change: NDArray[np.float64]
    """[n] mean absolute luma difference to the frame before, 0-255; 0 for the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameColors(Signal):
    """Colours of sampled frames; n samples, m colour bins of all samples together."""

    times_seconds: NDArray[np.float64]
    """[n] sorted."""
    is_on_grid: NDArray[np.bool_]
    """[n] True for the regular samples, False for extra ones at abrupt changes (so that no shot is left without)."""
    mean_lab: NDArray[np.float64]
    """[n, 3] CIELAB (D65): L* 0-100, a*, b*."""
    mean_xyz: NDArray[np.float64]
    """[n, 3] CIE 1931 XYZ (D65), Y 0-1."""
    saturation: NDArray[np.float64]
    """[n] mean HSV saturation, 0-1."""
    colorfulness: NDArray[np.float64]
    """[n] Hasler-Suesstrunk M, >= 0."""
    bin_sample: NDArray[np.int64]
    """[m] sample that the bin belongs to."""
    bin_lab: NDArray[np.float64]
    """[m, 3] mean CIELAB of the bin's pixels."""
    bin_share: NDArray[np.float64]
    """[m] share of its frame, 0-1; sums to 1 per sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointFlow(Signal):
    """Points followed from frame to frame, to which the camera's motion is fitted; p pairs of frames, m points in all.

    Pairs do not overlap and are at least 1/30 s apart, but for the last before a cut or the end. A frame that repeats
    the picture before it is passed over, so that motion over a pair's time is speed; one that stands still for longer
    is paired with itself. The source knows no shots: pairs may cross their boundaries.
    """

    width_px: int
    """Width of the small track, in whose pixels the points are told."""
    height_px: int
    """Height of the small track."""
    start_seconds: NDArray[np.float64]
    """[p] time of the pair's first frame, sorted."""
    end_seconds: NDArray[np.float64]
    """[p] time of its second frame."""
    offsets: NDArray[np.int64]
    """[p + 1] rows offsets[k]:offsets[k + 1] of `points` belong to pair k; none where there was nothing to follow."""
    points: NDArray[np.int16]
    """[m, 4] x and y in the first frame, x and y in the second, in 1/64 px (POINT_STEPS_PER_PX)."""


POINT_STEPS_PER_PX = 64
"""Resolution of `PointFlow.points`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameQuality(Signal):
    """Technical quality of sampled frames, measured on luma at the size in which they were coded; n samples."""

    times_seconds: NDArray[np.float64]
    """[n] sorted."""
    laplacian_variance: NDArray[np.float64]
    """[n] sharpness: variance of the Laplacian at long side 640, >= 0; NaN where the frame is too small."""
    noise_sigma: NDArray[np.float64]
    """[n] standard deviation of noise (Immerkaer 1996), grey levels 0-255; NaN where the frame is too small."""
    blockiness: NDArray[np.float64]
    """[n] luma steps on the 8-px coding grid over those off it, >= 1, 1 for none; NaN where it cannot be measured."""
    clipped_high: NDArray[np.float64]
    """[n] share of the picture with luma >= 253, 0-1."""
    clipped_low: NDArray[np.float64]
    """[n] share of the picture with luma <= 2, 0-1."""
    rms_contrast: NDArray[np.float64]
    """[n] standard deviation of luma over 255, 0-0.5; NaN for a single pixel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameEmbeddings(Signal):
    """CLIP's view of sampled frames; n samples, L labels."""

    times_seconds: NDArray[np.float64]
    """[n] sorted."""
    embeddings: NDArray[np.float32]
    """[n, 512] unit length."""
    label_probabilities: NDArray[np.float32]
    """[n, L] 0-1; sums to 1 within each group of labels."""
    labels: tuple[str, ...]
    """L labels as "group/label"; those of one group follow each other."""

    def probability(self, label: str) -> NDArray[np.float32]:
        """[n] probability of one label within its group.

        Raises:
            ValueError: no such label.
        """
        return np.asarray(self.label_probabilities[:, self.labels.index(label)])

    def group(self, name: str) -> tuple[tuple[str, ...], NDArray[np.float32]]:
        """The labels of one group without its name, and their probabilities [n, labels]."""
        rows = [k for k, label in enumerate(self.labels) if label.startswith(f"{name}/")]
        return tuple(self.labels[k].removeprefix(f"{name}/") for k in rows), self.label_probabilities[:, rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One object or person followed over time; results list them once, for all analyzers."""

    id: str
    """Unique within the clip: object-1, object-2, ..."""
    label: str
    """Class with the largest summed score of its boxes."""
    start_seconds: float
    end_seconds: float
    """One sampling step after its last sampled frame, at most the clip's end."""
    trained: bool
    """False when the detector has random weights: the track means nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectTracks(Signal):
    """Detected objects, linked over time; n frames sampled, m detections in all of them."""

    times_seconds: NDArray[np.float64]
    """[n] sorted."""
    height_over_width: float
    """Shape of the displayed frame, so that speeds can be told in widths."""
    frame: NDArray[np.int64]
    """[m] index into times_seconds, sorted."""
    boxes_xyxy: NDArray[np.float64]
    """[m, 4] 0-1."""
    scores: NDArray[np.float64]
    """[m] class probability, 0-1."""
    class_ids: NDArray[np.int64]
    """[m] index into labels."""
    track_ids: NDArray[np.int64]
    """[m] >= 0, unique per object within the clip; -1 for a detection that joined no track."""
    labels: tuple[str, ...]
    """Class names."""
    duration_seconds: float
    """Duration of the clip."""

    @property
    def step_seconds(self) -> float:
        """Time that one sampled frame stands for."""
        assert self.sampling_fps is not None
        return 1 / self.sampling_fps

    def tracks(self) -> tuple[tuple[Track, NDArray[np.intp]], ...]:
        """Every track with its rows (in time order), sorted by first appearance."""
        found = []
        for track_id in np.unique(self.track_ids[self.track_ids >= 0]):
            rows = np.flatnonzero(self.track_ids == track_id)
            votes = np.bincount(self.class_ids[rows], weights=self.scores[rows])
            times = self.times_seconds[self.frame[rows]]
            track = Track(
                id=f"object-{track_id + 1}",
                label=self.labels[int(votes.argmax())],
                start_seconds=float(times[0]),
                end_seconds=min(float(times[-1]) + self.step_seconds, self.duration_seconds),
                trained=not self.untrained_models,
            )
            found.append((track, rows))
        return tuple(sorted(found, key=lambda item: (item[0].start_seconds, item[1][0])))
