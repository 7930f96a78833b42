"""The registry: every analyzer that works, in the order in which results list them."""

from reelscope.analyzers import color_analysis, cut_analysis, object_detection
from reelscope.analyzers.base import Analyzer

ANALYZERS: tuple[Analyzer, ...] = (
    object_detection.ANALYZER,
    color_analysis.ANALYZER,
    cut_analysis.ANALYZER,
)
