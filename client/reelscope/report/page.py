"""The page: templates, styles and scripts of `assets` become one HTML file that asks nobody for anything.

- Everything that comes from a clip reaches the HTML through Jinja2's autoescaping, and the scripts through compressed
  JSON in base64: no text of a clip can end a script, and scripts put it into the page as text, never as markup.
- The Content-Security-Policy allows the page's own scripts and styles by their hashes, and pictures and media that are
  in the file itself: no request can leave it, and no foreign script can run. A clip that is too large to embed is the
  one file that it may read, from beside it.
- Scripts are classic ones in one function scope, in the order of `SCRIPTS`: no build step, and no module loader, which
  browsers refuse to files.

uPlot (MIT) draws the curves. The lanes are our own elements: timeline libraries are made for editing dates
(vis-timeline is 500 kB), and a lane is a row of buttons that are placed by their time.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import zlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from reelscope.report import fields
from reelscope.report.evidence import analyzer_words

SCRIPTS = ("results", "clock", "shapes", "overlay", "lanes", "curves", "timeline", "words", "cards", "page")
UPLOT_VERSION = "1.6.32"
_LOCAL_MEDIA = "'self' file:"
"""Where a clip beside the page comes from, opened as a file or from a server."""


def render(view: Mapping[str, Any], for_scripts: Mapping[str, Any], *, reads_clip_beside: bool) -> str:
    """Make the page of what its templates read and what its scripts read."""
    styles, scripts = _styles(), _scripts()
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash(scripts)}",
            f"style-src {_hash(styles)}",
            "img-src data:",
            f"media-src data: blob:{' ' + _LOCAL_MEDIA if reads_clip_beside else ''}",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    return (
        _environment()
        .get_template("page.html")
        .render(**view, policy=policy, styles=styles, scripts=scripts, packed=_packed(for_scripts))
    )


def _packed(values: Any) -> str:
    """JSON, deflated, in base64; the page unpacks it with DecompressionStream."""
    text = json.dumps(values, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode("utf-8"), 9)).decode("ascii")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"


def _asset(name: str) -> str:
    return (files(__package__) / "assets" / name).read_text(encoding="utf-8")


@functools.cache
def _styles() -> str:
    return _asset("uplot/uPlot.min.css") + _asset("page.css")


@functools.cache
def _scripts() -> str:
    ours = "\n".join(_asset(f"js/{name}.js") for name in SCRIPTS)
    licence = _asset("uplot/LICENSE").replace("*/", "")
    uplot = f"/* uPlot {UPLOT_VERSION}\n{licence}*/\n{_asset('uplot/uPlot.iife.min.js')}"
    return f"{uplot}\n(() => {{\n'use strict';\n{ours}\n}})();\n"


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("reelscope.report", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": fields.number,
        "time": fields.seconds,
        "words": fields.words,
        "sentence": fields.sentence,
        "analyzer": analyzer_words,
        "value": fields.value,
    }
    return environment
