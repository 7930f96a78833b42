"""The registry: every analyzer that works, in the order in which results list them."""

from reelscope.analyzers import (
    age_estimation,
    audio_analysis,
    background_segmentation,
    body_pose,
    camera_analysis,
    color_analysis,
    composition_analysis,
    content_quality,
    cut_analysis,
    eye_tracking,
    face_emotion,
    object_detection,
    product_detection,
    scene_segmentation,
    text_overlay,
    visual_effects,
)
from reelscope.analyzers.base import Analyzer

ANALYZERS: tuple[Analyzer, ...] = (
    object_detection.ANALYZER,
    text_overlay.ANALYZER,
    background_segmentation.ANALYZER,
    body_pose.ANALYZER,
    age_estimation.ANALYZER,
    content_quality.ANALYZER,
    color_analysis.ANALYZER,
    camera_analysis.ANALYZER,
    cut_analysis.ANALYZER,
    scene_segmentation.ANALYZER,
    eye_tracking.ANALYZER,
    audio_analysis.ANALYZER,
    face_emotion.ANALYZER,
    visual_effects.ANALYZER,
    product_detection.ANALYZER,
    composition_analysis.ANALYZER,
)
