"""What a finding holds that its analyzer does not declare: labels, kinds, scores, columns, warnings."""

from __future__ import annotations

import functools
from typing import Any

from reelscope.analyzers.base import Analyzer, Finding


def undeclared(analyzer: Analyzer, finding: Finding[Any, Any]) -> list[str]:
    """What a finding holds that its analyzer does not declare."""
    found = []
    for segment in finding.segments:
        sorts = [labels for labels in analyzer.labels if segment.label in labels.names or not labels.names]
        if segment.kind not in {labels.kind for labels in sorts}:
            found.append(f"{segment.kind} {segment.label}")
        elif segment.score is not None and not any(labels.score for labels in sorts):
            found.append(f"score of {segment.label}")
    for series in filter(None, (finding.series, finding.full_series)):
        found += [f"column {name}" for name in series.columns if name != "t" and name not in analyzer.columns]
    codes = {warning.partition(":")[0] for warning in finding.warnings}
    return found + [f"warning {code}" for code in codes - set(analyzer.warnings)]


def held(analyzer: Analyzer) -> Any:
    """Its `analyze`, which refuses a finding that is not declared."""
    analyze = analyzer.analyze

    @functools.wraps(analyze)
    def checked(*arguments: Any, **named: Any) -> Finding[Any, Any]:
        finding = analyze(*arguments, **named)
        assert undeclared(analyzer, finding) == [], f"{analyzer.name} gives what its entry does not declare"
        return finding

    return checked
