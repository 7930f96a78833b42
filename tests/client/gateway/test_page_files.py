"""The page's files: they know every analyzer, need no build, and ask nobody else."""

from __future__ import annotations

import re

from reelscope.analyzers import ANALYZERS
from reelscope.gateway.app import PAGE

FILES = {path.name: path.read_text("utf-8") for path in PAGE.iterdir()}


def test_every_analyzer_has_its_place():
    names = re.findall(r"^      (\w+): '", FILES["analyzers.js"], re.MULTILINE)
    assert sorted(names) == sorted(analyzer.name for analyzer in ANALYZERS)


def test_nothing_becomes_markup():
    for name, text in FILES.items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b", text), name


def test_nothing_is_loaded_from_elsewhere():
    for name, text in FILES.items():
        text = text.replace("http://www.w3.org/2000/svg", "").replace("http://localhost:8003/analyze", "")
        assert "http" not in text, name


def test_it_stays_small():
    assert sum(len(text.encode()) for text in FILES.values()) < 150_000
