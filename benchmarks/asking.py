"""Asking a served model or ensemble about made-up rows, and how long its answers take."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks import milliseconds, timed
from reelscope.inference import InferenceClient, PendingAnswer
from reelscope.types import WINDOW_FRAMES, FrameBuffer
from reelscope_export import spoken
from reelscope_export.contract import Contract, Tensor
from reelscope_export.verify import Run

HEIGHT, WIDTH = 1280, 720
CONSTANTS = {"count": 1, "widths": 160, "canvas_px": 1280, "sample_counts": 16_000, "seek_frames": 0}
"""Faces in each frame, columns of a line of text, longer side that text is sought at, samples of a second of sound."""
NOT_MADE_UP = frozenset({"cross"})
"""What another network gives, tens of megabytes a row."""
STRINGS = {"task": b"window"}
SENTENCE = "Somebody says a sentence of average length, and says it again."
VIDEO_FRAMES = 2
IN_FLIGHT = 4
"""Windows under way at once where throughput is measured."""
MOST_SECONDS = 10.0
"""For one timing."""
DEADLINE_SECONDS = 300.0
"""For one answer; the first of a shape searches cuDNN's algorithms."""


def scene(rows: int, height: int = HEIGHT, width: int = WIDTH, channels: int = 3) -> np.ndarray:
    """Pictures of large random squares, uint8 [rows,height,width,channels]."""
    side = max(1, min(height, width) // 9)
    shape = (rows, -(-height // side), -(-width // side), channels)
    squares = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return squares.repeat(side, axis=1).repeat(side, axis=2)[:, :height, :width]


def sample(tensor: Tensor, rows: int, *, batched: bool) -> np.ndarray:
    """An input of `rows` rows, as a clip would give it: pictures, boxes of a third of the frame, faces within them.

    A row of sound is a second of speech: each alone where rows are batched; where they are not, the request has one
    waveform, with one after the other. An input that is no row's but the request's has the shape that it must have.
    """
    dims = tensor.dims if batched else tensor.dims[1:]
    if tensor.name == "waveform":
        speech = np.resize(spoken.say(SENTENCE), rows * spoken.SAMPLE_RATE_HZ)
        return speech.reshape(rows if batched else 1, -1)
    if not batched and tensor.dims[0] > 0:
        return np.full(tensor.dims, STRINGS.get(tensor.name, b""), np.object_)
    if tensor.data_type == "TYPE_STRING":
        return np.full((rows, *dims), STRINGS.get(tensor.name, b""), np.object_)
    if tensor.data_type == "TYPE_UINT8" and len(dims) == 4:  # each row is a video
        return scene(rows * VIDEO_FRAMES).reshape(rows, VIDEO_FRAMES, HEIGHT, WIDTH, 3)
    if tensor.data_type == "TYPE_UINT8":
        height, width, *channels = dims
        height, width = (fixed if fixed > 0 else free for fixed, free in ((height, HEIGHT), (width, WIDTH)))
        return scene(rows, height, width, *channels or [1]).reshape(rows, height, width, *channels)
    random = np.random.default_rng(0)
    if tensor.name in CONSTANTS:
        return np.full((rows, *dims), CONSTANTS[tensor.name], np.int32)
    if tensor.name == "frame_index":
        return np.arange(rows, dtype=np.int32).reshape(rows, *dims)
    if tensor.name == "boxes_xyxy":
        corners = random.uniform(0, 0.6, (rows, *dims[:-1], 2))
        return np.concatenate((corners, corners + 0.33), axis=-1).astype(np.float32)
    sizes = (dim if dim > 0 else 160 for dim in dims)
    return random.random((rows, *sizes), np.float32)


def served(client: InferenceClient, contract: Contract) -> Run:
    """What the server answers for a model, in the form that `verify` compares."""
    asking = Asking(client, contract.name, tuple(tensor.name for tensor in contract.all_outputs))

    def run(*arrays: np.ndarray) -> dict[str, np.ndarray]:
        return asking.submit(
            {tensor.name: array for tensor, array in zip(contract.inputs, arrays, strict=True)}
        ).result()

    return run


@dataclass(frozen=True, slots=True)
class Asking:
    """Requests to one model or ensemble for all that it answers but its provenance."""

    client: InferenceClient
    model: str
    outputs: tuple[str, ...]

    @classmethod
    def of(cls, client: InferenceClient, contract: Contract) -> Asking:
        """Ask a model by its contract."""
        return cls(client, contract.name, tuple(tensor.name for tensor in contract.outputs))

    def submit(self, inputs: Mapping[str, np.ndarray], window: FrameBuffer | None = None) -> PendingAnswer:
        """Ask once; the frames lie in `window`, if there is one, and everything else is copied."""
        if window is None:
            return self.client.ask(self.model, inputs, self.outputs, DEADLINE_SECONDS)
        others = {name: array for name, array in inputs.items() if name != "frames"}
        rows = len(inputs["frames"])
        return self.client.submit(self.model, window, rows, self.outputs, DEADLINE_SECONDS, others)

    def several(
        self, inputs: Mapping[str, np.ndarray], count: int, in_flight: int, window: FrameBuffer | None = None
    ) -> None:
        """Send `count` equal requests, `in_flight` at once, and wait for the answers."""
        pending: deque[PendingAnswer] = deque()
        for _ in range(count):
            if len(pending) == in_flight:
                pending.popleft().result()
            pending.append(self.submit(inputs, window))
        while pending:
            pending.popleft().result()


@dataclass(frozen=True, slots=True)
class Speed:
    """Times of one model or ensemble."""

    one_row: dict[str, float]
    """Of one frame, or of one of what else the model takes."""
    window: dict[str, float]
    """Of WINDOW_FRAMES of them, or as many as the model takes; frames in shared memory, one request at a time."""
    rows_per_second: float
    """With IN_FLIGHT windows under way; with one where these would take longer than MOST_SECONDS."""


def measure_speed(
    asking: Asking, tensors: Sequence[Tensor], *, batched: bool, repeats: int, window_rows: int = WINDOW_FRAMES
) -> Speed:
    """One row (a frame, or what else the model takes), a window's number of them, and windows in flight.

    `window_rows` is less than a window's frames for a model that takes fewer at once. Of `repeats` as many are made as
    fit into MOST_SECONDS: on two cores some models take that for one window.
    """
    one, many = ({each.name: sample(each, rows, batched=batched) for each in tensors} for rows in (1, window_rows))
    window = None
    if "frames" in many and many["frames"].ndim == 4:
        window = asking.client.allocate(HEIGHT, WIDTH)
        window.array[:window_rows] = many["frames"]
        assert asking.client.uses_shared_memory
    found = []
    for inputs in (one, many):  # the first call searches algorithms for the shape
        ask = functools.partial(asking.several, inputs, 1, 1, window)
        found.append(milliseconds(ask, repeats, warm_up=1, most_seconds=MOST_SECONDS))
    seconds = found[1]["p50_ms"] / 1000
    if IN_FLIGHT * seconds < MOST_SECONDS:
        asking.several(many, IN_FLIGHT, IN_FLIGHT, window)  # and so does every instance
        crowded = functools.partial(asking.several, many, repeats, IN_FLIGHT, window)
        seconds = timed(crowded) / 1000 / repeats
    if window is not None:
        window.close()
    return Speed(found[0], found[1], window_rows / seconds)
