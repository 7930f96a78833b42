"""The decoding loop of speech_whisper outside of Triton: its modules, and networks that onnxruntime runs in-process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from places import CHECKOUT
from reelscope_export import verify

MODULES = CHECKOUT / "model_repository" / "speech_whisper" / "1"


@contextmanager
def modules() -> Iterator[SimpleNamespace]:
    """The loop's modules, found as Triton's stub finds them: their folder is on the path."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(MODULES))
        import alignment
        import decoding
        import segments
        import tokens
        import transcript
        import windows

        yield SimpleNamespace(
            alignment=alignment,
            decoding=decoding,
            segments=segments,
            tokens=tokens,
            transcript=transcript,
            windows=windows,
        )
        for name in set(sys.modules) - before:
            if str(MODULES) in (getattr(sys.modules[name], "__file__", None) or ""):
                del sys.modules[name]


class Cross:
    """What the decoder attends to, as an array."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.shape = array.shape

    def rows(self, numbers: list[int]) -> Cross:
        return Cross(self.array[list(numbers)])


class Networks:
    """The two graphs of a repository."""

    def __init__(self, repository: Path) -> None:
        self._encode, self._decode = (
            verify.open_graph(repository / f"speech_whisper_{part}" / "1" / "cpu.onnx")
            for part in ("encoder", "decoder")
        )
        self.decoder_calls = 0

    def encode(self, *arrays: np.ndarray) -> Cross:
        return Cross(self._encode(*arrays)["cross"])

    def decode(self, cross: Cross, inputs: dict[str, np.ndarray], outputs: list[str]) -> dict[str, Any]:
        self.decoder_calls += 1
        names = ("tokens", "history", "cache", "cross", "temperatures", "uniforms")
        found = self._decode(*(cross.array if name == "cross" else inputs[name] for name in names))
        return {name: found[name] for name in outputs}
