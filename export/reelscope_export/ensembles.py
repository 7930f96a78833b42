"""The ensembles (signals) that are wired by rule: models over the same input, outputs passed through by name."""

from __future__ import annotations

from dataclasses import dataclass

from reelscope_export.contract import PROVENANCE


@dataclass(frozen=True, slots=True)
class Ensemble:
    """One signal: the models that answer a request for it, all fed with the ensemble's input."""

    name: str
    comment: tuple[str, ...]
    """Head comment of the config, line by line."""
    max_batch_size: int
    models: tuple[str, ...]

    def tensor_name(self, model: str, tensor: str) -> str:
        """Name that a model's tensor has in the ensemble: `provenance` says whose it is, the others stay."""
        return f"{model}_{tensor}" if tensor == PROVENANCE.name else tensor


ENSEMBLES: tuple[Ensemble, ...] = (
    Ensemble(
        name="detections",
        comment=(
            "Detections: COCO objects in each frame. RGB frames of any size, one size per request.",
            "Tensors as in model_repository/object_yolov8; object_yolov8_provenance says which weights answered.",
        ),
        max_batch_size=32,
        models=("object_yolov8",),
    ),
    Ensemble(
        name="embeddings",
        comment=(
            "Embeddings: CLIP's view of each frame. RGB frames of any size, one size per request.",
            "Tensors as in model_repository/embedding_clip; embedding_clip_provenance says which weights answered.",
        ),
        max_batch_size=32,
        models=("embedding_clip",),
    ),
)
"""Every ensemble; each is a folder below `ensembles/`."""
