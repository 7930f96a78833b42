"""Cross-analyzer intelligence: what coincides, what contradicts, and when most happens at once.

It reads what all other analyzers found, and looks at nothing again. Correlations (`cross_correlations`, of the pairs in
`cross_curves`), cuts on beats (`cross_synchrony`), contradictions (`cross_conflicts`) and key moments (`cross_moments`)
say what occurs together. None of them says why: no curve here was ever moved on purpose to see whether another follows.

Conventions: segments are key_moment, conflict and sync; score and strength are the same, 0-1. Evidence are ids of other
analyzers' segments. An analyzer that was skipped, failed or read an untrained model is named in missing_inputs, and
what it would have told is left out; nothing is put in its place.
"""

from __future__ import annotations

from dataclasses import dataclass

from reelscope.analyzers import cross_conflicts, cross_correlations, cross_curves, cross_moments, cross_synchrony
from reelscope.analyzers.base import Analyzer, Finding, Findings, Labels
from reelscope.analyzers.cross_correlations import MAX_FALSE_DISCOVERY_RATE, Correlation, UntestedPair
from reelscope.analyzers.cross_kinds import CrossData, Observed
from reelscope.signals import Faces, Parameter, Shots, SpeechActivity

CONSULTED = (
    "qwen2_vl_temporal",
    "object_detection",
    "text_overlay",
    "background_segmentation",
    "body_pose",
    "age_estimation",
    "content_quality",
    "color_analysis",
    "camera_analysis",
    "cut_analysis",
    "scene_segmentation",
    "eye_tracking",
    "audio_analysis",
    "audio_environment",
    "speech_emotion",
    "speech_flow",
    "speech_transcription",
    "speech_rate",
    "face_emotion",
    "visual_effects",
    "product_detection",
    "composition_analysis",
    "temporal_flow",
)

PARAMETERS: dict[str, Parameter] = {
    "correlation_pairs": " ".join("~".join(pair) for pair in cross_curves.PAIRS),
    "correlation_max_lag_seconds": cross_correlations.MAX_LAG_SECONDS,
    "correlation_min_seconds": cross_curves.MIN_SECONDS,
    "correlation_min_n": cross_correlations.MIN_INDEPENDENT,
    "correlation_surrogates": cross_correlations.SURROGATE_COUNT,
    "false_discovery_rate": MAX_FALSE_DISCOVERY_RATE,
    "event_sigma_seconds": cross_curves.EVENT_SIGMA_SECONDS,
    "sync_seconds": cross_synchrony.SYNC_SECONDS,
    "moment_min_peak": cross_moments.MIN_PEAK,
    "moment_min_gap_seconds": cross_moments.MIN_GAP_SECONDS,
    "moments_max": cross_moments.MAX_MOMENTS,
    "conflict_min_likeness": cross_conflicts.MIN_LIKENESS,
    "conflict_negative_valence": cross_conflicts.NEGATIVE_VALENCE,
    "conflict_positive_valence": cross_conflicts.POSITIVE_VALENCE,
    "conflict_min_speech_seconds": cross_conflicts.MIN_SPEECH_SECONDS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossSummary:
    """What analyzers have in common. All of it is about what occurs together, none of it about why."""

    correlations: tuple[Correlation, ...] | None
    """Every pair of curves that was tested; those with q <= 0.05 are significant. Null where none could be, as in under
    5 s."""
    untested_pairs: tuple[UntestedPair, ...]
    """The other pairs of the list, and why they were not."""
    cut_beat_sync: float | None
    """Share of the cuts within 70 ms of a beat, 0-1; null without cuts or beats."""
    cut_beat_chance: float | None
    """The share expected of cuts placed anywhere, 0-1."""
    cut_beat_p: float | None
    """Probability that as many of such cuts are on beats, 0-1."""
    modality_agreement: float | None
    """How much what is seen, heard and written peaks together: mean correlation of the modalities' curves, 0-1, and 0
    where they oppose each other; curves that have nothing in common reach some 0.2 by accident in 10 s. Null where
    fewer than two of them change, and in under 5 s."""
    missing_inputs: tuple[str, ...]
    """Signals and analyzers that were absent or untrained, and so told nothing."""


def analyze(
    shots: Shots, activity: SpeechActivity | None, faces: Faces | None, findings: Findings
) -> Finding[CrossData, CrossSummary]:
    """Put everything that was found side by side."""
    observed = Observed(shots=shots, activity=activity, faces=faces, findings=findings)
    curves = cross_curves.curves(observed)
    correlations, untested = cross_correlations.correlate(curves, cross_curves.PAIRS)
    synchrony = cross_synchrony.cuts_on_beats(observed)
    happening = cross_moments.activity(curves)
    signals = ((SpeechActivity, activity), (Faces, faces))
    return Finding(
        segments=(
            *cross_moments.key_moments(happening, observed),
            *cross_conflicts.conflicts(observed),
            *(synchrony.segments if synchrony else ()),
        ),
        summary=CrossSummary(
            correlations=correlations or None,
            untested_pairs=untested,
            cut_beat_sync=synchrony.ratio if synchrony else None,
            cut_beat_chance=synchrony.chance if synchrony else None,
            cut_beat_p=synchrony.p if synchrony else None,
            modality_agreement=cross_moments.agreement(happening),
            missing_inputs=(
                *(kind.signal_name() for kind, signal in signals if signal is None),
                *(name for name in CONSULTED if name not in findings),
            ),
        ),
    )


def headline(summary: CrossSummary) -> str:
    """Say it in a few words."""
    parts = []
    if summary.correlations:
        alike = [f"{each.a}~{each.b}" for each in summary.correlations if each.q <= MAX_FALSE_DISCOVERY_RATE]
        parts.append(f"{len(alike)} of {len(summary.correlations)} pairs correlate" + ": " * bool(alike))
        parts[-1] += ", ".join(name.replace("_", " ") for name in alike)
    if summary.cut_beat_sync is not None and summary.cut_beat_chance is not None:
        parts.append(f"{summary.cut_beat_sync:.0%} of cuts on a beat ({summary.cut_beat_chance:.0%} by chance)")
    if summary.modality_agreement is not None:
        parts.append(f"modalities agree {summary.modality_agreement:.2f}")
    return ", ".join(parts) or "too little to compare"


ANALYZER = Analyzer(
    name="cross_analyzer_intelligence",
    version="2",
    title="what coincides, what contradicts, and when most happens at once",
    requires=(Shots,),
    uses=(SpeechActivity, Faces),
    consults=CONSULTED,
    data=CrossData,
    summary=CrossSummary,
    labels=(
        Labels(
            names=("key_moment",),
            meaning="most happens at once; as far as half of the peak reaches",
            score="mean deviation of what is seen, heard and written, over the largest that counts",
        ),
        Labels(names=("conflict",), meaning="two findings contradict each other", score="as the rule in `rule` has it"),
        Labels(
            names=("sync",),
            kind="event",
            meaning="a cut within 70 ms of a beat",
            score="1 on the beat, 0 at the tolerance's edge",
        ),
    ),
    headline=headline,
    analyze=analyze,
    parameters=PARAMETERS,
)
