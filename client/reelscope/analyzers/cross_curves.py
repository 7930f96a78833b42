"""Curves that are compared and summed up, on the clock of `timeline`, and the pairs that are compared.

Every curve is one thing that one analyzer measures. Three kinds of transformation, so that equal steps look or sound
equal: speeds and changes of the picture are logarithms (Weber's law), the level of the sound is loudness, which doubles
with 10 dB and is 0 in silence (Stevens 1957, doi:10.1037/h0046162), and events are their density.

The pairs were chosen before any clip was looked at; asking more of them would make every answer weaker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from reelscope.analyzers.audio_analysis import SILENCE_DBFS
from reelscope.analyzers.base import Series
from reelscope.analyzers.cross_kinds import Observed
from reelscope.analyzers.timeline import CELL_SECONDS, Curve, density, on_cells

EVENT_SIGMA_SECONDS = 0.2
"""Width of an event in a density: as finely as cuts, beats and words follow each other."""
MIN_SECONDS = 5.0
"""What curves have in common is not told of a shorter time."""
_DENSITY_DECIMALS = 3
"""Finer densities are tails of events far away; they would hide that nothing happens."""

Builder = Callable[[Observed], Curve]


def _column(analyzer: str, column: str) -> Builder:
    return lambda observed: on_cells(observed.findings[analyzer].series, column, observed.cells)


def _events(analyzer: str, label: str | None = None) -> Builder:
    """How densely segments begin; a clip's own start is no event."""

    def build(observed: Observed) -> Curve:
        found = observed.segments(analyzer, *([label] if label else []))
        return _density((segment.start_seconds for segment in found if segment.start_seconds > 0), observed)

    return build


def _density(times_seconds: Iterable[float], observed: Observed) -> Curve:
    return density(times_seconds, observed.cells, EVENT_SIGMA_SECONDS).round(_DENSITY_DECIMALS)


def _motion(observed: Observed) -> Curve:
    """Mean change of luma from frame to frame within shots: what the cuts change is no motion."""
    shots = observed.shots
    changes = np.log1p(shots.luma_change)
    changes[[shot.frame_in for shot in shots.shots]] = np.nan
    return _sampled(shots.times_seconds, changes, observed)


def _sampled(times_seconds: Curve, values: Curve, observed: Observed) -> Curve:
    known = ~np.isnan(values)
    columns = {"t": tuple(times_seconds[known].tolist()), "values": tuple(values[known].tolist())}
    return on_cells(Series(columns=columns), "values", observed.cells)


def _camera_speed(observed: Observed) -> Curve:
    pan, tilt = (_column("camera_analysis", name)(observed) for name in ("pan_pct_w_s", "tilt_pct_h_s"))
    return np.log1p(np.hypot(pan, tilt))


def _loudness(observed: Observed) -> Curve:
    """No level is digital silence: wherever there is sound at all, it was measured."""
    series = observed.findings["audio_analysis"].series
    levels = tuple(SILENCE_DBFS if level is None else level for level in series.columns.get("rms_dbfs", ()))
    heard = Series(hop_seconds=series.hop_seconds, columns={"level": levels})
    curve = on_cells(heard, "level", observed.cells)
    return np.where(curve > SILENCE_DBFS, 2 ** (curve / 10), 0 * curve)


def _speech(observed: Observed) -> Curve:
    assert observed.activity is not None
    values = tuple(observed.activity.probabilities.tolist())
    series = Series(hop_seconds=observed.activity.hop_seconds, columns={"speech": values})
    return on_cells(series, "speech", observed.cells)


def _text_amount(observed: Observed) -> Curve:
    """Characters that can be read."""
    centers = (np.arange(observed.cells) + 0.5) * CELL_SECONDS
    shown = np.zeros(observed.cells)
    for line in observed.segments("text_overlay"):
        shown[(centers >= line.start_seconds) & (centers < line.end_seconds)] += len(line.data.text)
    return shown


def _voice_arousal(observed: Observed) -> Curve:
    """Constant over every piece of speech."""
    centers = (np.arange(observed.cells) + 0.5) * CELL_SECONDS
    curve = np.full(observed.cells, np.nan)
    for piece in observed.segments("speech_emotion"):
        if piece.data.arousal is not None:
            curve[(centers >= piece.start_seconds) & (centers < piece.end_seconds)] = piece.data.arousal
    return curve


CURVES: dict[str, tuple[str, Builder]] = {
    "motion": ("shots", _motion),
    "camera_speed": ("camera_analysis", _camera_speed),
    "cut_density": ("cut_analysis", _events("cut_analysis", "shot")),
    "brightness": ("color_analysis", _column("color_analysis", "L_mean")),
    "body_energy": ("body_pose", _column("body_pose", "energy")),
    "smile": ("face_emotion", _column("face_emotion", "happy")),
    "face_arousal": ("face_emotion", _column("face_emotion", "arousal")),
    "eye_contact": ("eye_tracking", _column("eye_tracking", "contact")),
    "loudness": ("audio_analysis", _loudness),
    "onset_density": ("audio_analysis", _events("audio_analysis", "onset")),
    "sound_centroid": ("audio_analysis", _column("audio_analysis", "centroid_hz")),
    "speech": ("speech_activity", _speech),
    "voice_arousal": ("speech_emotion", _voice_arousal),
    "text_onset_density": ("text_overlay", _events("text_overlay")),
    "text_amount": ("text_overlay", _text_amount),
}
"""By name: the analyzer or signal without which there is no such curve, and how it is made."""

PAIRS = (
    ("motion", "loudness"),
    ("camera_speed", "loudness"),
    ("cut_density", "loudness"),
    ("brightness", "loudness"),
    ("body_energy", "loudness"),
    ("smile", "loudness"),
    ("motion", "onset_density"),
    ("cut_density", "onset_density"),
    ("body_energy", "onset_density"),
    ("brightness", "sound_centroid"),
    ("motion", "speech"),
    ("eye_contact", "speech"),
    ("text_amount", "speech"),
    ("text_onset_density", "cut_density"),
    ("face_arousal", "voice_arousal"),
)
"""What is compared. The first ten but those of body and face, and the three of text and of motion and speech, need no
trained weights beyond those that come in packages."""

ACTIVITY: dict[str, dict[str, str]] = {
    "seen": {
        "motion": "motion",
        "camera_speed": "camera movement",
        "cut_density": "cuts",
        "body_energy": "body movement",
        "smile": "smiles",
        "face_arousal": "facial excitement",
    },
    "heard": {"loudness": "loudness", "onset_density": "onsets of sound", "voice_arousal": "vocal excitement"},
    "written": {"text_onset_density": "new text"},
}
"""Curves whose height means that more happens, by modality, and what people call them."""


def curves(observed: Observed) -> Mapping[str, Curve]:
    """Every curve whose analyzer or signal is there."""
    present = {"shots", *observed.findings}
    if observed.activity is not None:
        present.add("speech_activity")
    return {name: build(observed) for name, (source, build) in CURVES.items() if source in present}
