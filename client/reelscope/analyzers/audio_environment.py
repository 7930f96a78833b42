"""Audio environment: what there is to hear, and how clean speech stands in it.

Conventions: two kinds of window tell what is heard: long ones (10.24 s every 5 s) what there is, short ones (2.56 s
every second) when, coarsely; each window speaks for the time nearest to its middle. One span per tag and stretch in
which it scores at least `tag_min_score`; where short windows find a tag, the long ones' span of the same time is left
out. A score is the highest probability in the stretch; tags do not exclude each other. Clips of which only the model of
tags is missing or untrained still get their levels: tags are null then.

Signal-to-noise ratio by power within the shared mask of speech and outside it (`speech_levels`), reverberation time
from what sounds on after speech (`reverberation`), unless music plays there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reelscope.analyzers import reverberation, speech_levels
from reelscope.analyzers.base import Analyzer, Finding, Labels, Segment, Series
from reelscope.analyzers.reverberation import Span
from reelscope.analyzers.sound_labels import SOUND_LABELS, SoundGroup
from reelscope.analyzers.windows import cells
from reelscope.runs import runs
from reelscope.signals import Parameter, SoundTags, SpeechActivity, VoiceAcoustics

MIN_SCORE = 0.3
TOP_TAGS = 5
FLOOR_PERCENTILE = 10.0
"""Of the background's power: what is there all the time."""
MAX_POINTS = 3000

PARAMETERS: dict[str, Parameter] = {
    "tag_min_score": MIN_SCORE,
    "noise_floor_percentile": FLOOR_PERCENTILE,
    **speech_levels.PARAMETERS,
    **reverberation.PARAMETERS,
}

GROUPS: tuple[SoundGroup, ...] = ("speech", "music", "nature", "urban", "animal", "home", "effects", "silence")
_MUSIC = next(index for index, label in enumerate(SOUND_LABELS) if label.name == "Music")


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundData:
    """One sound that is heard for a while."""

    tag: str
    """AudioSet's name of it."""
    mid: str
    """Its id in AudioSet's ontology."""
    group: SoundGroup
    """speech, music, nature, urban, animal, home, effects or silence."""
    timing: Literal["coarse", "presence"]
    """coarse: by windows of 2.56 s, good to about a second; presence: somewhere in this time, by windows of 10.24 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopTag:
    """One of the sounds that mark the clip."""

    tag: str
    """AudioSet's name of it."""
    mid: str
    """Its id in AudioSet's ontology."""
    group: SoundGroup
    """Its group."""
    probability: float
    """Mean over the long windows, 0-1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSummary:
    """The sound of the place."""

    top_tags: tuple[TopTag, ...] | None
    """The five likeliest tags of the clip; null when the model of tags is missing or untrained."""
    speech_ratio: float | None
    """Share of the clip's time in which somebody speaks, by the shared mask, 0-1."""
    music_ratio: float | None
    """Share of the time covered by windows in which the tag Music is heard, 0-1; null when the model of tags is missing
    or untrained."""
    snr_db: float | None
    """Speech over background, dB; null without speech, or without a background other than digital silence."""
    rt60_seconds: float | None
    """Time in which the room's echo falls by 60 dB; null where no gap after speech is long and quiet enough to tell, or
    music plays in it."""
    noise_floor_dbfs: float | None
    """Level of the background that is always there where nobody speaks, dB of full scale; null where there is none, or
    only digital silence."""


@dataclass(frozen=True, slots=True)
class _Heard:
    """Windows of one kind."""

    cells_seconds: NDArray[np.float64]
    probabilities: NDArray[np.float32]
    timing: Literal["coarse", "presence"]


def analyze(
    acoustics: VoiceAcoustics, activity: SpeechActivity, tags: SoundTags | None
) -> Finding[SoundData, EnvironmentSummary]:
    """Put levels and tags together."""
    short, long = (_heard(tags, is_long) for is_long in (False, True))
    finest = short if len(short.cells_seconds) else long
    summary = _summary(acoustics, activity, tags, long, finest)
    spans = list(_spans(short))
    timed = {index: [span for span, other, _ in spans if other == index] for _, index, _ in spans}
    spans_by_kind = [(span, index, score, short.timing) for span, index, score in spans]
    spans_by_kind += [
        (span, index, score, long.timing)
        for span, index, score in _spans(long)
        if not any(_overlap(span, other) for other in timed.get(index, ()))
    ]
    segments = tuple(_segment(*found) for found in spans_by_kind)
    return Finding(segments=segments, summary=summary, series=_series(finest) if tags else Series())


def _heard(tags: SoundTags | None, is_long: bool) -> _Heard:
    timing: Literal["coarse", "presence"] = "presence" if is_long else "coarse"
    if tags is None:
        return _Heard(np.empty((0, 2)), np.empty((0, len(SOUND_LABELS)), np.float32), timing)
    rows = tags.is_long == is_long
    # A window whose probabilities are no numbers heard nothing.
    return _Heard(cells(tags.windows_seconds[rows]), np.nan_to_num(tags.probabilities[rows]), timing)


def _spans(heard: _Heard) -> Iterator[tuple[Span, int, float]]:
    """Start and end, label and score of every stretch in which a tag is heard."""
    is_heard = heard.probabilities >= MIN_SCORE
    for index in np.flatnonzero(is_heard.any(0)).tolist():
        for first, last in runs(is_heard[:, index]).tolist():
            span = float(heard.cells_seconds[first, 0]), float(heard.cells_seconds[last - 1, 1])
            if span[0] < span[1]:
                yield span, index, min(1.0, float(heard.probabilities[first:last, index].max()))


def _overlap(first: Span, second: Span) -> bool:
    return first[0] < second[1] and second[0] < first[1]


def _segment(span: Span, index: int, score: float, timing: Literal["coarse", "presence"]) -> Segment[SoundData]:
    label = SOUND_LABELS[index]
    return Segment(
        kind="span",
        start_seconds=span[0],
        end_seconds=span[1],
        label=label.name,
        score=score,
        data=SoundData(tag=label.name, mid=label.mid, group=label.group, timing=timing),
    )


def _summary(
    acoustics: VoiceAcoustics, activity: SpeechActivity, tags: SoundTags | None, long: _Heard, finest: _Heard
) -> EnvironmentSummary:
    is_known = not activity.untrained_models
    background = speech_levels.background_power(activity, acoustics) if is_known else np.empty(0)
    music = finest.cells_seconds[finest.probabilities[:, _MUSIC] >= MIN_SCORE]
    gaps = [
        gap for gap in reverberation.gaps_after_speech(activity) if not any(_overlap(gap, (a, b)) for a, b in music)
    ]
    floor = np.percentile(background, FLOOR_PERCENTILE) if background.size else None
    return EnvironmentSummary(
        top_tags=tuple(_top_tags(long)) if tags else None,
        speech_ratio=min(1.0, activity.speech_seconds / activity.duration_seconds) if is_known else None,
        music_ratio=_seconds(music) / _seconds(finest.cells_seconds) if len(finest.cells_seconds) else None,
        snr_db=speech_levels.snr_db(activity.spans_seconds, acoustics, background) if is_known else None,
        rt60_seconds=reverberation.rt60_seconds(gaps, acoustics) if is_known else None,
        noise_floor_dbfs=speech_levels.decibels(float(floor)) if floor else None,
    )


def _seconds(spans: NDArray[np.float64]) -> float:
    return float((spans[:, 1] - spans[:, 0]).sum())


def _columns(group: SoundGroup) -> list[int]:
    """Labels of a group."""
    return [index for index, label in enumerate(SOUND_LABELS) if label.group == group]


def _top_tags(long: _Heard) -> Iterator[TopTag]:
    if len(long.probabilities):
        means = long.probabilities.astype(np.float64).mean(0)
        for index in np.argsort(-means, kind="stable")[:TOP_TAGS].tolist():
            label = SOUND_LABELS[index]
            yield TopTag(tag=label.name, mid=label.mid, group=label.group, probability=float(means[index]))


def _series(heard: _Heard) -> Series:
    """The likeliest tag of every group, by windows."""
    step = max(1, -(-len(heard.cells_seconds) // MAX_POINTS))
    columns = {"t": heard.cells_seconds.mean(1)} | {
        group: heard.probabilities[:, _columns(group)].max(1, initial=0) for group in GROUPS
    }
    return Series(columns={name: tuple(values[::step].round(4).tolist()) for name, values in columns.items()})


def headline(summary: EnvironmentSummary) -> str:
    """Say it in a few words."""
    parts = []
    if summary.top_tags:
        parts.append(", ".join(tag.tag for tag in summary.top_tags[:3]))
    if summary.speech_ratio is not None:
        parts.append(f"speech {summary.speech_ratio:.0%} of the time")
    if summary.snr_db is not None:
        parts.append(f"{summary.snr_db:.0f} dB over its background")
    if summary.rt60_seconds is not None:
        parts.append(f"echo of {summary.rt60_seconds:.1f} s")
    return "; ".join(parts) or "nothing is claimed"


ANALYZER = Analyzer(
    name="audio_environment",
    version="1",
    title="sounds of the place, speech over noise, echo",
    requires=(VoiceAcoustics, SpeechActivity),
    uses=(SoundTags,),
    data=SoundData,
    summary=EnvironmentSummary,
    labels=(Labels(meaning="a sound; the label is its AudioSet tag", score="highest probability in the stretch"),),
    columns=dict.fromkeys(GROUPS, "highest probability of a tag of this group, 0-1"),
    headline=headline,
    analyze=analyze,
    parameters=PARAMETERS,
)
