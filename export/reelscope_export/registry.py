"""The models that can be exported. A new one costs its file and one line here."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from reelscope_export import paths
from reelscope_export.contract import Contract
from reelscope_export.errors import LibraryMissing, UnknownModel

if TYPE_CHECKING:
    import onnx

    from reelscope_export.verify import Measure, Run

MODELS: tuple[str, ...] = (
    "object_yolov8",
    "embedding_clip",
    "pose_yolov8",
    "segmentation_segformer",
    "object_crops",
    "text_detection_craft",
    "text_recognition_crnn",
    "text_detection_ppocr",
    "text_orientation_ppocr",
    "text_recognition_ppocr",
    "text_recognition_ppocr_short",
    "face_detection_scrfd",
    "face_attributes",
    "face_landmarks",
    "face_expression",
    "voice_activity_silero",
    "speech_whisper_encoder",
    "speech_whisper_decoder",
    "sound_events_ast",
    "speech_emotion_wav2vec2",
    "video_understanding_qwen2vl",
)
"""Names of the models; each is a module of this package. Names only, so that listing them imports nothing."""


ADAPTERS: tuple[str, ...] = ("text_reader", "face_crops", "speech_whisper")
"""Python models: a committed 1/model.py, no weights of their own. Each has a module here that holds its CONTRACT."""


class ModelModule(Protocol):
    """What a model's module offers."""

    CONTRACT: Contract

    def write_random(self, variant: str, file: Path) -> None:
        """Write seeded random weights in the upstream library's own format; equal calls give equal bytes.

        A model whose weights come in an installed package, or that has none, has no such function.
        """

    def build(self, weights: Path, precision: str) -> onnx.ModelProto:
        """Build the graph, without provenance, from weights loaded by the upstream library."""

    def write(self, weights: Path, precision: str, metadata: dict[str, str], file: Path) -> None:
        """Of a Python model with weights, in place of `build`: write the file that its 1/model.py reads."""

    def open_built(self, file: Path) -> Run:
        """Of a Python model with weights: what the file answers, by the code that is served."""

    def verify(self, run: Run, weights: Path, *, variant: str, precision: str, trained: bool) -> tuple[Measure, ...]:
        """Compare what answers (the graph, or a server that serves it) with the upstream library, on the same weights
        and inputs."""

    def labels(self, weights: Path) -> tuple[str, ...]:
        """Names of the classes that the weights were trained for, by index; empty when there are none."""


def load_module(model: str) -> ModelModule:
    """Import a model's module, and with it torch.

    Raises:
        UnknownModel: no such model.
        LibraryMissing: the extra `export` is not installed.
    """
    if model not in (*MODELS, *ADAPTERS):
        raise UnknownModel(f"no model {model!r}; there are: {', '.join(MODELS)}")
    paths.isolate_libraries()
    try:
        return cast(ModelModule, importlib.import_module(f"{__package__}.{model}"))
    except ModuleNotFoundError as exc:
        raise LibraryMissing(f"{exc.name} is not installed: pip install 'reelscope[export]'") from exc
