"""Where each signal comes from."""

from collections.abc import Mapping
from typing import Any

from reelscope.signals import (
    CropEmbeddings,
    FaceAttributes,
    FaceExpressions,
    FaceLandmarks,
    Faces,
    FrameColors,
    FrameComposition,
    FrameEffects,
    FrameEmbeddings,
    FrameQuality,
    ObjectTracks,
    PointFlow,
    Poses,
    SceneLabels,
    Shots,
    Signal,
    SoundLevels,
    SoundSpectrum,
    SoundTags,
    SpeechActivity,
    SpeechEmotions,
    SpokenWords,
    TextRegions,
    Understanding,
    VoiceAcoustics,
)
from reelscope.sources.base import Source
from reelscope.sources.colors import ColorSource
from reelscope.sources.composition import CompositionSource
from reelscope.sources.crops import CropSource
from reelscope.sources.effects import EffectSource
from reelscope.sources.embeddings import EmbeddingSource
from reelscope.sources.ensemble import AskingSource
from reelscope.sources.face_details import FaceAttributeSource, FaceExpressionSource, FaceLandmarkSource
from reelscope.sources.faces import FaceSource
from reelscope.sources.flow import FlowSource
from reelscope.sources.objects import ObjectSource
from reelscope.sources.poses import PoseSource
from reelscope.sources.quality import QualitySource
from reelscope.sources.scene_labels import SceneLabelSource
from reelscope.sources.shots import ShotSource
from reelscope.sources.sound_levels import SoundLevelSource
from reelscope.sources.sound_spectrum import SoundSpectrumSource
from reelscope.sources.sound_tags import SoundTagSource
from reelscope.sources.speech_activity import SpeechActivitySource
from reelscope.sources.speech_emotions import SpeechEmotionSource
from reelscope.sources.texts import TextSource
from reelscope.sources.understanding import UnderstandingSource
from reelscope.sources.voice_acoustics import VoiceAcousticsSource
from reelscope.sources.words import WordSource

CPU_SOURCES: Mapping[type[Signal], type[Source[Any]]] = {
    FaceAttributes: FaceAttributeSource,
    FaceExpressions: FaceExpressionSource,
    FaceLandmarks: FaceLandmarkSource,
    FrameColors: ColorSource,
    FrameComposition: CompositionSource,
    FrameEffects: EffectSource,
    FrameQuality: QualitySource,
    PointFlow: FlowSource,
    Shots: ShotSource,
    SoundLevels: SoundLevelSource,
    SoundSpectrum: SoundSpectrumSource,
    VoiceAcoustics: VoiceAcousticsSource,
}
"""Signals computed in the client."""

ENSEMBLE_SOURCES: Mapping[type[Signal], type[AskingSource[Any]]] = {
    CropEmbeddings: CropSource,
    Faces: FaceSource,
    FrameEmbeddings: EmbeddingSource,
    ObjectTracks: ObjectSource,
    Poses: PoseSource,
    SceneLabels: SceneLabelSource,
    SoundTags: SoundTagSource,
    SpeechActivity: SpeechActivitySource,
    SpeechEmotions: SpeechEmotionSource,
    SpokenWords: WordSource,
    TextRegions: TextSource,
    Understanding: UnderstandingSource,
}
"""Signals that a Triton ensemble answers."""


def source_of(signal: type[Signal]) -> type[Source[Any]]:
    """The kind of source that a signal comes from."""
    return CPU_SOURCES.get(signal) or ENSEMBLE_SOURCES[signal]
