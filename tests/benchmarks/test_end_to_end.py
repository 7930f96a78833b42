"""The benchmarks of whole clips: their arithmetic, and every step on a clip of two seconds."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import benchmarks
from benchmarks import end_to_end, footage, interleaved, memory, observed, picture
from benchmarks.observed import Call, Span
from reelscope import settings
from reelscope.analyzers import ANALYZERS
from reelscope_export import weights

RESULTS = Path(end_to_end.__file__).parent / "results"


def written() -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in RESULTS.iterdir()}


def test_calls_take_turns_and_the_first_turn_does_not_count() -> None:
    called: list[str] = []
    times = interleaved({name: lambda name=name: called.append(name) for name in ("a", "b")}, 3)
    assert called == ["a", "b"] * 4
    assert {name: len(each) for name, each in times.items()} == {"a": 3, "b": 3}


def steps(*wall_and_repeated: tuple[float, float]) -> list[dict[str, float]]:
    return [{"wall_seconds": wall, "repeated_seconds": repeated} for wall, repeated in wall_and_repeated]


def test_the_ratio_compares_times_of_the_same_turn() -> None:
    """A machine that becomes three times slower changes no ratio."""
    ours = [SimpleNamespace(wall_seconds=seconds) for seconds in (2.0, 6.0)]
    theirs = [steps((5.0, 1.0), (5.0, 0.0)), steps((15.0, 3.0), (15.0, 0.0))]
    assert end_to_end._ratios(ours, theirs, repeated=True) == {"median": 5.0, "turns": [5.0, 5.0]}
    assert end_to_end._ratios(ours, theirs, repeated=False)["median"] == pytest.approx(4.5)


def test_the_predecessor_is_told_to_do_what_the_system_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = [
        Call("faces", {}, {"frame_index": np.zeros(7)}),
        Call("faces", {}, {"frame_index": np.zeros(2)}),
        Call("crop_embeddings", {"boxes_xyxy": np.zeros((3, 4))}, {}),
        Call("sounds", {"waveform": np.zeros((2, 32_000))}, {}),
        Call("speech", {"waveform": np.zeros((1, 80_000))}, {}),
        Call("speech_emotions", {"waveform": np.zeros((1, 24_000))}, {}),
        Call(
            "understanding",
            {"frames": np.zeros((2, 8, 30, 20, 3)), "task": np.full((2, 1), b"window", object)},
            {"token_counts": np.array([[900, 120], [900, 131]])},
        ),
        Call(
            "understanding",
            {"frames": np.zeros((1, 4, 30, 20, 3)), "task": np.full((1, 1), b"synthesis", object)},
            {"token_counts": np.array([[900, 999]])},
        ),
    ]
    model = SimpleNamespace(name="speech_whisper", trained=False)
    found = SimpleNamespace(
        results=SimpleNamespace(analyzers={"speech_transcription": SimpleNamespace(models=(model,))})
    )
    client = SimpleNamespace(calls=calls)
    monkeypatch.setenv("REELSCOPE_REPOSITORY", str(tmp_path))  # without a model: nothing to find weights of
    work = end_to_end.work_of(Path("clip.mp4"), settings.profile("cpu"), "cpu", client, found)
    assert (work.faces, work.crops) == (9, 3)
    assert work.sound_windows == (2.0, 2.0)
    assert work.voice_pieces == (1.5,)
    assert work.spoken_tokens == 48
    assert (work.windows, work.window_size, work.window_tokens) == ((8, 8), (30, 20), 131)


def test_what_the_other_side_lacks_is_left_out_by_its_ensembles() -> None:
    assert observed.required_ensembles(ANALYZERS, {"text_overlay"}) == {"text_regions"}
    assert observed.required_ensembles(ANALYZERS, {"cut_analysis"}) == frozenset()


def test_gpu_samples_are_put_together_and_gaps_are_no_zeros() -> None:
    lines = ["0, 10000, 1980, 40, 100.5\n", "80, 12000, 1500, 45, [N/A]\n", "broken\n"]
    found = observed.gpu_summary(lines)
    assert found is not None
    assert (found["busy_percent"], found["used_mib"], found["sm_clock_mhz"]) == (40, 12000, 1740)
    assert (found["temperature_celsius"], found["power_watts"], found["samples"]) == (45, 100.5, 2)
    assert observed.gpu_summary([]) is None


def test_the_picture_has_a_lane_for_everybody_and_is_drawn_to_scale() -> None:
    spans = [
        Span("decode", "decode", 0.0, 1.0),
        Span("detections <1>", "server", 0.5, 2.0),
        Span("detections <1>", "server", 1.99, 4.0),
    ]
    root = ElementTree.fromstring(picture.timeline(spans, "a clip"))
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a clip", "decode", "detections <1>"} <= set(texts)
    boxes = [each for each in root.iter("{http://www.w3.org/2000/svg}rect") if each.get("height") == "12"]
    widths = [float(each.get("width", "")) for each in boxes]
    assert len(boxes) == 2  # what follows at once is one
    assert widths[1] / widths[0] == pytest.approx(3.5, rel=0.01)


def test_weights_are_found_by_their_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELSCOPE_WEIGHTS", str(tmp_path))
    file = tmp_path / "random" / "clip-1" / "model.bin"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    assert benchmarks.checkpoint(weights.file_sha256(file)) == file
    (silero,) = weights.read_manifest()["voice_activity_silero"].values()
    assert benchmarks.checkpoint(silero.sha256).name == "silero_vad_16k_sequence.onnx", "it comes in its package"
    with pytest.raises(FileNotFoundError, match="0123"):
        benchmarks.checkpoint("0123")


@pytest.fixture
def environment(built_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELSCOPE_REPOSITORY", str(built_repository))
    monkeypatch.setenv("REELSCOPE_STATE", str(tmp_path / "state"))


@pytest.mark.slow
@pytest.mark.usefixtures("environment")
def test_both_sides_analyse_a_clip(tmp_path: Path) -> None:
    clip = footage.write_clip(tmp_path / "clip.mp4", width=180, height=320, rate=30, seconds=2.0)
    found = end_to_end.measure(clip, settings.profile("cpu"), "cpu", 1)
    names = {analyzer.name for analyzer in ANALYZERS}
    assert found["left_out"] == {}
    assert {name for name, each in found["system"]["analyzers"].items() if each["status"] == "ok"} == names
    assert names - found["predecessor"]["analyzers"].keys() == {"temporal_flow", "cross_analyzer_intelligence"}
    assert found["command_line"]["exit_code"] == 0
    assert found["times_as_fast"]["median"] > 1
    lanes = {span.lane for span in found["spans"]}
    assert {"decode", "analyzers", "detections", "understanding", "shots"} <= lanes
    # Ten frames of 320x180 for every ensemble, once.
    assert 10 * 320 * 180 * 3 < 1e6 * found["system"]["uploaded_mb"] < 10e6


@pytest.mark.slow
@pytest.mark.usefixtures("environment")
def test_peak_memory_is_that_of_the_analysing_process(capsys: pytest.CaptureFixture[str]) -> None:
    before = written()
    ballast = bytearray(1_000_000_000)  # of this process: must not be counted
    memory.main(["--seconds", "1", "2"])
    assert len(ballast) == 1_000_000_000
    shown = capsys.readouterr().out
    peaks = [int(line.split("│")[2]) for line in shown.splitlines() if line.startswith("│")]
    assert len(peaks) == 2
    assert all(100 < peak < 900 for peak in peaks)
    assert "nothing is written" in shown
    assert written() == before
