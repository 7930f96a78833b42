"""What a vision-language model says, from the ensemble `understanding`: windows first, then all of them together.

Cuts are known when the clip has ended, so small frames are kept until then (`KeptFrames`). The windows are asked about
at once, while others still read and listen. What can be read and what is said reaches the model with the question about
the whole, where the models that read and hear are trained. Times are those of the windows: the model is never asked for
one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from reelscope.errors import SourceFailed
from reelscope.signals import (
    Parameter,
    Shots,
    Signal,
    SpokenWords,
    Synopsis,
    TextRegions,
    Understanding,
    UnderstoodWindow,
)
from reelscope.sources.base import sampling_name
from reelscope.sources.ensemble import AskingSource
from reelscope.sources.kept_frames import KeptFrames
from reelscope.sources.understanding_windows import MAX_FRAMES, WINDOW_FRAMES, WINDOW_SECONDS, Plan, plan
from reelscope.types import ClipHeader, ExtraWindow, Window

LARGEST_PX = 504 * 392
"""Pixels of a frame that the model looks at."""
KEPT_FRAMES = 128
WINDOWS_PER_CALL = 8
CONTEXT_CHARS = 2400
"""Longest context of the question about the whole, half of it what is read and said."""
WHOLE_FRAMES = 8

PARAMETERS: dict[str, Parameter] = {
    "vlm_window_seconds": WINDOW_SECONDS,
    "vlm_window_frames": WINDOW_FRAMES,
    "vlm_max_frames": MAX_FRAMES,
    "vlm_frame_px": LARGEST_PX,
}


class UnderstandingSource(AskingSource[Any]):
    """Windows of the uploaded track and the shots in, `Understanding` out."""

    consumes = (Window, Shots, TextRegions, SpokenWords)
    needs = (Shots,)
    context: ClassVar[tuple[type[Signal], ...]] = (TextRegions, SpokenWords)
    ensemble = "understanding"
    networks = ("video_understanding_qwen2vl",)
    outputs = ("answer",)
    parameters = PARAMETERS
    in_flight = MAX_FRAMES
    """Any number: what is asked at once is answered in one batch, and it is 40 MB at most."""

    def start(self, header: ClipHeader) -> None:
        """Begin without frames."""
        super().start(header)
        self._rate = header.base_frame_rate
        self._kept = KeptFrames(KEPT_FRAMES, LARGEST_PX)
        self._known: dict[type, Any] = {}
        self._plans: tuple[Plan, ...] = ()
        self._answers: dict[Any, dict[str, Any]] = {}

    def push(self, part: Window | Signal) -> None:
        """Keep frames, and what others have found; ask about the windows once the cuts are known."""
        if isinstance(part, Shots):  # all frames were pushed before
            self._plans = plan(part.shots, self._kept.times_seconds(), part.shots[-1].end_seconds)
            self._ask_windows()
        elif isinstance(part, Signal):
            if not part.untrained_models:
                self._known[type(part)] = part
        elif not isinstance(part, ExtraWindow):
            self._kept.add(part)

    def consume(self, about: Sequence[Any], answer: dict[str, NDArray[Any]]) -> None:
        """Keep the answers to one call, a row each."""
        for each, text in zip(about, answer["answer"][:, 0], strict=True):
            try:
                self._answers[each] = json.loads(text)
            except ValueError as error:
                raise SourceFailed(f"{self.ensemble}: an answer is no JSON: {error}") from error

    def finish(self, duration_seconds: float) -> Understanding:
        """Wait for the windows, then ask about the whole."""
        self.drain()
        plans, times = self._plans, self._kept.times_seconds()
        windows = tuple(_window(each, times, self._answers[each]) for each in plans)
        if plans:
            self._ask_whole(windows)
            self.drain()
        self._kept.clear()
        return Understanding(
            sampling=sampling_name(self._rate, self._rate),
            sampling_fps=float(self._rate),
            sample_count=sum(len(each.numbers) for each in plans),
            models=self.models(),
            windows=windows,
            whole=_whole(self._answers["whole"]) if plans else None,
            duration_seconds=duration_seconds,
        )

    def _ask_windows(self) -> None:
        """Rows of one call share a shape: windows of as many frames are asked about together.

        All calls are prepared before the first is sent, so that the server finds them together and decodes one batch.
        """
        by_count = sorted(self._plans, key=lambda each: len(each.numbers))
        calls = []
        for _, same in groupby(by_count, key=lambda each: len(each.numbers)):
            plans = list(same)
            for first in range(0, len(plans), WINDOWS_PER_CALL):
                together = plans[first : first + WINDOWS_PER_CALL]
                calls.append((np.stack([self._kept.frames(each.numbers) for each in together]), together))
        for frames, together in calls:
            self.ask_about({"frames": frames, **_texts("window", [""] * len(together))}, together)

    def _ask_whole(self, windows: Sequence[UnderstoodWindow]) -> None:
        """A frame from the middle of some windows, and what was read, said, and said of all windows."""
        plans = self._plans
        chosen = np.unique(np.linspace(0, len(plans) - 1, min(WHOLE_FRAMES, len(plans))).round().astype(int))
        middles = [plans[number].numbers[len(plans[number].numbers) // 2] for number in chosen]
        lines = [f"{each.start_seconds:.1f}-{each.end_seconds:.1f} s: {each.caption}" for each in windows]
        context = "\n".join(filter(None, [self._context()[: CONTEXT_CHARS // 2], *lines]))
        frames = self._kept.frames(middles)[None]
        self.ask_about({"frames": frames, **_texts("synthesis", [context[:CONTEXT_CHARS]])}, ["whole"])

    def _context(self) -> str:
        """What can be read and what is said in the clip; empty where nobody knows."""
        parts: list[tuple[str, Iterable[str]]] = []
        if regions := self._known.get(TextRegions):
            parts.append(("On screen", dict.fromkeys(regions.texts)))
        if spoken := self._known.get(SpokenWords):
            parts.append(("Said", [word.text for word in spoken.words]))
        texts = ((name, " ".join(said)) for name, said in parts)
        return "\n".join(f"{name}: {text}" for name, text in texts if text)


def _texts(task: str, contexts: Sequence[str]) -> dict[str, NDArray[Any]]:
    return {
        "task": np.full((len(contexts), 1), task.encode(), np.object_),
        "context": np.array([[context.encode()] for context in contexts], np.object_),
    }


def _window(planned: Plan, times_seconds: NDArray[np.float64], said: dict[str, Any]) -> UnderstoodWindow:
    return UnderstoodWindow(
        start_seconds=planned.start_seconds,
        end_seconds=planned.end_seconds,
        frames_seconds=tuple(float(times_seconds[number]) for number in planned.numbers),
        caption=said["caption"].strip(),
        subjects=tuple(said["subjects"]),
        action=said["action"].strip() or None,
        setting=said["setting"].strip() or None,
        shot_size=said["shot_size"],
        mood=said["mood"].strip() or None,
    )


def _whole(said: dict[str, Any]) -> Synopsis:
    return Synopsis(
        synopsis=" ".join(said["synopsis"]).strip(),
        genre=said["genre"].strip() or None,
        topics=tuple(said["topics"]),
        hook_type=said["hook_type"],
        call_to_action=said["cta"].strip() or None,
        claims=tuple(said["claims"]),
        language=said["language"] or None,
    )
