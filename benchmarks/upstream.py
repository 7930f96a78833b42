"""The upstream libraries, used as their documentation shows it: what a program without this project would call.

OpenCV reads the frames, every library does its own pre- and post-processing, PyTorch runs eagerly. Weights are those of
the served models. Everything is loaded at first use and kept.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import checkpoint
from reelscope import settings
from reelscope.errors import ReelscopeError
from reelscope_export import fingerprint, paths, weights
from reelscope_export.errors import ExportError
from reelscope_export.registry import load_module

Frame = NDArray[np.uint8]
Sound = NDArray[np.float32]

HEARING_HZ = 16_000
"""Sample rate of the networks that hear."""


class Absent(Exception):
    """A library or its weights are not here; says which."""


def shown(clip: Path, rate: Fraction) -> Iterator[Frame]:
    """BGR frames of a clip of constant frame rate at k/rate seconds; those between are not converted."""
    capture = cv2.VideoCapture(str(clip))
    frame_rate = Fraction(capture.get(cv2.CAP_PROP_FPS)).limit_denominator(1001)
    wanted = 0
    for index in itertools.count():
        if not capture.grab():
            break
        if Fraction(index) / frame_rate >= wanted / rate:
            wanted += 1
            yield np.asarray(capture.retrieve()[1], np.uint8)
    capture.release()


def heard(clip: Path, rate_hz: int) -> Sound:
    """Mono sound of a clip, [n]. By PyAV: librosa's and Whisper's own loaders want a program `ffmpeg` for MP4."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=rate_hz)
    with av.open(str(clip)) as container:
        decoded = itertools.chain(container.decode(audio=0), [None])
        chunks = [part.to_ndarray()[0] for frame in decoded for part in resampler.resample(frame)]
    return np.concatenate(chunks)


MODELS = (
    "object_yolov8",
    "pose_yolov8",
    "embedding_clip",
    "segmentation_segformer",
    "face_detection_scrfd",
    "face_attributes",
    "face_landmarks",
    "face_expression",
    "speech_whisper_decoder",
    "speech_emotion_wav2vec2",
    "sound_events_ast",
    "video_understanding_qwen2vl",
    "text_detection_craft",
    "text_recognition_crnn",
)
"""Served models whose weights upstream's libraries load."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights that the models of a profile were built from."""

    files: dict[str, str]
    """Model to its file."""
    absent: dict[str, str]
    """Model without one, and why."""
    trained: tuple[str, ...]

    @classmethod
    def of(cls, profile: str) -> Weights:
        """Find them; random ones that are not in the cache are drawn again, which takes minutes for large ones."""
        files, absent, trained = {}, {}, []
        for model in MODELS:
            chosen = paths.model_settings(paths.read_profiles(), profile, model)
            built = settings.model_repository() / model / "1" / chosen.model_file
            recorded = fingerprint.recorded_weights(built, fingerprint.read_metadata(built))
            if recorded is None:
                absent[model] = f"{model} is not built for profile {profile}"
                continue
            trained += [model] * recorded.trained
            try:
                files[model] = str(_file(chosen, recorded))
            except ModuleNotFoundError as error:
                absent[model] = f"weights of {model} cannot be drawn: {error.name} is not installed"
            except (ExportError, FileNotFoundError) as error:
                absent[model] = f"weights of {model}: {error}"
        return cls(files, absent, tuple(trained))

    def file(self, model: str) -> Path:
        """Of one model.

        Raises:
            Absent: there are none.
        """
        if model in self.absent:
            raise Absent(self.absent[model])
        return Path(self.files[model])


def _file(chosen: paths.ModelSettings, recorded: weights.Weights) -> Path:
    try:
        return checkpoint(recorded.sha256)
    except FileNotFoundError:
        if recorded.trained:
            raise
    module = load_module(chosen.model)
    drawn = weights.Cache(paths.weights_folder(), weights.read_manifest()).resolve(
        chosen.model,
        chosen.variant,
        mode="random",
        policy="any",
        write_random=lambda file: module.write_random(chosen.variant, file),
        recipe=fingerprint.recipe(chosen.model)[:12],
    )
    if drawn.sha256 != recorded.sha256:
        raise FileNotFoundError("built from other random weights than are drawn here; build it again")
    return drawn.file


class Libraries:
    """Everything upstream that looks at frames or listens, on one device."""

    def __init__(self, found: Weights, device: str) -> None:
        """Load nothing yet."""
        paths.isolate_libraries()
        self._weights, self.device = found, device
        self._on_gpu = device != "cpu"

    def load(self, names: Iterable[str]) -> None:
        """Load what is named.

        Raises:
            Absent: a library is not installed, or its weights are not here.
        """
        for name in names:
            try:
                getattr(self, name)
            except ModuleNotFoundError as error:
                raise Absent(f"the library {error.name} is not installed") from error
            except (ExportError, ReelscopeError, FileNotFoundError) as error:
                raise Absent(f"{name}: {error}") from error

    @cached_property
    def detector(self) -> Any:
        """YOLOv8 by ultralytics."""
        return self._yolo("object_yolov8")

    @cached_property
    def pose(self) -> Any:
        """YOLOv8-pose by ultralytics."""
        return self._yolo("pose_yolov8")

    @cached_property
    def clip(self) -> Any:
        """CLIP by transformers: a picture to its embedding."""
        from reelscope_export import embedding_clip

        checkpoint = embedding_clip.load(self._weights.file("embedding_clip"))
        network = checkpoint.network.to(self.device)

        def look(frame: Frame) -> Any:
            inputs = checkpoint.processor(images=_picture(frame), return_tensors="pt").to(self.device)
            return network.get_image_features(**inputs)

        return look

    @cached_property
    def segmenter(self) -> Any:
        """SegFormer by transformers: a picture to its label map."""
        from transformers import SegformerForSemanticSegmentation, SegformerImageProcessor

        folder = self._weights.file("segmentation_segformer").parent
        network = SegformerForSemanticSegmentation.from_pretrained(folder).to(self.device).eval()
        processor = SegformerImageProcessor.from_pretrained(folder)

        def look(frame: Frame) -> Any:
            inputs = processor(images=_picture(frame), return_tensors="pt").to(self.device)
            logits = network(**inputs).logits
            size = frame.shape[:2]
            return torch.nn.functional.interpolate(logits, size=size, mode="bilinear").argmax(1).to(torch.uint8).cpu()

        return look

    @cached_property
    def faces(self) -> Any:
        """InsightFace's `FaceAnalysis` over a pack of the three served networks."""
        from insightface.app import FaceAnalysis

        pack = Path(tempfile.mkdtemp()) / "models" / "pack"
        pack.mkdir(parents=True)
        for model in ("face_detection_scrfd", "face_attributes", "face_landmarks"):
            file = self._weights.file(model)
            (pack / file.name).symlink_to(file)
        analysis = FaceAnalysis(name="pack", root=str(pack.parents[1]), providers=self._providers)
        analysis.prepare(ctx_id=0 if self._on_gpu else -1, det_size=(640, 640))
        return analysis

    @cached_property
    def expression(self) -> Any:
        """HSEmotion by its ONNX package: an aligned face to its expression."""
        return load_module("face_expression").load(self._weights.file("face_expression"))  # type: ignore[attr-defined]

    @cached_property
    def reader(self) -> Any:
        """The text reader whose weights are served: EasyOCR where they are trained, else RapidOCR."""
        if "text_detection_craft" in self._weights.trained:
            import easyocr

            detection, recognition = (
                self._weights.file(f"text_{name}") for name in ("detection_craft", "recognition_crnn")
            )
            from reelscope_export import easyocr_networks

            reader = easyocr.Reader(
                easyocr_networks.languages(recognition.stem),
                gpu=self._on_gpu,
                model_storage_directory=str(detection.parent),
                download_enabled=False,
                quantize=False,
                verbose=False,
            )
            return lambda frame: reader.readtext(frame, canvas_size=1280 if self._on_gpu else 640)
        from rapidocr import RapidOCR

        on_gpu = {"EngineConfig.onnxruntime.use_cuda": True} if self._on_gpu else {}
        return RapidOCR(params={"Global.log_level": "critical", **on_gpu})

    @cached_property
    def whisper(self) -> Any:
        """openai-whisper."""
        from reelscope_export import whisper_network

        return whisper_network.load(self._weights.file("speech_whisper_decoder")).to(self.device)

    @cached_property
    def voice(self) -> Any:
        """wav2vec 2.0 of audEERING by transformers: sound to excitement, strength, pleasantness."""
        from reelscope_export import speech_emotion_wav2vec2

        return self._listening(speech_emotion_wav2vec2.load(self._weights.file("speech_emotion_wav2vec2")))

    @cached_property
    def sounds(self) -> Any:
        """AST by transformers: sound to labels."""
        from reelscope_export import sound_events_ast

        return self._listening(sound_events_ast.load(self._weights.file("sound_events_ast")))

    @cached_property
    def qwen(self) -> Any:
        """Qwen2-VL by transformers: `generate` over a batch of windows, in mixed precision on a GPU."""
        from transformers import Qwen2VLForConditionalGeneration, Qwen2VLProcessor

        folder = self._weights.file("video_understanding_qwen2vl").parent
        dtype = torch.float16 if self._on_gpu else torch.float32
        network = Qwen2VLForConditionalGeneration.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa")
        network = network.to(self.device).eval()
        processor = Qwen2VLProcessor.from_pretrained(folder)
        processor.tokenizer.padding_side = "left"

        def ask(windows: Sequence[NDArray[np.uint8]], prompt: str, new_tokens: int, largest_px: int) -> int:
            said = [{"type": "video"}, {"type": "text", "text": prompt}]
            text = processor.apply_chat_template(
                [{"role": "user", "content": said}], tokenize=False, add_generation_prompt=True
            )
            batch = processor(
                text=[text] * len(windows),
                videos=[torch.from_numpy(frames).permute(0, 3, 1, 2) for frames in windows],
                padding=True,
                return_tensors="pt",
                size={"shortest_edge": 56 * 56, "longest_edge": largest_px},
                cap_pixels_per_frame=False,
            ).to(self.device)
            with torch.autocast("cuda", torch.float16, enabled=self._on_gpu):
                ids = network.generate(**batch, do_sample=False, min_new_tokens=new_tokens, max_new_tokens=new_tokens)
            return int(ids.shape[1] - batch["input_ids"].shape[1])

        return ask

    @property
    def _providers(self) -> list[str]:
        return ["CUDAExecutionProvider"] * self._on_gpu + ["CPUExecutionProvider"]

    def _yolo(self, model: str) -> Any:
        network = load_module(model).load(self._weights.file(model))  # type: ignore[attr-defined]
        options = {"imgsz": 640, "rect": True, "device": self.device, "verbose": False}
        return lambda frame: network.predict(frame, **options)

    def _listening(self, loaded: Any) -> Any:
        network = loaded.network.to(self.device)

        def listen(sound: Sound) -> Any:
            inputs = loaded.extractor(sound, sampling_rate=HEARING_HZ, return_tensors="pt").to(self.device)
            return network(inputs["input_values"])

        return listen


def _picture(frame: Frame) -> Any:
    from PIL import Image

    return Image.fromarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
