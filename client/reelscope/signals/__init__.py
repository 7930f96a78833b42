"""What analyzers read: typed, timed arrays, each computed once per clip and shared.

A signal comes from a Triton ensemble or from CPU code (`sources`), knows which models answered for it, and holds no
pixels. Times are seconds from the first displayed PTS, intervals half-open, boxes 0-1 of the displayed frame.
"""

from reelscope.signals.audio import ONSET_BANDS_HZ, SoundLevels, SoundSpectrum
from reelscope.signals.base import Parameter, Signal, SoundSignal
from reelscope.signals.composition import FrameComposition
from reelscope.signals.effects import BRIGHTNESS_CELLS, EDGE_CELLS, SEAMS_PER_AXIS, FrameEffects
from reelscope.signals.embeddings import CropEmbeddings, FrameEmbeddings
from reelscope.signals.objects import Followed, ObjectTracks, Track
from reelscope.signals.people import (
    EXPRESSIONS,
    KEYPOINTS,
    FaceAttributes,
    FaceExpressions,
    FaceLandmarks,
    Faces,
    Poses,
)
from reelscope.signals.picture import POINT_STEPS_PER_PX, FrameColors, FrameQuality, PointFlow
from reelscope.signals.scene import SceneLabels
from reelscope.signals.shots import Flash, Shot, Shots, Transition, TransitionKind
from reelscope.signals.sound import (
    SoundTags,
    SpeechActivity,
    SpeechEmotions,
    SpokenWords,
    Utterance,
    VoiceAcoustics,
    Word,
)
from reelscope.signals.text import TextRegions
from reelscope.signals.understanding import Hook, ShotSize, Synopsis, Understanding, UnderstoodWindow

__all__ = [
    "BRIGHTNESS_CELLS",
    "EDGE_CELLS",
    "EXPRESSIONS",
    "KEYPOINTS",
    "ONSET_BANDS_HZ",
    "POINT_STEPS_PER_PX",
    "SEAMS_PER_AXIS",
    "CropEmbeddings",
    "FaceAttributes",
    "FaceExpressions",
    "FaceLandmarks",
    "Faces",
    "Flash",
    "Followed",
    "FrameColors",
    "FrameComposition",
    "FrameEffects",
    "FrameEmbeddings",
    "FrameQuality",
    "Hook",
    "ObjectTracks",
    "Parameter",
    "PointFlow",
    "Poses",
    "SceneLabels",
    "Shot",
    "ShotSize",
    "Shots",
    "Signal",
    "SoundLevels",
    "SoundSignal",
    "SoundSpectrum",
    "SoundTags",
    "SpeechActivity",
    "SpeechEmotions",
    "SpokenWords",
    "Synopsis",
    "TextRegions",
    "Track",
    "Transition",
    "TransitionKind",
    "Understanding",
    "UnderstoodWindow",
    "Utterance",
    "VoiceAcoustics",
    "Word",
]
