"""All analyzers on one clip, end to end, against the predecessor's way of working.

The clip is made here: 10 s of 1080x1920 at 30 fps in which somebody speaks (`footage`). In one run:

- cold: the server starts, starts once more when what it compiles and reads is cached, and analyses the first clip; the
  predecessor starts, and analyses it;
- warm, taking turns: the whole analysis, observed (`observed`), and the predecessor (`predecessor`). Whatever an
  untrained network makes more or less of, the predecessor is told to make as much of as the system did;
- the command line, imports and start of a process included.

What the predecessor's side lacks (a library that is not installed) is left out of the comparison on both sides; all
analyzers together are timed all the same.

    python -m benchmarks.end_to_end                         the cpu profile, about a quarter of an hour on 2 cores
    python -m benchmarks.end_to_end --profile h200 --device cuda:0
    python -m benchmarks.end_to_end --seconds 2 --size 320x568 --repeats 1        the same steps; writes nothing

Writes benchmarks/results/end_to_end.json and end_to_end.svg (of other profiles: end_to_end_PROFILE). The models of the
profile must be built.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from benchmarks import RESULTS, footage, named, picture, record
from benchmarks.analysis import analyze as run_command
from benchmarks.analysis import resident_mb
from benchmarks.gpu_check import read_gpu
from benchmarks.observed import Observation, ObservedClient, Span, analyze, required_ensembles
from benchmarks.predecessor import PredecessorProcess, Work
from benchmarks.upstream import Weights
from reelscope import settings
from reelscope.analyzers import ANALYZERS
from reelscope.embedded import EmbeddedServer
from reelscope.processes import prepare_for_analysis
from reelscope.types import MONO_SAMPLE_RATE_HZ
from reelscope_export import paths

SECONDS, WIDTH, HEIGHT = 10.0, 1080, 1920
REPEATS = 3
NOT_WORK = ("clip", "weights", "profile", "device")
"""Of `Work`: where, and with what."""


def work_of(clip: Path, profile: settings.Profile, device: str, client: ObservedClient, found: Observation) -> Work:
    """What the system did with the clip in an analysis that was counted."""
    by_ensemble: dict[str, list[Any]] = {}
    for call in client.calls:
        by_ensemble.setdefault(call.ensemble, []).append(call)

    def calls(ensemble: str) -> list[Any]:
        return by_ensemble.get(ensemble, [])

    windows = [call for call in calls("understanding") if call.inputs["task"][0, 0] == b"window"]
    videos = [call.inputs["frames"].shape for call in windows]
    sounds = [call.inputs["waveform"].shape for call in calls("sounds")]
    untrained = any(
        model.name.startswith("speech_whisper") and not model.trained
        for result in found.results.analyzers.values()
        for model in result.models
    )
    forced = int(
        paths.model_settings(paths.read_profiles(), profile.name, "speech_whisper").parameters["untrained_max_tokens"]
    )
    return Work(
        clip=str(clip),
        weights=Weights.of(profile.name),
        profile=profile.name,
        device=device,
        faces=sum(len(call.answer["frame_index"]) for call in calls("faces") if call.answer),
        crops=sum(len(call.inputs["boxes_xyxy"]) for call in calls("crop_embeddings")),
        sound_windows=tuple(n / MONO_SAMPLE_RATE_HZ for rows, n in sounds for _ in range(rows)),
        voice_pieces=tuple(call.inputs["waveform"].shape[1] / MONO_SAMPLE_RATE_HZ for call in calls("speech_emotions")),
        spoken_tokens=min(forced * max(len(calls("speech")), 1), 224) if untrained else None,
        windows=tuple(shape[1] for shape in videos for _ in range(shape[0])),
        window_size=videos[0][2:4] if videos else (504, 280),
        window_tokens=max((int(call.answer["token_counts"][:, 1].max()) for call in windows if call.answer), default=1),
    )


def measure(clip: Path, profile: settings.Profile, device: str, repeats: int) -> dict[str, Any]:
    """Everything, in seconds unless the name says otherwise; `spans` of the fastest turn for the picture."""
    prepare_for_analysis()
    memory = {"before": _gpu_mib(profile)}
    began = time.perf_counter()
    with EmbeddedServer(profile):
        first_ready_seconds = time.perf_counter() - began
    began = time.perf_counter()
    with EmbeddedServer(profile) as server:
        ready_seconds = time.perf_counter() - began
        memory["models_loaded"] = _gpu_mib(profile)
        pid = server.supervisor.pid
        with ObservedClient(server.grpc_url) as client:
            first = analyze(clip, profile, client, ANALYZERS, pid, counting=True)
            work = work_of(clip, profile, device, client, first)
            analyze(clip, profile, client, ANALYZERS, pid)  # shapes that the first one did not meet twice
            memory["models_worked"] = _gpu_mib(profile)
            server_mb = resident_mb(pid)
            with PredecessorProcess(work) as predecessor:
                missing = predecessor.loaded["missing"]
                cold_began = time.perf_counter()
                predecessor.analyze()
                predecessor_first = time.perf_counter() - cold_began
                memory["with_predecessor"] = _gpu_mib(profile)
                turns = []
                for _ in range(repeats):
                    client.refused = frozenset()
                    whole = analyze(clip, profile, client, ANALYZERS, pid)
                    client.refused = required_ensembles(ANALYZERS, set(missing))
                    compared = analyze(clip, profile, client, _without(missing), pid) if missing else whole
                    turns.append((whole, compared, predecessor.analyze()))
            client.refused = frozenset()
        with tempfile.TemporaryDirectory() as folder:
            options = ("--profile", profile.name, "--no-report")
            command = run_command(clip, Path(folder), server.grpc_url, *options)
        failed = {name: str(error) for name, error in server.failed.items()}
    wholes, compareds, predecessors = (list(each) for each in zip(*turns, strict=True))
    best = min(wholes, key=lambda each: each.wall_seconds)
    return {
        "clip": _clip(clip, best),
        "profile": profile.name,
        "device": device,
        "models_not_served": failed,
        "left_out": missing,
        "work": {name: value for name, value in _fields(work).items() if name not in NOT_WORK},
        "cold": {
            "server_first_ready": first_ready_seconds,
            "server_ready": ready_seconds,
            "first_analysis": first.wall_seconds,
            "predecessor_loaded": predecessor.ready_seconds,
            "predecessor_first": predecessor_first,
        },
        "command_line": {"wall_seconds": command.wall_seconds, "exit_code": command.exit_code},
        "system": _system(wholes, best),
        "compared_wall_seconds": [each.wall_seconds for each in compareds],
        "predecessor": _predecessor(predecessors),
        "times_as_fast": _ratios(compareds, predecessors, repeated=True),
        "times_as_fast_without_repeats": _ratios(compareds, predecessors, repeated=False),
        "server_mb": server_mb,
        "gpu_memory_mib": memory if profile.needs_gpu else None,
        "spans": best.spans,
        "predecessor_steps": min(predecessors, key=_wall),
    }


def _fields(work: Work) -> dict[str, Any]:
    return {name: getattr(work, name) for name in Work.__slots__}


def _without(missing: dict[str, str]) -> list[Any]:
    return [analyzer for analyzer in ANALYZERS if analyzer.name not in missing]


def _gpu_mib(profile: settings.Profile) -> int | None:
    return read_gpu().used_mib if profile.needs_gpu else None


def _clip(clip: Path, found: Observation) -> dict[str, Any]:
    media = found.results.media
    about = {"seconds": media.duration_seconds, "width": media.width, "height": media.height}
    return about | {"frames": media.frame_count, "mb": clip.stat().st_size / 1e6}


def _system(found: Sequence[Observation], best: Observation) -> dict[str, Any]:
    """Medians of the whole analysis, and every analyzer of the fastest."""
    median = statistics.median(each.wall_seconds for each in found)
    seconds = best.results.media.duration_seconds
    return {
        "wall_seconds": [each.wall_seconds for each in found],
        "median_wall_seconds": median,
        "real_time_factor": seconds / median,
        "client_cpu_seconds": statistics.median(each.client_cpu_seconds for each in found),
        "server_cpu_seconds": statistics.median(each.server_cpu_seconds for each in found),
        "uploaded_mb": best.uploaded_bytes / 1e6,
        "gpu": best.gpu,
        "analyzers": {
            name: {
                "status": result.status,
                "ready_seconds": best.ready_seconds[name],
                "wall_seconds": result.timings.wall_milliseconds / 1000,
                "server_seconds": result.timings.infer_milliseconds / 1000,
                "cpu_seconds": result.timings.cpu_milliseconds / 1000,
            }
            for name, result in best.results.analyzers.items()
        },
    }


def _wall(steps: list[dict[str, Any]], *, repeated: bool = True) -> float:
    return float(sum(step["wall_seconds"] - (0 if repeated else step["repeated_seconds"]) for step in steps))


def _predecessor(found: Sequence[list[dict[str, Any]]]) -> dict[str, Any]:
    """Wall times of the whole, and medians of every analyzer."""
    walls = [_wall(steps) for steps in found]
    names = ("wall_seconds", "cpu_seconds", "repeated_seconds")
    return {
        "wall_seconds": walls,
        "median_wall_seconds": statistics.median(walls),
        "cpu_seconds": statistics.median(sum(step["cpu_seconds"] for step in steps) for steps in found),
        "analyzers": {
            same[0]["analyzer"]: {"stage": same[0]["stage"]}
            | {name: statistics.median(step[name] for step in same) for name in names}
            for same in zip(*found, strict=True)
        },
    }


def _ratios(
    compared: Sequence[Observation], predecessors: Sequence[list[dict[str, Any]]], *, repeated: bool
) -> dict[str, Any]:
    """How many times as fast; of every turn, because times of one turn are alike."""
    turns = [
        _wall(steps, repeated=repeated) / each.wall_seconds for each, steps in zip(compared, predecessors, strict=True)
    ]
    return {"median": statistics.median(turns), "turns": turns}


def table(found: dict[str, Any]) -> Table:
    """One row per analyzer: when it was ready, and what the predecessor took for it."""
    clip = found["clip"]
    title = f"{clip['seconds']:.1f} s of {clip['width']}x{clip['height']}, {found['profile']} on {found['device']}"
    shown = Table(
        Column("analyzer", no_wrap=True),
        "ready after s",
        "its sources s",
        "server s",
        "CPU s",
        "predecessor s",
        title=title,
    )
    theirs = found["predecessor"]["analyzers"]
    for name, each in found["system"]["analyzers"].items():
        own = (f"{each[key]:.2f}" for key in ("ready_seconds", "wall_seconds", "server_seconds", "cpu_seconds"))
        other = (
            f"{theirs[name]['wall_seconds']:.2f}"
            if name in theirs
            else "left out"
            if name in found["left_out"]
            else "-"
        )
        shown.add_row(name if each["status"] == "ok" else f"{name} ({each['status']})", *own, other)
    shown.add_section()
    system, cpu = found["system"], found["system"]["client_cpu_seconds"] + found["system"]["server_cpu_seconds"]
    shown.add_row(
        "all, median",
        f"{system['median_wall_seconds']:.2f}",
        "",
        "",
        f"{cpu:.1f}",
        f"{found['predecessor']['median_wall_seconds']:.2f}",
        style="bold",
    )
    return shown


def tell(console: Console, found: dict[str, Any]) -> None:
    """Print the table and what is not in it."""
    console.print(table(found))
    console.print("both sides: " + ", ".join(f"{name} {value}" for name, value in found["work"].items()), style="dim")
    cold, system, ratio = found["cold"], found["system"], found["times_as_fast"]
    for analyzer, reason in found["left_out"].items():
        console.print(f"[yellow]left out on both sides[/]: {analyzer}: {reason}")
    for model, reason in found["models_not_served"].items():
        console.print(f"[red]not served[/]: {model}: {reason}")
    turns = ", ".join(f"{each:.2f}" for each in ratio["turns"])
    console.print(f"[bold]{ratio['median']:.2f} times as fast as the predecessor[/] (turns: {turns})")
    without = found["times_as_fast_without_repeats"]["median"]
    console.print(f"{without:.2f} times if it asked no network twice about the same frames")
    console.print(
        f"cold: ready after {cold['server_ready']:.1f} s ({cold['server_first_ready']:.1f} s the first time), first "
        f"analysis {cold['first_analysis']:.1f} s; "
        f"predecessor {cold['predecessor_loaded']:.1f} s and {cold['predecessor_first']:.1f} s"
    )
    console.print(
        f"{system['real_time_factor']:.2f} seconds of clip per second; {system['uploaded_mb']:.1f} MB to the server; "
        f"the command line takes {found['command_line']['wall_seconds']:.1f} s"
    )
    if gpu := system["gpu"]:
        console.print("GPU: " + ", ".join(f"{name} {value:.0f}" for name, value in gpu.items()))
        console.print("GPU memory MiB: " + ", ".join(f"{name} {mib}" for name, mib in found["gpu_memory_mib"].items()))


def spans_of(steps: Sequence[dict[str, Any]]) -> list[Span]:
    """The predecessor's turn, for the picture."""
    return [
        Span(step["analyzer"], "predecessor", step["began_seconds"], step["began_seconds"] + step["wall_seconds"])
        for step in steps
    ]


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.end_to_end", description="A clip end to end.")
    parser.add_argument("--profile", default="cpu", choices=settings.profile_names())
    parser.add_argument("--device", default="cpu", help="of the predecessor: cpu (default) or cuda:0")
    parser.add_argument("--clip", type=Path, help="another clip, of constant frame rate; writes nothing")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--size", default=f"{WIDTH}x{HEIGHT}", help="WIDTHxHEIGHT of the clip that is made")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--commit", help="recorded where there is no git to ask")
    options = parser.parse_args(arguments)
    profile = settings.profile(options.profile)
    if profile.needs_gpu != (options.device != "cpu"):
        parser.error(f"profile {profile.name} and --device {options.device} do not go together")
    width, height = map(int, options.size.split("x"))
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        clip = options.clip or footage.write_clip(
            Path(folder) / "clip.mp4", width=width, height=height, rate=30, seconds=options.seconds
        )
        found = measure(clip, profile, options.device, options.repeats)
    spans, steps = found.pop("spans"), found.pop("predecessor_steps")
    tell(console, found)
    is_whole = not found["models_not_served"] and not found["command_line"]["exit_code"]
    if (options.clip, options.seconds, width, height, options.repeats) != (None, SECONDS, WIDTH, HEIGHT, REPEATS):
        console.print("not the clip or repeats that are compared: nothing is written")
        return 0 if is_whole else 1
    name = named("end_to_end", profile.name)
    path = record(name, found | ({"commit": options.commit} if options.commit else {}))
    title = f"{found['system']['median_wall_seconds']:.1f} s for a clip of {found['clip']['seconds']:.0f} s"
    path.with_suffix(".svg").write_text(picture.timeline(spans, title), encoding="utf-8")
    before = f"{found['predecessor']['median_wall_seconds']:.1f} s the predecessor's way"
    (RESULTS / f"{name}_predecessor.svg").write_text(picture.timeline(spans_of(steps), before), encoding="utf-8")
    console.print(f"written to {path}, with pictures of what overlapped beside it", highlight=False)
    return 0 if is_whole else 1


if __name__ == "__main__":
    sys.exit(main())
