"""The report: results as one HTML page to look at, which needs no network and no server.

    from reelscope import report
    html = report.build(results, Path("clip.mp4"))

It holds the results whole, the clip where it is small enough to embed, and pictures of its shots. `reelscope report`
and `reelscope analyze` write it; the gateway serves it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from reelscope.errors import ResultsError
from reelscope.exports.clip import require_same_clip
from reelscope.exports.contents import Contents
from reelscope.report import cards, fields, page, story, verdict
from reelscope.report import clip as clips
from reelscope.report.fixes import review
from reelscope.report.rules import RULES

FIX_COUNT = 5
"""Things worth fixing that are shown at once; the others are folded away."""


def build(
    results: Mapping[str, Any], clip: Path | None = None, *, name: str | None = None, address: str | None = None
) -> str:
    """Make the page of results, as `reelscope.results.read` gives them; without the clip, all but its pictures works.

    A clip of more than `clip.EMBED_LIMIT_BYTES` is not embedded: the page plays what lies at `address`.

    Args:
        results: of `run`, `media` and the analyzers.
        clip: what was analysed.
        name: of the clip, for people; default: that of the file.
        address: of the clip, seen from the page; default: a file of its name beside the page.

    Raises:
        ResultsError: these are no results.
        UsageError: the file is not the clip that was analysed.
        InputError: the clip cannot be decoded.
    """
    contents = Contents(results, clip)
    if clip:
        require_same_clip(contents)
    try:
        shown = name or (clip.name if clip else f"Clip {results['media']['sha256'][:8]}")
        return _page(contents, shown, address)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ResultsError(f"no report can be made of these results ({reason})") from error


def _page(contents: Contents, name: str, address: str | None) -> str:
    values, clip = contents.values, contents.clip
    groups = cards.cards(contents)
    every = [card for group in groups.values() for card in group]
    found = review(contents, RULES)
    data = clips.embedded(clip) if clip else None
    is_apart = clip is not None and data is None
    models = story.models(contents)
    view = {
        "run": values["run"],
        "media": values["media"],
        "name": name,
        "sentences": verdict.sentences(contents),
        "tiles": verdict.tiles(contents),
        "fixes": found.fixes[:FIX_COUNT],
        "more_fixes": found.fixes[FIX_COUNT:],
        "review": found,
        "moments": story.moments(contents, "key_moment"),
        "conflicts": story.moments(contents, "conflict"),
        "cross": story.missing(contents, "cross_analyzer_intelligence"),
        "correlations": story.correlations(contents),
        "untested": story.untested(contents),
        "utterances": story.utterances(contents),
        "no_speech": story.missing(contents, "speech_transcription"),
        "speech_spans": story.speech_spans(contents),
        "lines": story.lines(contents),
        "no_text": story.missing(contents, "text_overlay"),
        "palette": story.palette(contents),
        "shot_palettes": story.shot_palettes(contents),
        "strip": clips.filmstrip(values, clip),
        "groups": groups,
        "statuses": Counter(card.status for card in every),
        "models": models,
        "random": [card for card in every if card.untrained],
        "random_models": sorted({model.facts["name"] for model in models if not model.facts["trained"]}),
        "data": data,
        "beside": (address or quote(clip.name)) if clip and is_apart else None,
        "beside_name": clip.name if clip and is_apart and not address else None,
        "limit_mb": clips.EMBED_LIMIT_BYTES // 1_000_000,
        "uplot": page.UPLOT_VERSION,
    }
    lanes = [
        {
            "name": card.name,
            "title": card.title,
            "group": card.group,
            "status": card.status,
            "isRandom": bool(card.untrained),
            "isSensitive": card.is_sensitive,
            "labels": fields.data_labels(card.name),
        }
        for card in every
    ]
    for_scripts = {"results": values, "lanes": lanes}
    return page.render(view, for_scripts, reads_clip_beside=is_apart)
