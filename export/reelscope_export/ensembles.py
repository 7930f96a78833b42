"""The ensembles (signals): which models answer, in which order, and what of their answers goes out.

Tensors keep their names from step to step, so that a step reads what an earlier one, or the caller, calls as it does;
`renamed` is for the others. `provenance` is renamed always: it says whose it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reelscope_export.contract import PROVENANCE, Tensor

FRAMES = Tensor("frames", "TYPE_UINT8", (-1, -1, 3))
"""Input of most ensembles: RGB frames of any size, one size per request."""


@dataclass(frozen=True, slots=True)
class Step:
    """One model of an ensemble."""

    model: str
    renamed: Mapping[str, str] = field(default_factory=dict)
    """The model's own name of a tensor to the ensemble's, where they differ."""
    inner: tuple[str, ...] = ()
    """Outputs, by the model's names, that later steps read and the caller does not get."""

    def tensor_name(self, tensor: str) -> str:
        """Name that a tensor of the model has in the ensemble."""
        return self.renamed.get(tensor, f"{self.model}_{tensor}" if tensor == PROVENANCE else tensor)


@dataclass(frozen=True, slots=True)
class Ensemble:
    """One signal: the models that answer a request for it."""

    name: str
    comment: tuple[str, ...]
    """Head comment of the config, line by line."""
    steps: tuple[Step, ...]
    inputs: tuple[Tensor, ...] = (FRAMES,)
    """What the caller sends; dims as in a contract, of batched models where `max_batch_size` is above 0."""
    max_batch_size: int = 32
    """0 where some step has rows of its own, such as faces: dims are then whole shapes."""


ENSEMBLES: tuple[Ensemble, ...] = (
    Ensemble(
        name="detections",
        comment=(
            "Detections: COCO objects in each frame. RGB frames of any size, one size per request.",
            "Tensors as in model_repository/object_yolov8; object_yolov8_provenance says which weights answered.",
        ),
        steps=(Step("object_yolov8"),),
    ),
    Ensemble(
        name="embeddings",
        comment=(
            "Embeddings: CLIP's view of each frame. RGB frames of any size, one size per request.",
            "Tensors as in model_repository/embedding_clip; embedding_clip_provenance says which weights answered.",
        ),
        steps=(Step("embedding_clip"),),
    ),
)
"""Every ensemble; each is a folder below `ensembles/`."""
