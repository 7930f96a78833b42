"""Segments as WebVTT metadata: one file per analyzer, one cue per segment, the segment as one line of JSON.

For scripts of a web page (`<track kind="metadata">`). Serve the files as nothing else: a player that takes them for
captions shows the JSON (w3c/webvtt issue 511). The JSON is ASCII, so that no character of a text can be taken for the
end of a line, and the arrow that WebVTT forbids is written `--\\u003e`: JSON's readers give it back as it was.
"""

from __future__ import annotations

import json
from typing import Any

from reelscope.exports.contents import Contents, Document, Documents
from reelscope.exports.webvtt import Cue, caveat_notes, document


def write(contents: Contents) -> Documents:
    """Make ANALYZER.meta.vtt of every analyzer that looked at the clip."""
    documents = {}
    for name, result in contents.found():
        notes = [f"{name}: one JSON object per cue; serve as kind=metadata", *caveat_notes(result)]
        cues = [Cue(segment["start"], segment["end"], (_line(segment),)) for segment in result["segments"]]
        documents[f"{name}.meta.vtt"] = Document(document(cues, notes), len(cues), "cue")
    return documents


def _line(segment: Any) -> str:
    return json.dumps(segment, allow_nan=False, separators=(",", ":")).replace("-->", r"--\u003e")
