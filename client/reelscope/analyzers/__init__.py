"""The registry: every analyzer that works, in the order in which results list them."""

from reelscope.analyzers import (
    camera_analysis,
    color_analysis,
    content_quality,
    cut_analysis,
    object_detection,
    scene_segmentation,
)
from reelscope.analyzers.base import Analyzer

ANALYZERS: tuple[Analyzer, ...] = (
    object_detection.ANALYZER,
    content_quality.ANALYZER,
    color_analysis.ANALYZER,
    camera_analysis.ANALYZER,
    cut_analysis.ANALYZER,
    scene_segmentation.ANALYZER,
)
