"""Results files for exports: findings of analyzers, or segments written by hand, in the envelope of the pipeline."""

from __future__ import annotations

import itertools
from dataclasses import replace

from envelope import written
from skeletons import tracks

from reelscope.analyzers import object_detection
from reelscope.exports import FORMATS, Contents

SECONDS = 10.0
NASTY = (
    "plain",
    "an arrow --> and -->> more",
    "two\nlines\r\nand\n\na blank one",
    '"quoted", with a comma; a tab\t.',
    "=HYPERLINK(1)",
    "-1+@SUM",
    "😀 שלום مرحبا 你好",
    "line\u2028separator\x85and <b>markup</b> &amp;",
    "",
)
NINE_HOURS = 9 * 3600.0
MODEL = {"name": "some_model", "version": "1", "trained": True}


def segment(number, start, end, label="thing", **changes):
    return {
        "kind": "span",
        "start": start,
        "end": end,
        "label": label,
        "score": 0.5,
        "track_id": None,
        "data": {},
        "id": f"analyzer:{number}",
        **changes,
    }


def result(segments=(), *, trained=True, **changes):
    """An analyzer's part of the file, written by hand."""
    return {
        "version": "1",
        "status": "ok",
        "reason": None,
        "message": None,
        "models": [{**MODEL, "trained": trained}],
        "params": {},
        "inputs": {"sampling": "F10", "fps": 5.0},
        "coverage": 1.0,
        "segments": list(segments),
        "series": {"t0": 0.0, "hop_s": None, "cols": {}},
        "summary": {},
        "warnings": [] if trained else ["untrained_model:some_model"],
        **changes,
    }


SKIPPED = result(
    status="skipped", reason="no_audio_stream", message="the clip has no sound", summary=None, coverage=None
)


def file(analyzers=None, seconds=SECONDS, shots=(), **media):
    """A results file, its envelope as the pipeline writes it."""
    nothing = tracks([])
    values = written(object_detection.ANALYZER, object_detection.analyze(nothing), nothing, seconds)
    values["analyzers"] = analyzers or {}
    values["shots"] = [
        {"id": f"shot-{k}", "start": start, "end": end} for k, (start, end) in enumerate(itertools.pairwise(shots), 1)
    ]
    values["media"] |= media
    return values


def export(values, to, clip=None):
    """Texts by name; the counts are held against them by the tests."""
    form = next(form for form in FORMATS if form.name == to)
    return form.documents(Contents(values, clip))


def nasty(**options):
    """Segments with every nasty text, some of them at the end of a long clip."""
    found = []
    for k, text in enumerate(NASTY):
        at = k + (NINE_HOURS if k % 2 else 0.0)
        data = {"text": text, "list": [text, None], "number": -1.5}
        found.append(segment(k, at + 0.123, at + 0.999, text, data=data, score=None if k % 3 else 0.25))
    return result(sorted(found, key=lambda each: each["start"]), **options)


def detected(trained=True):
    """Findings of object_detection: a person and a cup, in three frames of four at 10 fps."""
    person, cup = (0.1, 0.2, 0.5, 0.6), (0.25, 0.5, 0.5, 1.0)
    boxes = [{0: person}, {}, {0: person, 3: (0.0, 0.5, 1.0, 1.0)}, {3: cup}]
    signal = tracks(boxes, labels={3: "cup"})
    signal = replace(signal, models=tuple(replace(model, trained=trained) for model in signal.models))
    return written(object_detection.ANALYZER, object_detection.analyze(signal), signal, SECONDS)["analyzers"]
