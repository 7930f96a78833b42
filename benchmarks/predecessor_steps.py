"""The predecessor's analyzers, each as its document names it: see `benchmarks.predecessor`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks import plain
from benchmarks.upstream import HEARING_HZ, Frame, heard, shown

if TYPE_CHECKING:
    from benchmarks.predecessor import Predecessor

MUSIC_HZ = 22_050
"""librosa's default."""
PROMPT = "Describe what happens in this part of the video."


@dataclass(frozen=True, slots=True)
class Step:
    """One analyzer of the predecessor."""

    analyzer: str
    stage: int
    libraries: tuple[str, ...]
    """Attributes of `Libraries` that it needs."""
    run: Callable[[Predecessor], object]


def _shares(total: int, count: int) -> list[int]:
    """`total` things spread evenly over `count` frames."""
    return [(k + 1) * total // count - k * total // count for k in range(count)]


def _understand(self: Predecessor) -> None:
    frames = [cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) for frame in shown(self.clip, self.work.rate)]
    height, width = self.work.window_size
    small = [cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in frames]
    places = np.linspace(0, len(small), len(self.work.windows), endpoint=False).astype(int)
    windows = [
        np.stack([small[min(place + k, len(small) - 1)] for k in range(count)])
        for place, count in zip(places, self.work.windows, strict=True)
    ]
    self.libraries.qwen(windows, PROMPT, self.work.window_tokens, height * width)


def _each_frame(look: str, divisor: int) -> Callable[[Predecessor], None]:
    """An analyzer that asks one network about every frame of a rate."""

    def run(self: Predecessor) -> None:
        for frame in shown(self.clip, self.work.rate / divisor):
            getattr(self.libraries, look)(frame)

    return run


def _faces(self: Predecessor, look: Callable[[Frame, Any], None], *, again: bool) -> None:
    """Find the faces of every frame, and look at as many of them as are wanted."""
    from insightface.app.common import Face

    detector = self.libraries.faces.det_model
    frames = list(shown(self.clip, self.work.rate))
    boxes, keypoints = np.array([[100, 100, 228, 228, 1]], np.float32), _face_keypoints()
    for frame, wanted in zip(frames, _shares(self.work.faces, len(frames)), strict=True):
        with self.again() if again else _nothing():
            found, found_keypoints = detector.detect(frame, max_num=0)
        if len(found):
            boxes, keypoints = found, found_keypoints
        for k in range(wanted):  # those of an earlier frame, where this one has none
            box = boxes[k % len(boxes)]
            look(frame, Face(bbox=box[:4], kps=keypoints[k % len(boxes)], det_score=box[4]))


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _face_keypoints() -> NDArray[np.float32]:
    """Eyes, nose and corners of the mouth of an upright face in a box at (100, 100) of 128 px."""
    return np.array([[[140, 145], [188, 145], [164, 172], [145, 197], [183, 197]]], np.float32)


def _ages(self: Predecessor) -> None:
    def look(frame: Frame, face: Any) -> None:
        self.libraries.faces.models["genderage"].get(frame, face)

    _faces(self, look, again=False)


def _gaze(self: Predecessor) -> None:
    def look(frame: Frame, face: Any) -> None:
        self.libraries.faces.models["landmark_2d_106"].get(frame, face)

    _faces(self, look, again=True)


def _expressions(self: Predecessor) -> None:
    from insightface.utils import face_align

    def look(frame: Frame, face: Any) -> None:
        crop = face_align.norm_crop(frame, face.kps, image_size=224)
        self.libraries.expression.predict_emotions(cv2.cvtColor(crop, cv2.COLOR_BGR2RGB), logits=False)

    _faces(self, look, again=True)


def _content_quality(self: Predecessor) -> None:
    for number, frame in enumerate(shown(self.clip, self.work.rate / 2)):
        plain.quality(frame)
        if number % 2 == 0:
            self.libraries.clip(frame)


def _products(self: Predecessor) -> None:
    frames = list(shown(self.clip, self.work.rate))
    for frame, wanted in zip(frames, _shares(self.work.crops, len(frames)), strict=True):
        with self.again():
            self.libraries.detector(frame)
        height, width = frame.shape[:2]
        for k in range(wanted):  # of the size of a third of the frame, wherever an untrained network sees objects
            x = k * width // 3 % (2 * width // 3)
            self.libraries.clip(frame[height // 3 : 2 * height // 3, x : x + width // 3])


def _scenes(self: Predecessor) -> None:
    for frame in shown(self.clip, self.work.rate / 4):
        with self.again():
            self.libraries.clip(frame)


def _cuts(self: Predecessor) -> None:
    import scenedetect

    scenedetect.detect(str(self.clip), scenedetect.AdaptiveDetector())


def _pieces(self: Predecessor, listen: str, lengths_seconds: tuple[float, ...]) -> None:
    """Ask a network that hears about pieces of the sound, one by one."""
    sound = heard(self.clip, HEARING_HZ)
    for seconds in lengths_seconds:
        getattr(self.libraries, listen)(sound[: round(seconds * HEARING_HZ)])


def _transcribe(self: Predecessor) -> None:
    """`whisper.transcribe`, greedy, with word times; no rule on the answer makes it hear the sound again."""
    import whisper

    forced: dict[str, Any] = {}
    if self.work.spoken_tokens is not None:
        # Without time stamps, a random answer cannot move the window.
        forced = {"sample_len": self.work.spoken_tokens, "without_timestamps": True, "logprob_threshold": None}
        forced |= {"no_speech_threshold": None, "compression_ratio_threshold": None}
    whisper.transcribe(
        self.libraries.whisper,
        heard(self.clip, HEARING_HZ),
        temperature=0.0,
        condition_on_previous_text=False,
        word_timestamps=True,
        fp16=self.work.device != "cpu",
        **forced,
    )


def _speech_flow(self: Predecessor) -> None:
    import librosa

    sound = heard(self.clip, HEARING_HZ)
    librosa.effects.split(sound, top_db=30)
    librosa.feature.rms(y=sound)


def _speech_rate(self: Predecessor) -> None:
    import librosa

    sound = heard(self.clip, HEARING_HZ)
    librosa.onset.onset_detect(y=sound, sr=HEARING_HZ)


def _frames_at_half(measure: Callable[[Frame], object]) -> Callable[[Predecessor], None]:
    def run(self: Predecessor) -> None:
        for frame in shown(self.clip, self.work.rate / 2):
            measure(frame)

    return run


STEPS = (
    Step("qwen2_vl_temporal", 1, ("qwen",), _understand),
    Step("object_detection", 2, ("detector",), _each_frame("detector", 1)),
    Step("text_overlay", 2, ("reader",), _each_frame("reader", 2)),
    Step("background_segmentation", 2, ("segmenter",), _each_frame("segmenter", 4)),
    Step("body_pose", 2, ("pose",), _each_frame("pose", 1)),
    Step("age_estimation", 3, ("faces",), _ages),
    Step("face_emotion", 3, ("faces", "expression"), _expressions),
    Step("eye_tracking", 3, ("faces",), _gaze),
    Step("content_quality", 3, ("clip",), _content_quality),
    Step("product_detection", 3, ("detector", "clip"), _products),
    Step("scene_segmentation", 3, ("clip",), _scenes),
    Step("color_analysis", 4, (), _frames_at_half(plain.palette)),
    Step("camera_analysis", 4, (), lambda self: plain.camera(self.clip)),
    Step("cut_analysis", 4, (), _cuts),
    Step("composition_analysis", 4, (), _frames_at_half(plain.composition)),
    Step("visual_effects", 4, (), lambda self: plain.effects(self.clip)),
    Step("audio_analysis", 4, (), lambda self: plain.music(heard(self.clip, MUSIC_HZ), MUSIC_HZ)),
    Step("audio_environment", 4, ("sounds",), lambda self: _pieces(self, "sounds", self.work.sound_windows)),
    Step("speech_emotion", 4, ("voice",), lambda self: _pieces(self, "voice", self.work.voice_pieces)),
    Step("speech_transcription", 4, ("whisper",), _transcribe),
    Step("speech_flow", 4, (), _speech_flow),
    Step("speech_rate", 4, (), _speech_rate),
)
"""The analyzers by stage: understanding; what is seen; faces and CLIP; pictures on the CPU, and sound."""
