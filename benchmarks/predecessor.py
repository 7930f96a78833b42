"""The predecessor's way of working: one process, upstream libraries in PyTorch, one analyzer after the other.

As its document describes it: models are loaded once and kept, the analyzers are run in four stages, each of them opens
the video itself and asks its own networks, Qwen2-VL is asked about all windows in one batch, in mixed precision.
Weights, variants and sampling rates are those of the profile. What untrained networks would make more or less of is
forced to be as much as on the other side (`Work`): faces and objects that are looked at, tokens, windows of sound.

In its favour: it tracks nothing, keeps no exact time stamps, writes no results. Two of the 24 analyzers (temporal_flow,
cross_analyzer_intelligence) only read what the others found, and cost it nothing here; Qwen2-VL is asked for no
synopsis. What a network says twice about the same frames, because several analyzers ask it, is timed apart
(`repeated_seconds`), so that it can be left out of a comparison.

    python -m benchmarks.predecessor --clip CLIP                                    the cpu profile, once
    python -m benchmarks.predecessor --clip CLIP --profile h200 --device cuda:0     on a GPU

`benchmarks.end_to_end` runs it beside the system. A library that is not installed is named, and its analyzers are left
out.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks import footage, upstream
from benchmarks.upstream import HEARING_HZ, Absent, Frame, Libraries, Weights, heard, shown
from reelscope import settings

THREADS = 2
"""Of PyTorch on a CPU, as many as every served model has."""
MUSIC_HZ = 22_050
"""librosa's default."""
PROMPT = "Describe what happens in this part of the video."
IDLE_SECONDS = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What both sides have to do with a clip."""

    clip: str
    weights: Weights
    profile: str = "cpu"
    device: str = "cpu"
    faces: int = 50
    """Faces that are looked at, over all frames."""
    crops: int = 8
    """Objects that are looked at, over all frames."""
    sound_windows: tuple[float, ...] = (10.0,)
    """Seconds of each window in which sounds are looked for."""
    voice_pieces: tuple[float, ...] = (2.0,)
    """Seconds of each piece of speech whose tone is judged."""
    spoken_tokens: int | None = 48
    """Tokens that Whisper decodes; None: until it stops."""
    windows: tuple[int, ...] = (8, 8, 8, 8, 8)
    """Frames of each window that Qwen2-VL is asked about."""
    window_size: tuple[int, int] = (504, 280)
    """Height and width of these frames."""
    window_tokens: int = 128
    """Tokens of each answer."""

    @property
    def rate(self) -> Fraction:
        """Frames per second of the detectors; others look at half or a quarter of them."""
        return settings.profile(self.profile).base_frame_rate


@dataclass(frozen=True, slots=True)
class Step:
    """One analyzer of the predecessor."""

    analyzer: str
    stage: int
    libraries: tuple[str, ...]
    """Attributes of `Libraries` that it needs."""
    run: Callable[[Predecessor], object]


@dataclass(slots=True)
class Predecessor:
    """Everything loaded; `run` analyses the clip."""

    work: Work
    libraries: Libraries
    missing: dict[str, str] = field(default_factory=dict)
    """Analyzers that cannot run here, and why."""
    load_seconds: dict[str, float] = field(default_factory=dict)
    repeated_seconds: float = 0.0

    @property
    def clip(self) -> Path:
        """The clip."""
        return Path(self.work.clip)

    def load(self) -> None:
        """Load the networks of every analyzer, or say why not."""
        for step in STEPS:
            began = time.perf_counter()
            try:
                self.libraries.load(step.libraries)
            except Absent as error:
                self.missing[step.analyzer] = str(error)
            self.load_seconds[step.analyzer] = time.perf_counter() - began

    def run(self) -> list[dict[str, Any]]:
        """Analyse the clip once: what every analyzer took, in the order in which they ran."""
        found = []
        began_all = time.perf_counter()
        for step in STEPS:
            if step.analyzer in self.missing:
                continue
            self.repeated_seconds = 0.0
            if self.work.device == "cpu":
                torch.set_num_threads(THREADS)  # ultralytics takes one thread less than there are cores
            began, cpu_began = time.perf_counter(), time.process_time()
            with torch.no_grad():
                step.run(self)
            self._wait()
            ended = time.perf_counter()
            found.append(
                {
                    "analyzer": step.analyzer,
                    "stage": step.stage,
                    "began_seconds": began - began_all,
                    "wall_seconds": ended - began,
                    "cpu_seconds": time.process_time() - cpu_began,
                    "repeated_seconds": self.repeated_seconds,
                }
            )
            if step is _LAST_OF_STAGE[step.stage]:
                self._empty_memory()
        return found

    @contextmanager
    def again(self) -> Iterator[None]:
        """Time what an earlier analyzer has asked the same network about the same frames."""
        self._wait()
        began = time.perf_counter()
        yield
        self._wait()
        self.repeated_seconds += time.perf_counter() - began

    def _wait(self) -> None:
        if self.work.device != "cpu":
            torch.cuda.synchronize()

    def _empty_memory(self) -> None:
        gc.collect()
        if self.work.device != "cpu":
            torch.cuda.empty_cache()


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
        upstream.quality(frame)
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
    Step("color_analysis", 4, (), _frames_at_half(upstream.palette)),
    Step("camera_analysis", 4, (), lambda self: upstream.camera(self.clip)),
    Step("cut_analysis", 4, (), _cuts),
    Step("composition_analysis", 4, (), _frames_at_half(upstream.composition)),
    Step("visual_effects", 4, (), lambda self: upstream.effects(self.clip)),
    Step("audio_analysis", 4, (), lambda self: upstream.music(heard(self.clip, MUSIC_HZ), MUSIC_HZ)),
    Step("audio_environment", 4, ("sounds",), lambda self: _pieces(self, "sounds", self.work.sound_windows)),
    Step("speech_emotion", 4, ("voice",), lambda self: _pieces(self, "voice", self.work.voice_pieces)),
    Step("speech_transcription", 4, ("whisper",), _transcribe),
    Step("speech_flow", 4, (), _speech_flow),
    Step("speech_rate", 4, (), _speech_rate),
)
"""The analyzers by stage: understanding; what is seen; faces and CLIP; pictures on the CPU, and sound."""
_LAST_OF_STAGE = {step.stage: step for step in STEPS}


class PredecessorProcess:
    """The predecessor in a process of its own, which waits between clips with everything loaded.

    Attributes:
        pid: its process id.
        loaded: what it says once it has loaded: `missing` and `load_seconds`.
        ready_seconds: from its start until then.
    """

    def __init__(self, work: Work) -> None:
        """Start it, and wait until it has loaded."""
        began = time.perf_counter()
        command = [sys.executable, "-m", "benchmarks.predecessor", "--work", json.dumps(asdict(work))]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
        )
        self.pid = self._process.pid
        self.loaded: dict[str, Any] = self._read()
        self.ready_seconds = time.perf_counter() - began

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def analyze(self) -> list[dict[str, Any]]:
        """Analyse the clip once, as `Predecessor.run`."""
        assert self._process.stdin is not None
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        found: list[dict[str, Any]] = self._read()
        return found

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the predecessor ended with {self._process.wait()}; its messages are above")
        return json.loads(line)


def _serve(predecessor: Predecessor) -> None:
    """Load, then analyse once for every line of stdin. Libraries print: what they say goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    settings.keep_compiled_code()
    predecessor.load()
    print(
        json.dumps({"missing": predecessor.missing, "load_seconds": predecessor.load_seconds}), file=answers, flush=True
    )
    for _ in sys.stdin:
        print(json.dumps(predecessor.run()), file=answers, flush=True)


def table(steps: list[dict[str, Any]], missing: Mapping[str, str], title: str) -> Table:
    """One row per analyzer, and the sum."""
    shown_ = Table("stage", "analyzer", "wall s", "CPU s", "asked before s", title=title)
    names = ("wall_seconds", "cpu_seconds", "repeated_seconds")
    for step in steps:
        shown_.add_row(str(step["stage"]), step["analyzer"], *(f"{step[name]:.2f}" for name in names))
    for analyzer, reason in missing.items():
        shown_.add_row("-", analyzer, f"left out: {reason}")
    shown_.add_section()
    shown_.add_row("", "all", *(f"{sum(step[name] for step in steps):.2f}" for name in names), style="bold")
    return shown_


def main(arguments: list[str] | None = None) -> int:
    """Analyse a clip as the predecessor did, print what it took; or serve `PredecessorProcess`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.predecessor", description="The predecessor's way.")
    parser.add_argument("--clip", type=Path, help="default: ten seconds that are made on the fly")
    parser.add_argument("--profile", default="cpu", choices=settings.profile_names())
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda:0")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--work", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.work:
        lists = {name: tuple(value) for name, value in options.work.items() if isinstance(value, list)}
        work = Work(**(options.work | lists | {"weights": Weights(**options.work["weights"])}))
        _serve(Predecessor(work, Libraries(work.weights, work.device)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        clip = options.clip or footage.write_clip(
            Path(folder) / "clip.mp4", width=1080, height=1920, rate=30, seconds=10.0
        )
        work = Work(clip=str(clip), weights=Weights.of(options.profile), profile=options.profile, device=options.device)
        with PredecessorProcess(work) as predecessor:
            for _ in range(options.repeats):
                title = (
                    f"{clip.name}, {options.profile} on {options.device}, ready after {predecessor.ready_seconds:.1f} s"
                )
                Console().print(table(predecessor.analyze(), predecessor.loaded["missing"], title))
    return 0


if __name__ == "__main__":
    sys.exit(main())
