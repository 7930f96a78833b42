"""What is most worth fixing in a clip: a ranked list, each entry with what was measured, the bound, and its evidence.

Each rule of `rules.RULES` reads what trained analyzers found; one whose analyzer is missing, failed or read random
weights is not checked, and the list says so: silence is not a clean bill. Nothing is predicted: no rule knows how a
clip will do, only that something measured is beyond a bound that guidelines or editors use.

Ranking, in this order:
1. impact: 3 what can harm or shuts viewers out (flashes, a damaged file), 2 what most viewers notice (text under the
   player's buttons, a distorted sound, a weak opening), 1 polish (a long pause, black bars);
2. extent, 0-1: the share of the clip that it concerns, or how far beyond the bound the measure is, as each rule says;
3. time: the earlier one first; then the order of the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reelscope.analyzers.text_lines import covered_seconds
from reelscope.exports.contents import Contents, untrained_models
from reelscope.report.evidence import Evidence


class NotMeasured(Exception):
    """What a rule reads is not there; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """One thing to mend."""

    title: str
    """What to do."""
    finding: str
    """What was measured, and the bound."""
    impact: int
    """1 to 3, as above."""
    extent: float
    """0-1, as above."""
    evidence: tuple[Evidence, ...]

    @property
    def start_seconds(self) -> float:
        """Where it begins; 0 for the clip as a whole."""
        return min((each.start_seconds for each in self.evidence if each.start_seconds is not None), default=0.0)


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that is looked for."""

    name: str
    """What it looks for, for the list of what was not checked."""
    check: Callable[[Found], Iterable[Fix]]
    """Raises NotMeasured when it cannot tell."""


@dataclass(frozen=True, slots=True)
class Review:
    """What the rules say of a clip."""

    fixes: tuple[Fix, ...]
    """Ranked, the most worth fixing first."""
    checked_count: int
    """Rules that could tell."""
    unchecked: tuple[tuple[str, str], ...]
    """The others: name of the rule, and why it could not."""


@dataclass(frozen=True, slots=True)
class Found:
    """What trained analyzers found, as rules read it."""

    contents: Contents

    @property
    def duration_seconds(self) -> float:
        """Length of the clip, at least a millisecond."""
        return max(0.001, float(self.contents.media["duration_s"]))

    def result(self, name: str) -> Mapping[str, Any]:
        """An analyzer's result.

        Raises:
            NotMeasured: there is none, or it rests on random weights.
        """
        if reason := self.contents.missing(name):
            raise NotMeasured(reason)
        result: Mapping[str, Any] = self.contents.values["analyzers"][name]
        if models := untrained_models(result):
            raise NotMeasured(f"random weights ({', '.join(models)})")
        return result

    def summary(self, name: str, field: str) -> Any:
        """A field of an analyzer's summary.

        Raises:
            NotMeasured: it is null, or the analyzer says nothing.
        """
        found = self.result(name)["summary"].get(field)
        if found is None:
            raise NotMeasured(f"{name} measured no {field}")
        return found

    def segments(self, name: str, *labels: str) -> list[Mapping[str, Any]]:
        """Segments of an analyzer with these labels; without labels, all.

        Raises:
            NotMeasured: the analyzer says nothing.
        """
        return [each for each in self.result(name)["segments"] if not labels or each["label"] in labels]

    def share(self, segments: Sequence[Mapping[str, Any]]) -> float:
        """Share of the clip that segments cover, 0-1; what overlaps counts once."""
        covered = covered_seconds((each["start"], each["end"]) for each in segments)
        return min(1.0, covered / self.duration_seconds)


def review(contents: Contents, rules: Sequence[Rule]) -> Review:
    """Apply the rules, and rank what they find."""
    fixes: list[Fix] = []
    unchecked: list[tuple[str, str]] = []
    for rule in rules:
        try:
            fixes += _bounded(rule.check(Found(contents)))
        except NotMeasured as reason:
            unchecked.append((rule.name, str(reason)))
    fixes.sort(key=lambda fix: (-fix.impact, -fix.extent, fix.start_seconds))
    return Review(tuple(fixes), len(rules) - len(unchecked), tuple(unchecked))


def _bounded(fixes: Iterable[Fix]) -> Iterator[Fix]:
    for fix in fixes:
        assert 1 <= fix.impact <= 3, fix
        assert 0 <= fix.extent <= 1, fix
        yield fix
