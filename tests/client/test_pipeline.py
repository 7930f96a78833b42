"""The pipeline's promises when things go wrong: one source, one analyzer, the deadline, the evidence rule."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

import clips
from reelscope import pipeline, settings, worker
from reelscope.analyzers.base import Analyzer, Finding, Series
from reelscope.decode import Decoder
from reelscope.decode.sound import SoundTrack
from reelscope.errors import ModelUnavailable, UsageError
from reelscope.signals import FrameColors, FrameQuality, Shots, SoundSignal
from reelscope.sources import CPU_SOURCES
from reelscope.sources.base import Source
from reelscope.sources.shots import ShotSource
from reelscope.types import Deadline, FrameChunk, ModelProvenance, MonoChunk


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return clips.write(tmp_path_factory.mktemp("clips") / "a.mp4", clips.shots((30,), 60))


def run(clip, names=None, analyzers=None, **options):
    return pipeline.analyze(
        clip,
        analyzers=analyzers or pipeline.select(names),
        **{"profile": settings.profile("cpu"), "client": None} | options,
    )


class Failing(Source[FrameChunk]):
    consumes = FrameChunk
    error: Exception = RuntimeError("broken")
    pushed = 0
    closed = 0

    def start(self, header):
        pass

    def push(self, part):
        type(self).pushed += 1
        raise self.error

    def finish(self, duration_seconds):
        raise AssertionError("a failed source is not asked")

    def close(self):
        type(self).closed += 1


def test_a_failing_source_costs_its_signal(clip, monkeypatch):
    monkeypatch.setitem(CPU_SOURCES, FrameColors, Failing)
    results = run(clip, ["color_analysis", "cut_analysis"])
    failed = results.analyzers["color_analysis"]
    assert (failed.status, failed.reason) == ("failed", "source_failed")
    assert "RuntimeError: broken" in failed.message
    assert failed.segments == ()
    assert failed.summary is None
    assert results.analyzers["cut_analysis"].status == "ok"
    assert Failing.pushed == 1
    time.sleep(0.0 if Failing.closed else 1.0)  # a thread that has failed is not waited for
    assert Failing.closed == 1


def test_a_typed_error_keeps_its_code(clip, monkeypatch):
    monkeypatch.setattr(Failing, "error", ModelUnavailable("gone"))
    monkeypatch.setitem(CPU_SOURCES, FrameColors, Failing)
    assert run(clip, ["color_analysis"]).analyzers["color_analysis"].reason == "model_unavailable"


def test_a_hung_source_fails_at_the_deadline(clip, monkeypatch):
    release = threading.Event()

    class Hung(Failing):
        def push(self, part):
            release.wait(30)

    monkeypatch.setitem(CPU_SOURCES, FrameColors, Hung)
    began = time.monotonic()
    results = run(clip, ["color_analysis", "cut_analysis"], budget_seconds=3)
    release.set()
    assert time.monotonic() - began < 10
    assert results.analyzers["color_analysis"].reason == "deadline_exceeded"
    assert results.analyzers["cut_analysis"].status == "ok"


@pytest.mark.parametrize("step", ["start", "push", "finish"])
def test_a_hung_source_fails_at_its_own_deadline(tmp_path, monkeypatch, step):
    """Long before the job's, whatever it hangs in; its analyzer fails, the rest is whole."""
    release = threading.Event()

    class Hung(Failing):
        patience_seconds = 0.5

        def push(self, part):
            pass

    setattr(Hung, step, lambda self, *part: release.wait(30))
    monkeypatch.setitem(CPU_SOURCES, FrameColors, Hung)
    clip = clips.write(tmp_path / "long.mp4", clips.shots((30,), 16 * (worker.QUEUE_PARTS + 4), height=64, width=64))
    began = time.monotonic()
    results = run(clip, ["color_analysis", "cut_analysis"])
    took = time.monotonic() - began
    release.set()
    assert took < 10
    failed = results.analyzers["color_analysis"]
    assert (failed.status, failed.reason) == ("failed", "deadline_exceeded")
    assert "Hung hung over one piece for 0.5 s" in failed.message
    assert (results.analyzers["cut_analysis"].status, results.analyzers["cut_analysis"].coverage) == ("ok", 1.0)


def test_an_idle_source_does_not_hang(clip, monkeypatch):
    """Another source that is slow may leave it without work for longer than its own patience."""

    class Slow(ShotSource):
        def push(self, part):
            time.sleep(0.4)
            super().push(part)

    class Idle(Failing):
        patience_seconds = 0.3

        def push(self, part):
            pass

        def finish(self, duration_seconds):
            raise ModelUnavailable("asked")

    monkeypatch.setattr(worker, "QUEUE_PARTS", 1)
    monkeypatch.setitem(CPU_SOURCES, Shots, Slow)
    monkeypatch.setitem(CPU_SOURCES, FrameColors, Idle)
    results = run(clip, ["color_analysis", "cut_analysis"])
    assert results.analyzers["color_analysis"].reason == "model_unavailable"
    assert results.analyzers["cut_analysis"].status == "ok"


def test_a_source_ends_as_soon_as_those_that_feed_it(clip, monkeypatch):
    """Others that are slow are not waited for: here one even waits for it."""
    has_ended = threading.Event()

    class Slow(ShotSource):
        def finish(self, duration_seconds):
            assert has_ended.wait(20)
            return super().finish(duration_seconds)

    class Fed(Failing):
        consumes = FrameColors
        needs = (FrameColors,)
        seen: ClassVar[list] = []

        def push(self, part):
            self.seen.append(part)

        def finish(self, duration_seconds):
            has_ended.set()
            raise ModelUnavailable("asked")

    monkeypatch.setitem(CPU_SOURCES, Shots, Slow)
    monkeypatch.setitem(CPU_SOURCES, FrameQuality, Fed)
    fed = toy(lambda quality: None, requires=(FrameQuality,), name="fed")
    results = run(clip, analyzers=(fed, *pipeline.select(["cut_analysis"])))
    assert results.analyzers["cut_analysis"].status == "ok"
    assert (results.analyzers["fed"].reason, len(Fed.seen)) == ("model_unavailable", 1)


def test_a_source_ends_after_those_that_feed_it(clip, monkeypatch):
    """Those that it needs, and those that are context to it, which have feeders themselves."""
    ended = []

    class First(ShotSource):
        def finish(self, duration_seconds):
            time.sleep(0.3)
            ended.append("first")
            return super().finish(duration_seconds)

    class Second(Failing):
        consumes = Shots
        needs = (Shots,)

        def push(self, part):
            pass

        def finish(self, duration_seconds):
            ended.append(type(self).__name__.lower())
            raise ModelUnavailable("asked")

    class Third(Second):
        consumes, needs, context = (Shots, FrameColors), (), (Shots, FrameColors)

    for signal, source in ((Shots, First), (FrameColors, Second), (FrameQuality, Third)):
        monkeypatch.setitem(CPU_SOURCES, signal, source)
    kinds = (FrameQuality, FrameColors, Shots)
    run(
        clip,
        analyzers=[
            toy(lambda signal: Finding(segments=(), summary=None), requires=(kind,), name=kind.__name__)
            for kind in kinds
        ],
    )
    assert ended == ["first", "second", "third"]
    ended.clear()
    run(clip, analyzers=[toy(lambda signal: None, requires=(FrameQuality,))])
    assert ended == ["third"], "context that nobody reads is not there, and not waited for"


@pytest.mark.parametrize("container", ["mp4", "flv"])
def test_a_job_out_of_time_reports_what_it_covered(tmp_path, container):
    """Also where the container states no duration to compare with."""
    clip = clips.write(tmp_path / f"long.{container}", clips.pan(1, 900, px_per_frame=1))
    began = time.monotonic()
    found = run(clip, ["cut_analysis"], budget_seconds=0.2).analyzers["cut_analysis"]
    assert time.monotonic() - began < 5
    assert (found.status, found.reason) == ("partial", "deadline_exceeded")
    assert 0 < found.coverage < 1


def test_a_signal_after_giving_up_is_dropped(clip, monkeypatch):
    class Late(ShotSource):
        def finish(self, duration_seconds):
            time.sleep(1.0)
            return super().finish(duration_seconds)

    monkeypatch.setattr(worker, "GRACE_SECONDS", 0.1)
    late = worker.Worker(Late())
    deadline = Deadline(0.3)
    with Decoder(clip, Fraction(5), None) as decoder:
        late.start(decoder.header)
        for part in decoder:
            late.offer(part, deadline)
        late.end(2.0, deadline)
        while not late.look(deadline):
            time.sleep(0.01)
    assert late.error is not None
    time.sleep(1.2)
    assert late.signal is None


def toy(analyze, requires=(Shots,), uses=(), consults=(), name="toy"):
    return Analyzer(
        name=name,
        version="1",
        title="",
        requires=requires,
        uses=uses,
        consults=consults,
        data=type(None),
        summary=int | None,
        headline=str,
        analyze=analyze,
    )


def test_a_failing_analyzer_fails_alone(clip):
    def broken(shots):
        raise ZeroDivisionError("no")

    results = run(clip, analyzers=(toy(broken), *pipeline.select(["cut_analysis"])))
    assert results.analyzers["toy"].reason == "internal_error"
    assert results.analyzers["cut_analysis"].status == "ok"


def test_a_number_that_json_cannot_hold_fails_its_analyzer_alone(clip):
    broken = toy(lambda shots: Finding(segments=(), summary=1, series=Series(columns={"speed": (1.0, math.nan)})))
    results = run(clip, analyzers=(broken, *pipeline.select(["cut_analysis"])))
    found = results.analyzers["toy"]
    assert (found.status, found.reason, found.message) == ("failed", "internal_error", "ValueError: speed is nan")
    assert results.analyzers["cut_analysis"].status == "ok"


def test_untrained_evidence_is_absent(clip, monkeypatch):
    """An analyzer that merely uses a signal of random weights does not see it, and says so."""

    class Untrained(ShotSource):
        def finish(self, duration_seconds):
            import dataclasses

            shots = super().finish(duration_seconds)
            model = ModelProvenance(
                name="guess",
                version="1",
                ensemble="e",
                source="",
                revision="",
                sha256=None,
                licence="",
                precision="fp32",
                trained=False,
            )
            return dataclasses.replace(shots, models=(model,))

    seen = []
    monkeypatch.setitem(CPU_SOURCES, Shots, Untrained)
    used = toy(lambda colors, shots: seen.append(shots) or Finding(segments=(), summary=1), (FrameColors,), (Shots,))
    result = run(clip, analyzers=(used,)).analyzers["toy"]
    assert seen == [None]
    assert result.status == "ok"
    assert result.inputs.missing_inputs == ("shots",)
    assert result.models == ()
    assert result.warnings == ()

    required = toy(lambda shots: Finding(segments=(), summary=len(shots.shots)))
    consulting = toy(
        lambda colors, findings: Finding(segments=(), summary=len(findings)), (FrameColors,), (), ("toy",), "story"
    )
    results = run(clip, analyzers=(required, consulting)).analyzers
    assert results["toy"].summary == 2
    assert results["toy"].warnings == ("untrained_model:guess",)
    assert (results["story"].summary, results["story"].inputs.missing_inputs) == (0, ("toy",))


def test_absent_evidence_is_named(clip, monkeypatch):
    monkeypatch.setitem(CPU_SOURCES, FrameColors, Failing)
    used = toy(lambda shots, colors: Finding(segments=(), summary=int(colors is None)), (Shots,), (FrameColors,))
    result = run(clip, analyzers=(used,)).analyzers["toy"]
    assert (result.status, result.summary) == ("ok", 1)
    assert result.inputs.missing_inputs == ("frame_colors",)


def test_findings_are_consulted_in_turn(clip):
    """Whoever is consulted comes first, with numbered segments; who found nothing is missing; the order is kept."""

    def tell(shots, findings):
        return Finding(segments=(), summary=sum(int(segment.id[-1]) for segment in findings["cut_analysis"].segments))

    def broken(shots):
        raise ZeroDivisionError

    last = toy(lambda shots, findings: Finding(segments=(), summary=findings["story"].summary + 1), consults=("story",))
    story = toy(tell, consults=("cut_analysis", "broken", "absent"), name="story")
    analyzers = (last, story, toy(broken, name="broken"), *pipeline.select(["cut_analysis"]))
    for detail in ("standard", "full"):
        results = run(clip, analyzers=analyzers, detail=detail).analyzers
        assert list(results) == ["toy", "story", "broken", "cut_analysis"]
        assert (results["story"].summary, results["toy"].summary) == (3, 4)
        assert results["story"].inputs.depends_on == ("shots", "cut_analysis")
        assert results["story"].inputs.missing_inputs == ("broken", "absent")


def test_a_result_comes_as_soon_as_its_signals_are_there(clip, monkeypatch):
    """A source that another analyzer waits for ends only when the first result has been told."""
    is_told = threading.Event()

    class Late(CPU_SOURCES[FrameColors]):
        def finish(self, duration_seconds):
            assert is_told.wait(20), "nothing was told while this source worked"
            return super().finish(duration_seconds)

    monkeypatch.setitem(CPU_SOURCES, FrameColors, Late)
    told = []

    def on_result(analyzer, result):
        told.append((analyzer.name, result))
        is_told.set()

    results = run(clip, ["color_analysis", "cut_analysis"], on_result=on_result).analyzers
    assert [name for name, _ in told] == ["cut_analysis", "color_analysis"]
    assert dict(told) == results
    assert {result.status for _, result in told} == {"ok"}


def test_selecting_an_analyzer_selects_those_it_consults(monkeypatch):
    analyzers = (
        toy(None, consults=("b",), name="a"),
        toy(None, consults=("c",), name="b"),
        toy(None, name="c"),
        toy(None, name="d"),
    )
    monkeypatch.setattr(pipeline, "ANALYZERS", analyzers)
    assert [analyzer.name for analyzer in pipeline.select(["a"])] == ["a", "b", "c"]
    assert [analyzer.name for analyzer in pipeline.select(["d", "c"])] == ["c", "d"]


def test_a_truncated_clip_is_partial(tmp_path):
    whole = clips.write(tmp_path / "whole.mkv", clips.pan(1, 150), crf=20)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    found = run(cut, ["cut_analysis"]).analyzers["cut_analysis"]
    assert (found.status, found.reason) == ("partial", "truncated_input")
    assert 0 < found.coverage < 1
    assert found.segments


def test_a_server_is_asked_for_when_needed(clip):
    assert pipeline.needed_ensembles(pipeline.select(["cut_analysis"])) == ()
    asking = pipeline.select(["object_detection", "scene_segmentation"])
    assert pipeline.needed_ensembles(asking) == ("detections", "embeddings")
    with pytest.raises(UsageError, match="object_tracks"):
        run(clip, ["object_detection"])


class Relay(ShotSource):
    """Passes on the number of frames of every chunk."""

    def push(self, part):
        super().push(part)
        self.emit(len(part.frames))


class Counting(Source[int]):
    """Counts what `Relay` passes on."""

    consumes = int
    needs = (Shots,)
    read: ClassVar[list] = []

    def start(self, header):
        self.read.clear()

    def push(self, part):
        time.sleep(0.05)
        self.read.append(part)

    def finish(self, duration_seconds):
        return FrameColors(sampling="FULL", sample_count=sum(self.read), **{name: np.empty(0) for name in ARRAYS})


ARRAYS = [field.name for field in fields(FrameColors)][4:]


def test_a_source_is_fed_by_another(clip, monkeypatch):
    """It gets everything, though slower, and its feeder runs though no analyzer asked for that."""
    monkeypatch.setitem(CPU_SOURCES, Shots, Relay)
    monkeypatch.setitem(CPU_SOURCES, FrameColors, Counting)
    count = toy(lambda colors: Finding(segments=(), summary=colors.sample_count), (FrameColors,))
    results = run(clip, analyzers=(count,))
    assert results.analyzers["toy"].summary == results.media.frame_count == 60
    assert len(results.shots) == 2


def test_a_fed_source_fails_with_its_feeder(clip, monkeypatch):
    """What it got until then is no whole signal."""

    class Breaking(Relay):
        def push(self, part):
            if part.first_index:
                raise ModelUnavailable("gone in mid-clip")
            super().push(part)

    monkeypatch.setitem(CPU_SOURCES, Shots, Breaking)
    monkeypatch.setitem(CPU_SOURCES, FrameColors, Counting)
    found = run(clip, analyzers=(toy(lambda colors: None, (FrameColors,)),)).analyzers["toy"]
    assert (found.status, found.reason, found.message) == ("failed", "model_unavailable", "gone in mid-clip")


def test_without_biometrics_nobody_is_judged(clip, monkeypatch):
    """What only biometric analyzers read is not computed, and the results say why there is nothing."""
    monkeypatch.setitem(CPU_SOURCES, FrameColors, Failing)
    monkeypatch.setattr(Failing, "pushed", 0)
    judging = replace(toy(lambda colors: None, (FrameColors,)), is_biometric=True)
    profile = settings.profile("cpu", biometrics=False)
    results = run(clip, analyzers=(judging, *pipeline.select(["cut_analysis"])), profile=profile)
    found = results.analyzers["toy"]
    assert (found.status, found.reason) == ("skipped", "biometrics_off")
    assert found.segments == ()
    assert found.summary is None
    assert Failing.pushed == 0
    assert results.analyzers["cut_analysis"].status == "ok"
    assert (results.run.biometrics, run(clip, ["cut_analysis"]).run.biometrics) == (False, True)


def test_unknown_analyzer():
    with pytest.raises(UsageError, match="mind_reading"):
        pipeline.select(["mind_reading"])


def test_one_frame(tmp_path):
    clip = clips.write(tmp_path / "one.mp4", [np.full((64, 64, 3), 90, np.uint8)])
    results = run(clip, ["color_analysis", "cut_analysis"])
    assert {found.status for found in results.analyzers.values()} == {"ok"}
    assert len(results.shots) == 1
    assert results.analyzers["cut_analysis"].summary.cuts_per_minute is None


def test_progress_is_told(clip):
    told = {}
    run(clip, ["color_analysis", "cut_analysis"], on_progress=lambda stage, share: told.__setitem__(stage, share))
    assert told == {"decode": 1.0, "signals": 1.0, "color_analysis": 1.0, "cut_analysis": 1.0}


def test_progress_moves_while_sources_lag_behind(clip, monkeypatch):
    """Decoding is over long before the last answer; the bar tells of every one, and never falls back."""

    class Asking(ShotSource):
        def finish(self, duration_seconds):
            self.calls = 4
            for _ in range(4):
                time.sleep(0.05)
                self.answers += 1
            return super().finish(duration_seconds)

    monkeypatch.setattr(pipeline, "TICK_SECONDS", 0.01)
    monkeypatch.setitem(CPU_SOURCES, Shots, Asking)
    told = []
    run(clip, ["cut_analysis"], on_progress=lambda stage, share: told.append((stage, share)))
    after_decoding = [share for stage, share in told[told.index(("decode", 1.0)) :] if stage == "signals"]
    assert len(set(after_decoding)) >= 4
    signals = [share for stage, share in told if stage == "signals"]
    assert signals == sorted(signals)
    assert signals[-1] == 1.0


class Level(Source[MonoChunk]):
    """Loudest second of the sound, by its mean level."""

    consumes = MonoChunk

    def start(self, header):
        self.levels = []

    def push(self, part):
        self.levels.append(float(np.abs(part.samples).mean()))

    def finish(self, duration_seconds):
        return Heard(
            sampling="A16",
            sample_count=len(self.levels),
            duration_seconds=duration_seconds,
            level=max(self.levels, default=0.0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard(SoundSignal):
    level: float


def listener(requires, uses=()):
    def finding(*signals):
        return Finding(segments=(), summary=SimpleNamespace(heard=signals[-1] is not None))

    return Analyzer(
        name="listener",
        version="1",
        title="listens",
        requires=requires,
        uses=uses,
        data=type(None),
        summary=object,
        headline=str,
        analyze=finding,
    )


@pytest.mark.parametrize("tone", [None, (0.0, 2.0)])
def test_what_needs_sound_is_skipped_without_it(tmp_path, monkeypatch, tone):
    monkeypatch.setitem(CPU_SOURCES, Heard, Level)
    clip = clips.write(tmp_path / "a.mp4", clips.shots((30,), 60), tone=tone)
    needs, uses = listener((Heard,)), replace(listener((Shots,), (Heard,)), name="sees")
    found = run(clip, analyzers=(needs, uses)).analyzers
    assert found["sees"].status == "ok"
    if tone is None:
        assert (found["listener"].status, found["listener"].reason) == ("skipped", "no_audio_stream")
        assert found["listener"].coverage is found["listener"].summary is None
        assert found["sees"].inputs.missing_inputs == ("heard",)
    else:
        assert found["listener"].status == "ok"
        assert found["listener"].inputs.sampling == "A16"
        assert found["sees"].inputs.missing_inputs == ()


def test_an_audio_stream_without_a_sample_is_none(tmp_path, monkeypatch):
    monkeypatch.setitem(CPU_SOURCES, Heard, Level)
    monkeypatch.setattr(SoundTrack, "take", lambda self, frame, start: iter(()))
    clip = clips.write(tmp_path / "a.mp4", clips.shots((30,), 60), tone=(0.0, 2.0))
    found = run(clip, analyzers=(listener((Heard,)),)).analyzers["listener"]
    assert (found.status, found.reason) == ("skipped", "no_audio_stream")
    assert "without a sample" in found.message


def test_damaged_sound_makes_what_listens_partial(tmp_path, monkeypatch):
    monkeypatch.setitem(CPU_SOURCES, Heard, Level)
    whole = clips.write(tmp_path / "a.mp4", clips.shots((30,), 60), tone=(0.0, 2.0))
    path = clips.damaged(whole, "audio", 1.0, 10)
    found = run(path, analyzers=(listener((Heard,)), replace(listener((Shots,)), name="sees"))).analyzers
    assert (found["sees"].status, found["sees"].coverage) == ("ok", 1.0)
    assert (found["listener"].status, found["listener"].reason) == ("partial", "damaged_input")
    assert 0.8 < found["listener"].coverage < 1
