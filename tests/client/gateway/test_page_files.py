"""The page's files: they know every analyzer, need no build, and ask nobody else."""

from __future__ import annotations

import re

from reelscope.analyzers import ANALYZERS
from reelscope.gateway.app import PAGE
from reelscope.report.evidence import TITLES

REPORT = (PAGE.parents[1] / "report" / "assets" / "page.css").read_text("utf-8")
FILES = {path.name: path.read_text("utf-8") for path in PAGE.iterdir()}


def test_every_analyzer_has_its_place_and_the_name_that_it_has_in_the_report():
    titles = dict(re.findall(r"^      (\w+): '(.+)',$", FILES["analyzers.js"], re.MULTILINE))
    assert titles == {analyzer.name: TITLES[analyzer.name] for analyzer in ANALYZERS}


def test_its_colours_are_those_of_the_report():
    ours, reports = (
        dict(re.findall(r"(--[a-z-]+): (light-dark\(.+\));", text)) for text in (FILES["page.css"], REPORT)
    )
    assert ours.items() <= reports.items()
    assert len(ours) > 10


def test_nothing_becomes_markup():
    for name, text in FILES.items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b", text), name


def test_nothing_is_loaded_from_elsewhere():
    for name, text in FILES.items():
        text = text.replace("http://www.w3.org/2000/svg", "").replace("http://localhost:8003/analyze", "")
        assert "http" not in text, name


def test_it_stays_small():
    assert sum(len(text.encode()) for text in FILES.values()) < 150_000
