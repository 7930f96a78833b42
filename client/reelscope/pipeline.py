"""One clip, start to end: decode once, feed the sources, run the analyzers, put the results together.

A source that fails costs its signal, an analyzer that fails costs itself; the results are written all the same.
"""

from __future__ import annotations

import graphlib
import hashlib
import json
import threading
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

from reelscope import __version__
from reelscope.analyzers import ANALYZERS
from reelscope.analyzers.base import Analyzer
from reelscope.decode import MAX_SECONDS, Decoder
from reelscope.errors import UsageError
from reelscope.inference import InferenceClient
from reelscope.results import AnalyzerResult, Detail, Results, RunFacts, Tracks
from reelscope.room import Room
from reelscope.settings import Profile
from reelscope.signals import Followed, Shots, Signal, SoundSignal, Track
from reelscope.sources import CPU_SOURCES, ENSEMBLE_SOURCES, source_of
from reelscope.sources.base import Source
from reelscope.turns import OnResult, Turns
from reelscope.types import ClipHeader, Deadline, FrameChunk, LumaFrame, MediaFacts, Window
from reelscope.worker import TICK_SECONDS, Worker

JOB_SECONDS = 900.0
"""Default budget of one clip."""

Progress = Callable[[str, float], None]
"""Called with a stage (decode, signals, or the name of an analyzer) and the share of it done, 0-1."""


def select(names: Sequence[str] | None) -> tuple[Analyzer, ...]:
    """Analyzers by name with those that they consult, in registry order; all of them for None.

    Raises:
        UsageError: a name is unknown.
    """
    if names is None:
        return ANALYZERS
    known = {analyzer.name: analyzer for analyzer in ANALYZERS}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"no analyzer named {', '.join(unknown)}; there are: {', '.join(sorted(known))}")
    chosen, remaining = set[str](), list(names)
    while remaining:
        name = remaining.pop()
        if name not in chosen:
            chosen.add(name)
            remaining += known[name].consults
    return tuple(analyzer for analyzer in ANALYZERS if analyzer.name in chosen)


def permitted(analyzers: Iterable[Analyzer], profile: Profile) -> tuple[Analyzer, ...]:
    """The analyzers that the profile allows: all, or those that do not judge people by face or voice."""
    return tuple(analyzer for analyzer in analyzers if profile.biometrics or not analyzer.is_biometric)


def needed_ensembles(analyzers: Iterable[Analyzer]) -> tuple[str, ...]:
    """Ensembles that the analyzers read, sorted; empty when they need no server."""
    return tuple(sorted(ENSEMBLE_SOURCES[signal].ensemble for signal in _signals(analyzers) & ENSEMBLE_SOURCES.keys()))


def analyze(
    path: Path,
    *,
    analyzers: Sequence[Analyzer],
    profile: Profile,
    client: InferenceClient | None,
    detail: Detail = "standard",
    budget_seconds: float = JOB_SECONDS,
    max_seconds: float = MAX_SECONDS,
    on_progress: Progress = lambda stage, share: None,
    on_result: OnResult = lambda analyzer, result: None,
) -> Results:
    """Analyse one clip.

    Args:
        path: the clip.
        analyzers: what to run; see `select`. Biometric ones are skipped where the profile leaves biometrics out.
        profile: sampling rates, and what the results say of the run.
        client: connection to Triton; None when no analyzer needs it (`needed_ensembles`).
        detail: full keeps the densest series.
        budget_seconds: time for the clip. Every call gets what is left of it; when it is over, decoding stops, and
            what was covered until then is reported as partial.
        max_seconds: longest clip that is accepted.
        on_progress: told of every stage.
        on_result: told of every analyzer's result.

    Raises:
        InputError: the clip cannot be analysed at all, or is too long. Everything else ends up in the results.
        UsageError: an analyzer needs a server and `client` is None.
    """
    deadline = Deadline(budget_seconds)
    run = _run_facts(analyzers, profile, detail)
    allowed = permitted(analyzers, profile)

    def tell(analyzer: Analyzer, result: AnalyzerResult[Any, Any]) -> None:
        on_progress(analyzer.name, 1.0)
        on_result(analyzer, result)

    signals = _signals(allowed)
    kinds = {kind for signal in signals for kind in _consumed(source_of(signal))}
    allocate = client.allocate if client and Window in kinds else None
    luma = LumaFrame in kinds
    with Decoder(path, profile.base_frame_rate, allocate, luma=luma, max_seconds=max_seconds) as decoder:
        header = replace(
            decoder.header, short_sound_windows=profile.short_sound_windows, read_windows=profile.read_windows
        )
        present = {signal for signal in signals if header.has_audio or not issubclass(signal, SoundSignal)}
        changed = threading.Event()
        workers = {
            signal: Worker(_source(signal, client, deadline), changed.set, profile.waiting_parts) for signal in present
        }
        for signal, worker in workers.items():
            for feeder in _feeders(signal, workers):
                workers[feeder].feed(worker, deadline)
        turns = Turns(analyzers, allowed, workers, header, detail, tell)
        try:
            on_empty = client.release_windows if client else lambda: None
            room = Room(workers.values(), on_empty, profile.read_windows)
            told = _Told(on_progress, workers.values())
            media, incomplete = _decode(decoder, header, workers, room, deadline, told)

            def use_time() -> None:
                told.signals()
                turns.take(media, incomplete)

            _end(workers, media.duration_seconds, deadline, changed, use_time)
        finally:
            for worker in workers.values():
                worker.abandon()
    ended = [worker.signal for worker in workers.values()]
    return Results(
        run=run,
        media=media,
        shots=next((signal.shots for signal in ended if isinstance(signal, Shots)), ()),
        tracks=_tracks(ended),
        analyzers={analyzer.name: turns.found[analyzer.name] for analyzer in analyzers},
    )


def _signals(analyzers: Iterable[Analyzer]) -> set[type[Signal]]:
    """What the analyzers read, and what the sources of that need."""
    read = {signal for analyzer in analyzers for signal in (*analyzer.requires, *analyzer.uses)}
    return read | {needed for signal in read for needed in source_of(signal).needs}


def _source(signal: type[Signal], client: InferenceClient | None, deadline: Deadline) -> Source[Any]:
    if signal in CPU_SOURCES:
        return CPU_SOURCES[signal]()
    if client is None:
        raise UsageError(f"{signal.signal_name()} comes from a Triton server, and none was given")
    return ENSEMBLE_SOURCES[signal](client, deadline)


class _Told:
    """Tells how much is decoded and answered; the latter never falls, though calls become known only on the way."""

    def __init__(self, on_progress: Progress, workers: Collection[Worker]) -> None:
        self._on_progress, self._workers = on_progress, workers
        self._decoded, self._answered = 0.0, 0.0

    def decode(self, share: float) -> None:
        self._decoded = share
        self._on_progress("decode", share)

    def signals(self) -> None:
        self._answered = max(self._answered, self._decoded * fmean([worker.share for worker in self._workers] or [1.0]))
        self._on_progress("signals", self._answered)


def _decode(
    decoder: Decoder,
    header: ClipHeader,
    workers: Mapping[type[Signal], Worker],
    room: Room,
    deadline: Deadline,
    told: _Told,
) -> tuple[MediaFacts, str | None]:
    """Feed every piece of the clip to whoever consumes it.

    Returns:
        The clip's facts, and why they do not cover all of it (None when they do).
    """
    reason = None
    for worker in workers.values():
        worker.start(header)
    for part in decoder:
        if isinstance(part, Window):
            room.enter(part)
        for worker in workers.values():
            worker.offer(part, deadline, told.signals)
        if isinstance(part, Window):
            part.release()
            room.wait(deadline, told.signals)
        elif isinstance(part, FrameChunk) and header.stated_seconds:
            told.decode(min(1.0, float(part.times_seconds[-1]) / header.stated_seconds))
        if deadline.is_over:
            reason = "deadline_exceeded"
            break
    told.decode(1.0)
    room.end()
    media = decoder.facts()
    return media, (reason if media.coverage < 1 else None) or decoder.damage


def _end(
    workers: Mapping[type[Signal], Worker],
    duration_seconds: float,
    deadline: Deadline,
    changed: threading.Event,
    use_time: Callable[[], None],
) -> None:
    """Tell every source that the clip has ended, those that others feed as soon as these have; wait for all of them."""
    feeders = {kind: _feeders(kind, workers) for kind in workers}
    untold = list(graphlib.TopologicalSorter(feeders).static_order())
    while True:
        changed.clear()
        for worker in workers.values():
            worker.look(deadline)
        for kind in untold[:]:
            if all(workers[feeder].has_ended for feeder in feeders[kind]):
                workers[kind].end(duration_seconds, deadline, [workers[feeder] for feeder in source_of(kind).needs])
                untold.remove(kind)
        is_over = all(worker.has_ended for worker in workers.values())
        use_time()
        if is_over:
            return
        changed.wait(TICK_SECONDS)


def _consumed(source: type[Source[Any]]) -> tuple[type, ...]:
    return source.consumes if isinstance(source.consumes, tuple) else (source.consumes,)


def _feeders(signal: type[Signal], present: Iterable[type[Signal]]) -> tuple[type[Signal], ...]:
    """Signals whose sources feed this one's: those it needs, and of those it can do without the present ones."""
    source = source_of(signal)
    return (*source.needs, *(kind for kind in source.context if kind in present))


def _tracks(signals: Iterable[Signal | None]) -> Tracks:
    """Everything that was followed, by kind."""
    tracks = [track for signal in signals if isinstance(signal, Followed) for track, _ in signal.tracks()]
    kinds: dict[str, list[Track]] = {"person": [], "object": [], "face": []}
    for track in tracks:
        kinds[track.label if track.label in kinds else "object"].append(track)
    return Tracks(**{kind: tuple(found) for kind, found in kinds.items()})


def _run_facts(analyzers: Sequence[Analyzer], profile: Profile, detail: Detail) -> RunFacts:
    config = {
        "profile": [profile.name, str(profile.base_frame_rate), profile.model_file, profile.models],
        "biometrics": profile.biometrics,
        "detail": detail,
        "analyzers": {analyzer.name: [analyzer.version, dict(analyzer.parameters)] for analyzer in analyzers},
        "sources": {signal.signal_name(): dict(source_of(signal).parameters) for signal in _signals(analyzers)},
    }
    return RunFacts(
        id=str(uuid.uuid4()),
        tool=f"reelscope {__version__}",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        config_sha256=hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest(),
        profile=profile.name,
        biometrics=profile.biometrics,
        detail=detail,
    )
