"""InsightFace's model packs: single networks of theirs, loaded by insightface's own classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reelscope_export import paths
from reelscope_export.errors import WeightsUnreadable


def load(weights: Path, task: str) -> Any:
    """Load one network of a pack as `insightface.app.FaceAnalysis` loads it, on the CPU.

    Args:
        weights: its ONNX file.
        task: insightface's name of what it must be for: detection, genderage, landmark_2d_106.

    Raises:
        WeightsUnreadable: insightface cannot load the file, or it is for something else.
    """
    paths.isolate_libraries()
    from insightface.model_zoo import get_model

    try:
        network = get_model(str(weights), providers=["CPUExecutionProvider"])
    except Exception as exc:  # onnx's, onnxruntime's and insightface's asserts
        raise WeightsUnreadable(f"{weights}: {exc}; delete the file to fetch it again") from exc
    found = getattr(network, "taskname", "nothing that insightface knows")
    if found != task:
        raise WeightsUnreadable(f"{weights}: a network for {found}, not for {task}; put the pack's own file there")
    network.prepare(-1)
    return network
