"""Every finding that a test of this folder makes is held to what its analyzer declares."""

from __future__ import annotations

import sys

from declared import held

from reelscope.analyzers import ANALYZERS

for _analyzer in ANALYZERS:
    _module = sys.modules[_analyzer.analyze.__module__]
    _module.analyze = held(_analyzer)
    object.__setattr__(_analyzer, "analyze", _module.analyze)
