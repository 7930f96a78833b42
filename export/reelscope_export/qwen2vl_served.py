"""The modules of model_repository/video_understanding_qwen2vl/1, run here as Triton's process runs them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from reelscope_export import paths
from reelscope_export.errors import LibraryMissing, VerificationFailed
from reelscope_export.verify import Array

_NAMES = (
    "answering",
    "checkpoint",
    "constraint",
    "decoding",
    "loading",
    "pictures",
    "questions",
    "rows",
    "step",
    "tasks",
)


@cache
def modules() -> SimpleNamespace:
    """Import them; under their short names they are found by each other alone.

    Raises:
        LibraryMissing: the extra `vlm` is not installed.
    """
    folder = str(paths.deployment_root() / "model_repository" / "video_understanding_qwen2vl" / "1")
    before = {name: sys.modules.pop(name) for name in _NAMES if name in sys.modules}
    sys.path.insert(0, folder)
    try:
        return SimpleNamespace(**{name: importlib.import_module(name) for name in _NAMES})
    except ModuleNotFoundError as exc:
        raise LibraryMissing(f"{exc.name} is not installed: pip install 'reelscope[export,vlm]'") from exc
    finally:
        sys.path.remove(folder)
        for name in _NAMES:
            sys.modules.pop(name, None)
        sys.modules.update(before)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread: two wait for each other at every layer of a small network, ages on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def load(file: Path, **limits: int) -> Any:
    """Open a built file on the CPU, with the limits that `loading.load` takes; returns the `Answerer`."""
    answerer, _ = modules().loading.load(
        file.parent.parent.name,
        file,
        device="cpu",
        thread_count=0,
        **limits,
    )
    return answerer


def answer(answerer: Any, frames: Array, tasks: Array, contexts: Array) -> dict[str, Array]:
    """Ask as a request does; outputs by the names of the contract.

    Raises:
        VerificationFailed: a question has no answer.
    """
    question = modules().questions.Question
    asked = zip(frames, tasks[:, 0], contexts[:, 0], strict=True)
    with one_thread():
        found = answerer.answer([question(video, task.decode(), context.decode()) for video, task, context in asked])
    if failed := next((each for each in found if isinstance(each, Exception)), None):
        raise VerificationFailed(f"no answer: {failed!r}")
    return {
        "answer": np.array([[each.text.encode()] for each in found], np.object_),
        "frame_count": np.array([[each.frame_count] for each in found], np.int32),
        "token_counts": np.array([[each.prompt_tokens, each.answer_tokens] for each in found], np.int32),
    }
