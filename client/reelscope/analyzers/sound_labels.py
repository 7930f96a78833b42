"""AudioSet's 527 labels: what each is called, its place in the ontology, and the group that clips are summed up by.

Source: Gemmeke et al. (2017), doi:10.1109/ICASSP.2017.7952261; names and mids of AudioSet (CC BY 4.0), in the order of
the model's labels.txt. The eight groups are ours. They follow the branches of AudioSet's ontology, except where one
spans several:

| group | labels |
|---|---|
| speech | the human voice, but for singing |
| music | music; singing, rapping, humming |
| animal | animals |
| nature | natural sounds: wind, thunder, water, fire; outside, rural or natural |
| urban | vehicles, engines, sirens, tools; groups of people; public spaces; outside, urban; environmental noise |
| home | domestic sounds; telephones and alarms, but for sirens; clocks, mechanisms; inside; television, radio |
| effects | what the rest sounds like without a place: bodies, impacts, explosions, liquids, tones, noises, echo |
| silence | silence |
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib import resources
from typing import Literal, cast

SoundGroup = Literal["speech", "music", "nature", "urban", "animal", "home", "effects", "silence"]


@dataclass(frozen=True, slots=True)
class SoundLabel:
    """One of AudioSet's labels."""

    mid: str
    """Its id in AudioSet's ontology, e.g. /m/09x0r."""
    group: SoundGroup
    name: str
    """As labels.txt has it, e.g. Speech."""


def _read() -> tuple[SoundLabel, ...]:
    table = resources.files(__package__).joinpath("sound_labels.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(table.splitlines())
    return tuple(SoundLabel(row["mid"], cast(SoundGroup, row["group"]), row["name"]) for row in rows)


SOUND_LABELS: tuple[SoundLabel, ...] = _read()
"""By index: the columns of `SoundTags.probabilities`."""
