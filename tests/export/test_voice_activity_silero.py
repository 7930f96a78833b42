"""Silero VAD's graph: what the library's streaming network says, from a whole waveform; trained on every machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from reelscope_export import paths, spoken, verify, voice_activity_silero, weights
from reelscope_export.errors import WeightsUnreadable
from reelscope_export.export import Exporter, Outcome


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The CPU profile's graph, exported through every step, parity with the library among them."""
    cache = weights.Cache(paths.weights_folder(), weights.read_manifest())
    settings = paths.model_settings(paths.read_profiles(), "cpu", "voice_activity_silero")
    return Exporter(tmp_path_factory.mktemp("repository"), cache, mode="random", policy="commercial").export(settings)


@pytest.fixture(scope="module")
def run(built: Outcome) -> verify.Run:
    return verify.open_graph(built.file)


def test_is_trained_even_where_random_weights_are_asked_for(built: Outcome) -> None:
    assert built.weights.trained
    assert (built.weights.source, built.weights.licence) == ("package silero-vad", "MIT")
    assert built.measures
    assert all(measure.passed for measure in built.measures)


@pytest.mark.parametrize("sample_count", [0, 1, 511, 512, 513, 1024, 16_000, 16_001])
def test_any_length(run: verify.Run, sample_count: int) -> None:
    waveform = spoken.say("How long is this?")[4000:][:sample_count]
    found = run(waveform[None])["speech_probabilities"]
    assert found.shape == (1, -(-len(waveform) // 512))
    np.testing.assert_allclose(found[0], voice_activity_silero.oracle()(waveform), atol=1e-4)


def test_hears_speech_and_nothing_else(run: verify.Run) -> None:
    """Speech between silences; noise and a chord are none."""
    silence = np.zeros(16_000, np.float32)
    speech = spoken.say("Coffee makes the mornings better.")
    (found,) = run(np.concatenate((silence, speech, silence))[None])["speech_probabilities"]
    assert found[:28].max() < 0.5
    assert found[32 : 32 + len(speech) // 512 - 8].mean() > 0.8
    assert found[-16:].max() < 0.5
    times = np.arange(32_000) / 16_000
    chord = sum(np.sin(2 * np.pi * hz * times) for hz in (220, 277, 330)).astype(np.float32) / 10
    noise = np.random.default_rng(0).normal(0, 0.05, 32_000).astype(np.float32)
    for sound in (chord, noise, np.zeros(32_000, np.float32)):
        assert run(sound[None])["speech_probabilities"].max() < 0.5


def test_other_networks_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.onnx"
    node = onnx.helper.make_node("Identity", ["input"], ["output"])
    values = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 576]) for name in ("input", "output")
    ]
    graph = onnx.helper.make_graph([node], "other", values[:1], values[1:])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 16)]), str(file))
    with pytest.raises(WeightsUnreadable, match="not Silero's"):
        voice_activity_silero.build(file, "fp32")
    file.write_bytes(b"no graph")
    with pytest.raises(WeightsUnreadable):
        voice_activity_silero.build(file, "fp32")
