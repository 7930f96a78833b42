"""The README's figures, written from benchmarks/results/*.json; none is typed.

    python -m benchmarks.figures            write them
    python -m benchmarks.figures --check    write nothing; exit 1 when the README differs

Both also exit with 1 when a target is missed and nobody has said why. A row appears when its results are there. What
stands around the marked part is written by hand.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import RESULTS, targets
from benchmarks.throughput import NOT_SATURATED

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- written by python -m benchmarks.figures -->", "<!-- end of what benchmarks.figures writes -->"

Figures = dict[str, Any]
Row = tuple[str, str]
"""What was measured, and the figure."""


def _end_to_end(found: Figures) -> Iterator[Row]:
    clip, system, cold = found["clip"], found["system"], found["cold"]
    what = f"{clip['seconds']:.0f} s of {clip['width']}x{clip['height']}, 24 analyzers, warm"
    cpu = system["client_cpu_seconds"] + system["server_cpu_seconds"]
    yield (
        what,
        f"{system['median_wall_seconds']:.1f} s, {system['real_time_factor']:.2f} s of clip per second; {cpu:.0f} CPU "
        f"seconds, {system['uploaded_mb']:.0f} MB to the server",
    )
    left_out = f", without {', '.join(found['left_out'])}" if found["left_out"] else ""
    yield (
        f"the same clip the predecessor's way (`benchmarks.predecessor`), in the same run{left_out}",
        f"{found['predecessor']['median_wall_seconds']:.1f} s: this is {found['times_as_fast']['median']:.1f} "
        "times as fast; "
        f"{found['times_as_fast_without_repeats']['median']:.1f} times if it asked no network twice about the same "
        "frames",
    )
    first = f" (with warm caches; {cold['server_first_ready']:.0f} s before)" if "server_first_ready" in cold else ""
    yield (
        "cold: until the server is ready, and the first clip; the predecessor's",
        f"{cold['server_ready']:.0f}{first} and {cold['first_analysis']:.0f} s; {cold['predecessor_loaded']:.0f} and "
        f"{cold['predecessor_first']:.0f} s",
    )
    if (memory := found["gpu_memory_mib"]) and (gpu := system["gpu"]):
        used = (memory["models_worked"] - memory["before"]) * 2**20 / 1e9
        yield (
            "the GPU meanwhile",
            f"busy {gpu['busy_percent']:.0f}% of the time, {used:.1f} GB, {gpu['sm_clock_mhz']:.0f} MHz, "
            f"{gpu['temperature_celsius']:.0f} °C",
        )


def _throughput(found: Figures) -> Iterator[Row]:
    levels = "; ".join(
        f"{each['at_once']}: {each['clips_per_second']:.2f} clips/s, p50 {each['p50_seconds']:.1f} s, p99 "
        f"{each['p99_seconds']:.1f} s"
        for each in found["levels"]
    )
    yield f"clips at once ({found['clip']['size']}, {found['clip']['seconds']:.0f} s)", levels
    at_once, reason = found["saturated_at"], found["limited_by"]
    limit = f"not seen up to {at_once}" if reason == NOT_SATURATED else f"from {at_once} on: {reason}"
    yield "more clips at once bring no more", limit


def _served_vs_raw(found: Figures) -> Iterator[Row]:
    if (ratio := found["least_ratio_of_small"]) is not None:
        yield "served over raw, inputs under 1 MB, the least", f"{ratio:.2f} ({found['least_ratio_model']})"
    if (overhead := found["most_overhead_ms_per_mb"]) is not None:
        yield (
            "what serving adds to models that take frames, the most",
            f"{overhead:.2f} ms per MB ({found['most_overhead_model']})",
        )


def _roofline(found: Figures) -> Iterator[Row]:
    yield (
        "what a clip needs at least, counted, on this machine's measured ceilings",
        f"{found['tflop']:.2f} TFLOP, {found['gigabytes']:.1f} GB: {found['floor_seconds']:.2f} s",
    )
    if projection := found.get("projection"):
        yield (
            "projected for an RTX 8000 (130 TFLOP/s FP16, 672 GB/s); a projection, not a measurement",
            f"{projection['wall_seconds']:.1f} s",
        )


def _vlm(found: Figures) -> Iterator[Row]:
    tokens = found["served_requests_answer_tokens"]
    yield (
        f"Qwen2-VL-2B, {len(tokens)} windows of 8 frames, {min(tokens)} to {max(tokens)} tokens each, with the schema, "
        "through Triton, FP16",
        f"{found['served_requests_seconds']:.2f} s as {len(tokens)} requests, "
        f"{found['served_windows_seconds']:.2f} s as "
        f"one; the synthesis, {found['served_synthesis_answer_tokens'][0]} tokens, "
        f"{found['served_synthesis_seconds']:.2f} s",
    )
    yield (
        f"the same without Triton, {found['new_tokens']} tokens each",
        f"{found['static_whole']:.2f} s, {found['eager_over_static']:.1f} times as fast as transformers' eager "
        "batch; first "
        f"tokens after {found['static_prefill']:.2f} s, a step {found['static_step_ms']:.1f} ms; windows of "
        "another length "
        f"as fast ({found['other_length_step_ratio']:.3f}); {found['agreement_ratio']:.1%} of tokens as eagerly",
    )
    yield (
        "Qwen2-VL-2B: ready after a start",
        f"{found['served_ready_warm']:.0f} s, the first time on a machine {found['served_ready_cold']:.0f} s; "
        f"{found['served_memory_after_mib'] / 1000:.1f} GB",
    )


def _vlm_7b(found: Figures) -> Iterator[Row]:
    yield (
        f"Qwen2-VL-7B, 5 windows, {found['new_tokens']} tokens each, without Triton, FP16",
        f"{found['static_whole']:.2f} s, {found['eager_over_static']:.1f} times as fast as transformers' eager batch; "
        f"{found['memory_most_mib'] / 1000:.0f} GB",
    )
    one, other = (found["allocator_2b"][name]["reserved_most_mib"] for name in ("expandable_segments:True", "default"))
    yield (
        "Qwen2-VL-2B, memory that PyTorch takes for windows of different lengths, `expandable_segments` (served) "
        "against "
        "its default",
        f"{one / 1000:.1f} against {other / 1000:.1f} GB",
    )


def _gpu_check(found: Figures) -> Iterator[Row]:
    together = found["together"]
    names = ("detections", "poses", "scene_labels", "faces", "embeddings", "crop_embeddings")
    times = (f"{together['ensembles'][name]['window']['p50_ms']:.0f}" for name in names)
    height, width = found["frame"]
    yield f"20 frames of {height}x{width}: {' / '.join(names)} (20 crops), FP16 where right", f"{' / '.join(times)} ms"
    yield (
        "20 frames, text_regions, on random squares: at each width of a line onnxruntime plans its convolutions anew",
        f"{together['ensembles']['text_regions']['window']['p50_ms']:.0f} ms; a window has 5 such frames",
    )
    missing = " but Qwen2-VL" if "understanding" in together["failed"] else ""
    yield (
        f"all models{missing} in one server",
        f"{together['loaded_mib'] / 1000:.0f} GB loaded, {together['used_mib'] / 1000:.1f} GB with full windows "
        "through "
        "every ensemble",
    )


def _scaling(found: Figures) -> Iterator[Row]:
    short, long = found["figures"]
    pace = (each["seconds_per_clip_second"] for each in (long, short))
    client = (f"{each['peak_mib'] / 1000:.1f}" for each in (long, short))
    server = (f"{each['server']['peak_mb'] / 1000:.0f}" for each in (long, short))
    yield (
        "the demo clip repeated to two minutes against the clip itself, 24 analyzers",
        f"{' against '.join(f'{each:.1f}' for each in pace)} s per second of the clip (ratio {found['ratio']:.2f}; "
        "at most "
        f"1.25 wanted). Client {' against '.join(client)} GB, server {' against '.join(server)} GB",
    )


def _page(found: Figures) -> Iterator[Row]:
    yield "the gateway's page can be used after", f"{found['page_interactive']['p50_ms'] / 1000:.2f} s"


def _memory(found: Figures) -> Iterator[Row]:
    short, long = found["figures"]
    analyzers = len(long["statuses"])
    yield (
        f"peak memory of the client, {long['seconds'] / 60:.0f} minutes of 1280x720 against "
        f"{short['seconds'] / 60:.0f}, "
        f"{analyzers} analyzers{' that listen' if found.get('only') else ''}",
        f"{long['peak_mib']:.0f} against {short['peak_mib']:.0f} MiB",
    )


def _transport(found: Figures) -> Iterator[Row]:
    shared, inline = (found["figures"][name]["p50_ms"] for name in ("shared memory", "inline"))
    yield (
        "20 frames of 1136x640 to a reduce-only model, shared memory against inline",
        f"{found['ratio']:.0f} times faster ({shared:.0f} ms against {inline:.0f} ms)",
    )


def _hearing(found: Figures) -> Iterator[Row]:
    yield (
        "what listens, on the demo clip: decoding, six analyzers, tiny Whisper, server running",
        f"{found['following']['p50_ms'] / 1000:.1f} s (at most 6 wanted); {found['first_ms'] / 1000:.1f} s the "
        "first time in "
        "a process",
    )


def _speech(found: Figures) -> Iterator[Row]:
    yield (
        "half a minute of speech, ensemble `speech` against `whisper.transcribe`, tiny, FP32, the same words at "
        "the same "
        "times, in one run",
        f"{found['ratio']:.2f} times as fast, four clips at once {found['ratio_at_once']:.2f} times (twice was wanted)",
    )


SECTIONS: tuple[tuple[str, Callable[[Figures], Iterator[Row]]], ...] = (
    ("end_to_end", _end_to_end),
    ("end_to_end_h200", _end_to_end),
    ("throughput", _throughput),
    ("throughput_h200", _throughput),
    ("served_vs_raw", _served_vs_raw),
    ("served_vs_raw_h200", _served_vs_raw),
    ("roofline", _roofline),
    ("roofline_h200", _roofline),
    ("vlm", _vlm),
    ("vlm_7b", _vlm_7b),
    ("gpu_check", _gpu_check),
    ("scaling", _scaling),
    ("page", _page),
    ("memory", _memory),
    ("memory_only", _memory),
    ("transport", _transport),
    ("hearing", _hearing),
    ("speech", _speech),
)
"""Files of results, and what is said of them."""


def lines(folder: Path = RESULTS) -> Iterator[str]:
    """Lines of the generated part."""
    yield from ("| what | figure | machine, commit |", "|---|---|---|")
    for name, say in SECTIONS:
        file = folder / f"{name}.json"
        if file.is_file():
            found = json.loads(file.read_text(encoding="utf-8"))
            # What was kept from an earlier run says of which commit and GPU it is.
            found |= {name: kept for name, kept in (found.get("together") or {}).items() if name in ("commit", "gpu")}
            commit = found["commit"]
            for what, figure in say(found):
                yield f"| {what} | {figure} | {_machine(found)}, {commit} |"
    yield from ("", "What was to be reached:", "", "| figure | wanted | measured | |", "|---|---|---|---|")
    for target, value in targets.rows(folder):
        measured = "" if value is None else f"{value:.3g} {target.unit}".rstrip()
        yield f"| {target.figure} | {target.wanted} | {measured} | {targets.verdict(target, value)} |"


def _machine(found: Figures) -> str:
    gpu = found.get("gpu")
    if isinstance(gpu, dict):
        gpu = gpu["name"]
    processor = found["machine"].replace("(R)", "").replace(" Processor", "")
    return f"{gpu}" if gpu else processor


def filled(text: str, folder: Path = RESULTS) -> str:
    """A README with its generated part written anew."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{README.name} has lost its marks: {BEGIN} and {END}")
    return "\n".join([before + BEGIN, *lines(folder), END + after])


def main(arguments: list[str] | None = None) -> int:
    """Write the README's figures, or check them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.figures", description="The README's figures.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the README differs")
    check = parser.parse_args(arguments).check
    text = README.read_text(encoding="utf-8")
    expected = filled(text)
    for figure in (unexplained := targets.unexplained()):
        print(f"missed, and benchmarks/targets.py does not say why: {figure}", file=sys.stderr)
    if check and expected != text:
        print(
            "README.md: figures are not those of benchmarks/results; run: python -m benchmarks.figures", file=sys.stderr
        )
    if not check:
        README.write_text(expected, encoding="utf-8")
    return int(bool(unexplained) or (check and expected != text))


if __name__ == "__main__":
    sys.exit(main())
