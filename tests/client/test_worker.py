"""When a source begins: at once, or, where it can wait and a profile lets it, when enough of the clip is there."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import clips
from reelscope import pipeline, settings
from reelscope.sources.base import Source
from reelscope.types import ClipHeader, Deadline
from reelscope.worker import QUEUE_PARTS, Worker

HEADER = ClipHeader(width=2, height=2, frame_rate=30, base_frame_rate=10, hdr=None)
SECONDS = 20
UNTOUCHED_SECONDS = 0.2
WAITING_PARTS = 3


class Patient(Source[int]):
    consumes = int
    can_wait = True

    def __init__(self):
        super().__init__()
        self.pushed, self.has_begun = [], threading.Event()

    def start(self, header):
        pass

    def push(self, part):
        self.pushed.append(part)
        self.has_begun.set()

    def finish(self, duration_seconds):
        return SimpleNamespace(sample_count=len(self.pushed))


class Urgent(Patient):
    can_wait = False


def started(source, waiting_parts, on_ended=lambda: None):
    worker = Worker(source, on_ended, waiting_parts)
    worker.start(HEADER)
    return worker


def offer(worker, parts):
    for part in parts:
        worker.offer(part, Deadline(SECONDS))


def ended(worker):
    worker.end(1.0, Deadline(SECONDS))
    until = time.monotonic() + SECONDS
    while not worker.look(Deadline(SECONDS)) and time.monotonic() < until:
        time.sleep(0.01)
    assert worker.error is None
    return worker.signal.sample_count


def test_a_source_that_can_wait_begins_when_enough_is_there():
    source = Patient()
    worker = started(source, WAITING_PARTS)
    offer(worker, range(WAITING_PARTS - 1))
    assert not source.has_begun.wait(UNTOUCHED_SECONDS)
    offer(worker, [WAITING_PARTS - 1])
    assert source.has_begun.wait(SECONDS)
    offer(worker, range(WAITING_PARTS, 5 * WAITING_PARTS))
    assert ended(worker) == 5 * WAITING_PARTS
    assert source.pushed == list(range(5 * WAITING_PARTS))


def test_it_begins_when_nothing_comes_any_more():
    source = Patient()
    worker = started(source, WAITING_PARTS)
    offer(worker, range(2))
    assert not source.has_begun.wait(UNTOUCHED_SECONDS)
    assert ended(worker) == 2
    assert ended(started(Patient(), WAITING_PARTS)) == 0


def test_it_ends_when_the_job_is_abandoned_before_it_began():
    source, has_ended = Patient(), threading.Event()
    worker = started(source, WAITING_PARTS, has_ended.set)
    offer(worker, range(2))
    worker.abandon()
    assert has_ended.wait(SECONDS), "its thread is over"
    assert source.pushed == []


def test_it_ends_with_its_error_when_it_cannot_start():
    class Unable(Patient):
        def start(self, header):
            raise ValueError("no")

    has_ended = threading.Event()
    worker = started(Unable(), WAITING_PARTS, has_ended.set)
    offer(worker, range(2))
    worker.end(1.0, Deadline(SECONDS))
    assert has_ended.wait(SECONDS)
    assert str(worker.error) == "Unable: ValueError: no"


def test_waiting_until_enough_is_there_is_no_waiting_for_the_source():
    worker = started(Patient(), WAITING_PARTS)
    offer(worker, range(2))
    time.sleep(UNTOUCHED_SECONDS)
    assert ended(worker) == 2
    assert worker.queue_seconds < UNTOUCHED_SECONDS


def test_others_begin_at_once():
    for source, waiting_parts in ((Urgent(), WAITING_PARTS), (Patient(), 0)):
        worker = started(source, waiting_parts)
        offer(worker, [0])
        assert source.has_begun.wait(SECONDS)
        offer(worker, range(1, 2 * QUEUE_PARTS))
        assert ended(worker) == 2 * QUEUE_PARTS


def test_waiting_changes_no_finding(tmp_path):
    clip = clips.write(tmp_path / "clip.mp4", clips.pan(1, 90, px_per_frame=2))
    names = ["color_analysis", "cut_analysis", "visual_effects"]
    found = [
        pipeline.analyze(
            clip,
            analyzers=pipeline.select(names),
            profile=replace(settings.profile("cpu"), waiting_parts=waiting_parts),
            client=None,
        )
        for waiting_parts in (0, 3, 20)
    ]
    for name in names:
        first, *others = [replace(each.analyzers[name], timings=None) for each in found]
        assert first.status == "ok"
        assert all(other == first for other in others)
