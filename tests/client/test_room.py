"""Windows in memory: how many are alive, however long the clip is and however slow a source."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
from feeding import Answer

import clips
from reelscope import pipeline, settings
from reelscope.analyzers.base import Analyzer, Finding
from reelscope.errors import ModelUnavailable
from reelscope.signals import Signal
from reelscope.sources import CPU_SOURCES, ENSEMBLE_SOURCES
from reelscope.sources.base import Source
from reelscope.sources.ensemble import EnsembleSource
from reelscope.types import ExtraWindow, Window

WINDOWS = 12
FILLED = 2
"""Windows that are filled at once: a regular one and one of extra frames."""
MOST = settings.profile("cpu").read_windows + FILLED


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen(Signal):
    """Signal of the first reader."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Glimpsed(Signal):
    """Signal of the second reader."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled(Signal):
    """Signal of a third reader."""


class Reader(Source[Window]):
    """Keeps one window of those it reads until the next one comes, as a source does that asks a server."""

    consumes = Window
    signal: type[Signal] = Seen
    reads: type[Window] = Window
    step_seconds = 0.0

    def start(self, header):
        self.kept, self.count = None, 0

    def push(self, part):
        if isinstance(part, self.reads):
            time.sleep(self.step_seconds)
            part.retain()
            self.close()
            self.kept, self.count = part, self.count + 1

    def finish(self, duration_seconds):
        return self.signal(sampling="F5", sample_count=self.count)

    def close(self):
        if self.kept:
            self.kept.release()
            self.kept = None


class Windows:
    """Memory of windows that counts how many are there at once."""

    def __init__(self):
        self.alive = self.most = 0
        self.alive_when_released = None

    def allocate(self, height, width, rows):
        self.alive += 1
        self.most = max(self.most, self.alive)
        return SimpleNamespace(array=np.zeros((rows, height, width, 3), np.uint8), close=self._close)

    def _close(self):
        self.alive -= 1

    def release_windows(self):
        self.alive_when_released = self.alive


def reading(signal):
    return Analyzer(
        name=signal.__name__,
        version="1",
        title="reads",
        requires=(signal,),
        data=type(None),
        summary=object,
        headline=str,
        analyze=lambda found: Finding(segments=(), summary=SimpleNamespace(count=found.sample_count)),
    )


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """WINDOWS windows of 4 s at 5 fps; a new picture every second, between two samples of the track."""
    seconds = 4 * WINDOWS
    frames = clips.shots([10 * second + 1 for second in range(1, seconds)], 10 * seconds, height=64, width=64)
    return clips.write(tmp_path_factory.mktemp("clips") / "a.mp4", frames, rate=10)


def run(clip, monkeypatch, first, second, **changes):
    monkeypatch.setitem(CPU_SOURCES, Seen, first)
    monkeypatch.setitem(CPU_SOURCES, Glimpsed, type("Second", (second,), {"signal": Glimpsed}))
    memory = Windows()
    found = pipeline.analyze(
        clip,
        analyzers=(reading(Seen), reading(Glimpsed)),
        profile=replace(settings.profile("cpu"), **changes),
        client=memory,
    )
    return found.analyzers, memory


def test_a_slow_source_does_not_fill_the_memory(clip, monkeypatch):
    class Slow(Reader):
        step_seconds = 0.05

    found, memory = run(clip, monkeypatch, Slow, Reader)
    assert found["Seen"].summary.count == found["Glimpsed"].summary.count > WINDOWS
    assert memory.most <= MOST
    assert memory.alive_when_released == 0


def test_a_profile_with_memory_lets_the_decoder_run_ahead(clip, monkeypatch):
    class Slow(Reader):
        step_seconds = 0.2

    found, memory = run(clip, monkeypatch, Slow, Reader, read_windows=6)
    assert found["Seen"].summary.count > WINDOWS
    assert MOST < memory.most <= 6 + FILLED


def test_sources_that_keep_different_windows_do_not_wait_for_each_other(clip, monkeypatch):
    class OfExtra(Reader):
        reads = ExtraWindow

    class Regular(Reader):
        def push(self, part):
            if not isinstance(part, ExtraWindow):
                super().push(part)

    began = time.monotonic()
    found, memory = run(clip, monkeypatch, OfExtra, Regular)
    assert found["Seen"].summary.count > 0
    assert found["Glimpsed"].summary.count == WINDOWS
    assert memory.most <= MOST
    assert time.monotonic() - began < 10


def test_a_source_that_keeps_several_windows_does_not_stop_the_decoder(clip, monkeypatch):
    """As that of text does: all but two of those that may be read."""

    class Hoarding(Reader):
        def start(self, header):
            super().start(header)
            self.hoard, self.most = [], header.read_windows - 2 - 1

        def push(self, part):
            part.retain()
            self.hoard.append(part)
            self.count += 1
            while len(self.hoard) > self.most:
                self.hoard.pop(0).release()

        def close(self):
            while self.hoard:
                self.hoard.pop().release()

    class OfExtra(Reader):
        reads = ExtraWindow

    began = time.monotonic()
    found, memory = run(clip, monkeypatch, Hoarding, OfExtra, read_windows=6)
    assert found["Seen"].summary.count > WINDOWS
    assert memory.most <= 6 + FILLED
    assert time.monotonic() - began < 10


def test_sources_of_different_rates_do_not_wait_for_each_other(tmp_path, monkeypatch):
    """At these cuts each of three rates has its last frames in a window of its own."""
    cuts = [12, 36, 60, 84, 123, 132, 156, 180, 204, 228]
    edited = clips.write(tmp_path / "a.mp4", clips.shots(cuts, 330, height=64, width=64), rate=30)

    class Asking(EnsembleSource):
        ensemble, networks, outputs, by_frame = "any", (), (), False

        def consume_frames(self, asked, answer):
            pass

        def finish(self, duration_seconds):
            self.drain()
            return self.signal(sampling="F5", sample_count=self.answers)

    class Answering(Windows):
        def submit(self, *asked):
            return Answer({})

    kinds = (Seen, Glimpsed, Sampled)
    for kind, divisor in zip(kinds, (1, 2, 4), strict=True):
        asking = type("Asking", (Asking,), {"signal": kind, "divisor": divisor})
        monkeypatch.setitem(ENSEMBLE_SOURCES, kind, asking)
    began = time.monotonic()
    analyzers = [reading(kind) for kind in kinds]
    memory = Answering()
    found = pipeline.analyze(edited, analyzers=analyzers, profile=settings.profile("cpu"), client=memory)
    assert all(each.summary.count > 1 for each in found.analyzers.values())
    assert memory.most <= MOST
    assert time.monotonic() - began < 20


def test_a_failed_source_gives_its_windows_back(clip, monkeypatch):
    class Failing(Reader):
        def push(self, part):
            super().push(part)
            if self.count == 2:
                raise ModelUnavailable("gone")

    found, memory = run(clip, monkeypatch, Failing, type("Other", (Failing,), {}))
    assert {each.reason for each in found.values()} == {"model_unavailable"}
    assert memory.most <= MOST
    assert memory.alive == 0


def test_a_hung_source_stops_nobody(clip, monkeypatch):
    release = threading.Event()

    class Hung(Reader):
        patience_seconds = 0.5

        def push(self, part):
            part.retain()
            release.wait(30)

    found, _ = run(clip, monkeypatch, Hung, Reader)
    release.set()
    assert found["Seen"].reason == "deadline_exceeded"
    assert found["Glimpsed"].summary.count > WINDOWS
