"""What the process of one job does: `python -m reelscope.gateway.analysis`, see `runner`."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TextIO

from reelscope import decode, embedded, pipeline, results, settings, tracing
from reelscope.analyzers.base import Analyzer
from reelscope.errors import ReelscopeError
from reelscope.gateway.problems import code_of
from reelscope.inference import InferenceClient
from reelscope.processes import prepare_for_analysis
from reelscope.results import AnalyzerResult

PROGRESS_SECONDS = 0.1
"""How often a stage is told of, its end aside."""
END_SECONDS = 8.0
"""Time for taking back what was asked of the server once nobody waits any more."""


class _Cancelled(BaseException):
    """Nobody waits any more."""


def main() -> None:
    """Read what is to be done, do it, and say what happens."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash must not leave the clip behind
    prepare_for_analysis()
    said = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # libraries print what they like
    request = json.loads(sys.stdin.readline())
    signal.signal(signal.SIGTERM, _cancel)
    threading.Thread(target=_end_with_input, daemon=True).start()
    try:
        with tracing.exported("reelscope-job"), tracing.span("analyze", {}, parent=request["trace"]):
            _analyze(request, said)
        _say(said, kind="done")
    except ReelscopeError as error:
        _say(said, kind="problem", code=code_of(error), detail=str(error))
    except Exception as error:
        _say(said, kind="problem", code="internal_error", detail=f"{type(error).__name__}: {error}")
    except _Cancelled:
        pass
    os._exit(0)  # a thread that hangs inside a library must not keep the process


def _analyze(request: dict[str, Any], said: TextIO) -> None:
    tracing.request_id.set(request["request_id"])
    profile = settings.profile(request["profile"], biometrics=None if request["biometrics"] else False)
    analyzers = pipeline.select(request["only"])
    clip, longest = Path(request["clip"]), request["max_seconds"]
    with decode.Decoder(clip, profile.base_frame_rate, None, max_seconds=longest):
        pass  # a clip that cannot be read is refused whether a server answers or not
    needs_server = pipeline.needed_ensembles(pipeline.permitted(analyzers, profile))
    with contextlib.ExitStack() as stack:
        client = None
        if needs_server:
            stack.enter_context(embedded.using(request["url"]))
            client = stack.enter_context(InferenceClient(request["url"]))
        found = pipeline.analyze(
            clip,
            analyzers=analyzers,
            profile=profile,
            client=client,
            detail=request["detail"],
            budget_seconds=request["budget_seconds"],
            max_seconds=longest,
            on_progress=_Progress(said),
            on_result=partial(_say_result, said),
        )
    results.write(results.to_json(found, analyzers), Path(request["results"]))


class _Progress:
    """Tells how far stages are, but not every step of them."""

    def __init__(self, said: TextIO) -> None:
        self._said = said
        self._told: dict[str, float] = {}

    def __call__(self, stage: str, share: float) -> None:
        now = time.monotonic()
        if share >= 1 or now - self._told.get(stage, 0.0) >= PROGRESS_SECONDS:
            self._told[stage] = now
            _say(self._said, kind="progress", body={"stage": stage, "share": round(share, 3)})


def _say_result(said: TextIO, analyzer: Analyzer, result: AnalyzerResult[Any, Any]) -> None:
    body = {
        "name": analyzer.name,
        "title": analyzer.title,
        "status": result.status,
        "reason": result.reason,
        "message": result.message,
        "headline": None if result.summary is None else analyzer.headline(result.summary),
        "n_segments": len(result.segments),
        "wall_ms": round(result.timings.wall_milliseconds, 1),
        "models": [{"name": model.name, "trained": model.trained} for model in result.models],
        "warnings": list(result.warnings),
        "summary": results.summary_to_json(analyzer, result),
    }
    _say(said, kind="analyzer", body=body)


def _say(said: TextIO, **what: Any) -> None:
    # Nobody may listen any more; then the end of the input ends this process.
    with contextlib.suppress(BrokenPipeError):
        said.write(json.dumps(what) + "\n")


def _cancel(number: int, frame: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _Cancelled


def _end_with_input() -> None:
    """Cancel when the gateway closes our input, or is gone; leave altogether when that takes too long."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(END_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
