"""When somebody speaks, from the ensemble `speech_activity`; passes the sound on in passages cut where nobody does.

The network carries a state from frame to frame. Long clips are asked about block by block; every block begins with a
lead-in that lets the state settle, and whose answers are left out.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from reelscope.signals import SpeechActivity
from reelscope.sources.ensemble import AskingSource
from reelscope.sources.speech_spans import PARAMETERS, speech_spans, within
from reelscope.types import MONO_SAMPLE_RATE_HZ, ClipHeader, MonoChunk, SpeechPassage

FRAME_SAMPLES = 512
"""Samples that the network judges at a time."""
HOP_SECONDS = FRAME_SAMPLES / MONO_SAMPLE_RATE_HZ
LEAD_IN_FRAMES = 64
BLOCK_FRAMES = 960
"""31 s: what most clips are shorter than."""
PASSAGE_FRAMES = 1875
"""60 s: a passage that is as long is passed on, up to a pause in its second half."""


class SpeechActivitySource(AskingSource[MonoChunk]):
    """Mono sound in, `SpeechActivity` out; emits a SpeechPassage whenever enough sound has been judged."""

    consumes: ClassVar[type] = MonoChunk
    ensemble = "speech_activity"
    networks = ("voice_activity_silero",)
    outputs = ("speech_probabilities",)
    parameters = PARAMETERS

    def start(self, header: ClipHeader) -> None:
        """Begin without sound."""
        super().start(header)
        self._lead_in = np.empty(0, np.float32)
        self._unasked = np.empty(0, np.float32)
        self._passage = np.empty(0, np.float32)
        self._passage_frame = 0
        self._heard_samples = 0
        self._probabilities = np.empty(0, np.float32)

    def push(self, part: MonoChunk) -> None:
        """Collect a block, and ask about it."""
        self._heard_samples += len(part.samples)
        self._unasked = np.concatenate([self._unasked, part.samples])
        if self.listeners:
            self._passage = np.concatenate([self._passage, part.samples])
        block_samples = BLOCK_FRAMES * FRAME_SAMPLES
        while len(self._unasked) >= block_samples:
            self._ask_block(self._unasked[:block_samples])
            self._unasked = self._unasked[block_samples:]

    def consume(self, about: int, answer: dict[str, NDArray[Any]]) -> None:
        """Keep the answers behind the lead-in, which has `about` frames."""
        self._probabilities = np.concatenate([self._probabilities, answer["speech_probabilities"][0, about:]])
        while self.listeners and len(self._probabilities) - self._passage_frame >= PASSAGE_FRAMES:
            end = self._passage_frame + PASSAGE_FRAMES
            frames = self._cut(self._probabilities[self._passage_frame : end])
            self._pass_on(frames * FRAME_SAMPLES)
            self._passage_frame += frames

    def finish(self, duration_seconds: float) -> SpeechActivity:
        """Ask about the rest of the clip, pass on the last passage; what is heard after the last frame is left out."""
        end_samples = min(self._heard_samples, round(duration_seconds * MONO_SAMPLE_RATE_HZ))
        asked_samples = self._heard_samples - len(self._unasked)
        if rest := max(0, end_samples - asked_samples):
            self._ask_block(self._unasked[:rest])
        self.drain()
        self._probabilities = self._probabilities[: -(-end_samples // FRAME_SAMPLES)]
        if self.listeners and (left := end_samples - self._passage_frame * FRAME_SAMPLES) > 0:
            self._pass_on(left)
        return SpeechActivity(
            sampling="A16",
            sample_count=end_samples,
            models=self.models(),
            duration_seconds=duration_seconds,
            hop_seconds=HOP_SECONDS,
            probabilities=self._probabilities,
            spans_seconds=within(speech_spans(self._probabilities, HOP_SECONDS), end_samples / MONO_SAMPLE_RATE_HZ),
        )

    def _ask_block(self, samples: NDArray[np.float32]) -> None:
        waveform = np.concatenate([self._lead_in, samples])
        self.ask_about({"waveform": waveform[None]}, len(self._lead_in) // FRAME_SAMPLES)
        self._lead_in = waveform[-LEAD_IN_FRAMES * FRAME_SAMPLES :]

    def _pass_on(self, sample_count: int) -> None:
        """Emit the first `sample_count` samples of the passage."""
        samples, self._passage = self._passage[:sample_count], self._passage[sample_count:]
        frames = -(-sample_count // FRAME_SAMPLES)
        heard = self._probabilities[self._passage_frame : self._passage_frame + frames]
        spans = within(speech_spans(heard, HOP_SECONDS), sample_count / MONO_SAMPLE_RATE_HZ)
        start = self._passage_frame * HOP_SECONDS
        self.emit(SpeechPassage(samples=samples, start_seconds=start, spans_seconds=spans + start))

    @staticmethod
    def _cut(probabilities: NDArray[np.float32]) -> int:
        """Frame to cut a passage at: the middle of the longest pause in its second half, else where speech is least."""
        middle, end = len(probabilities) // 2, len(probabilities)
        spans = np.round(speech_spans(probabilities, HOP_SECONDS) / HOP_SECONDS).astype(int)
        starts = np.maximum([0, *spans[:, 1]], middle)
        ends = np.maximum([*spans[:, 0], end], middle)
        longest = int(np.argmax(ends - starts))
        if ends[longest] > starts[longest]:
            return int(starts[longest] + ends[longest]) // 2
        return middle + int(np.argmin(probabilities[middle:]))
