"""AST's graph hears like transformers on the same weights, its filter bank in the graph."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from places import CHECKOUT
from reelscope_export import ast_random, graph, paths, sound_events_ast, sound_filter_bank, spoken, verify, weights
from reelscope_export.errors import WeightsUnreadable
from reelscope_export.export import Exporter, Outcome
from reelscope_export.verify import Array

VARIANT = "ast-finetuned-audioset-10-10-0.4593"
LABELS = (CHECKOUT / "model_repository" / "sound_events_ast" / "labels.txt").read_text().splitlines()
RATE = 16_000
HEARD = 164_080
TIMES = np.arange(11 * RATE) / RATE
DRAW = np.random.default_rng(0)

SOUNDS = {
    "noise": DRAW.normal(0, 0.1, HEARD),
    "hardly any noise": DRAW.normal(0, 1e-4, HEARD),
    "full-scale tone": np.sin(2 * np.pi * 3100 * TIMES),
    "full-scale square wave": np.sign(np.sin(2 * np.pi * 220 * TIMES)),
    "sweep": 0.5 * np.sin(2 * np.pi * (100 + 300 * TIMES) * TIMES),
    "noise on an offset": 0.9 + DRAW.normal(0, 1e-3, 30_001),
    "clicks": (np.arange(30_000) % 8000 == 0) * 1.0,
    "silence": np.zeros(RATE),
    "one frame": DRAW.normal(0, 0.1, 400),
    "a sample short of two frames": DRAW.normal(0, 0.1, 559),
    "two frames": DRAW.normal(0, 0.1, 560),
}


@pytest.fixture(scope="module")
def built() -> Outcome:
    """The CPU profile's graph with random weights: the one that the integration tests serve, built if code changed."""
    settings = paths.model_settings(paths.read_profiles(), "cpu", "sound_events_ast")
    cache = weights.Cache(CHECKOUT / "out" / "test" / "weights", weights.read_manifest())
    return Exporter(CHECKOUT / "out" / "test" / "model_repository", cache, mode="random").export(settings)


@pytest.fixture(scope="module")
def run(built: Outcome) -> verify.Run:
    return verify.open_graph(built.file)


@pytest.fixture(scope="module")
def hear(tmp_path_factory: pytest.TempPathFactory) -> verify.Run:
    """The filter bank alone, in onnxruntime."""
    bank = sound_filter_bank.FilterBank(sound_filter_bank.extractor())
    example = graph.Example(torch.zeros(2, RATE), {0: "batch", 1: "samples"})
    file = tmp_path_factory.mktemp("bank") / "bank.onnx"
    onnx.save(graph.to_onnx(bank, {"waveform": example}, output_names=("features",)), str(file))
    return verify.open_graph(file)


@pytest.mark.parametrize("name", SOUNDS)
def test_features_equal_transformers(name: str, hear: verify.Run) -> None:
    sound = SOUNDS[name].astype(np.float32)
    expected = sound_filter_bank.extractor()([sound], sampling_rate=RATE, return_tensors="np")["input_values"]
    found = hear(sound[None])["features"]
    assert found.shape == expected.shape == (1, 1024, 128)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("sample_count", [0, 1, 399])
def test_below_a_frame_silence_completes_the_sound(sample_count: int, hear: verify.Run) -> None:
    sound = SOUNDS["noise"][:sample_count].astype(np.float32)
    completed = np.pad(sound, (0, 400 - sample_count))
    assert np.array_equal(hear(sound[None])["features"], hear(completed[None])["features"])


def test_a_long_sound_is_cut_off_where_the_library_does(hear: verify.Run) -> None:
    sound = DRAW.normal(0, 0.1, HEARD + 5000).astype(np.float32)
    whole = hear(sound[None])["features"]
    assert np.array_equal(whole, hear(sound[None, :HEARD])["features"])
    assert not np.array_equal(whole, hear(sound[None, : HEARD - 1])["features"])


def test_probabilities_equal_transformers(built: Outcome, run: verify.Run) -> None:
    """By transformers' own classes; and the sounds are told apart, or equality would show nothing."""
    from transformers import ASTForAudioClassification

    folder = built.weights.file.parent
    network = ASTForAudioClassification.from_pretrained(folder, dtype=torch.float32)
    speech = spoken.say("Who left the window open?")[:RATE]
    sounds = np.stack([speech, SOUNDS["full-scale tone"][:RATE]]).astype(np.float32)
    features = sound_filter_bank.extractor(folder)(list(sounds), sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        expected = torch.sigmoid(network(**features).logits).numpy()
    together = run(sounds)["probabilities"]
    alone = np.concatenate([run(sound[None])["probabilities"] for sound in sounds])
    np.testing.assert_allclose(together, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)
    assert np.abs(expected[0] - expected[1]).mean() > 0.1


def test_provenance_says_untrained(built: Outcome, run: verify.Run) -> None:
    said = [json.loads(row) for row in run(np.zeros((2, 400), np.float32))["provenance"][:, 0]]
    assert said[0] == said[1]
    assert (said[0]["name"], said[0]["trained"]) == (VARIANT, False)
    assert said[0]["sha256"] == weights.file_sha256(built.weights.file)


def test_the_last_layer_for_two_tokens_is_the_last_layer() -> None:
    from transformers import ASTConfig, ASTForAudioClassification

    torch.manual_seed(0)
    config = ASTConfig(hidden_size=24, num_hidden_layers=1, num_attention_heads=3, intermediate_size=48)
    config.initializer_range = 0.3
    layer = ASTForAudioClassification(config).eval().audio_spectrogram_transformer.layers[0]
    tokens = torch.randn(2, 9, 24)
    with torch.no_grad():
        expected = layer(tokens)[:, :2]
        found = sound_events_ast.PooledLayer(layer)(tokens)
    assert (expected - tokens[:, :2]).std() > 0.1
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_random_weights_are_deterministic(built: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = weights.read_manifest()["sound_events_ast"][VARIANT].parts
    assert {file.name for file in built.weights.file.parent.iterdir()} == {Path(part.name).name for part in parts}
    monkeypatch.setattr(ast_random, "ASTConfig", _small_config)
    files = [tmp_path / name / "model.safetensors" for name in ("first", "second")]
    for file in files:
        file.parent.mkdir()
        sound_events_ast.write_random(VARIANT, file)
    for name in ("model.safetensors", "config.json", "preprocessor_config.json"):
        first, second = (weights.file_sha256(file.parent / name) for file in files)
        assert first == second, name


def test_upstreams_own_files_load(built: Outcome, tmp_path: Path) -> None:
    """The published settings, byte for byte, which say that labels.txt has upstream's labels in upstream's order."""
    config = {
        "architectures": ["ASTForAudioClassification"],
        "attention_probs_dropout_prob": 0.0,
        "frequency_stride": 10,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "hidden_size": 768,
        "id2label": {str(index): name for index, name in enumerate(LABELS)},
        "initializer_range": 0.02,
        "intermediate_size": 3072,
        "label2id": {name: index for index, name in sorted(enumerate(LABELS), key=lambda pair: pair[1])},
        "layer_norm_eps": 1e-12,
        "max_length": 1024,
        "model_type": "audio-spectrogram-transformer",
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
        "num_mel_bins": 128,
        "patch_size": 16,
        "qkv_bias": True,
        "time_stride": 10,
        "torch_dtype": "float32",
        "transformers_version": "4.25.0.dev0",
    }
    extractor = {
        "do_normalize": True,
        "feature_extractor_type": "ASTFeatureExtractor",
        "feature_size": 1,
        "max_length": 1024,
        "mean": -4.2677393,
        "num_mel_bins": 128,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": False,
        "sampling_rate": 16000,
        "std": 4.5689974,
    }
    known = weights.read_manifest()["sound_events_ast"][VARIANT].beside
    shutil.copy(built.weights.file, tmp_path)
    for name, content in (("config.json", config), ("preprocessor_config.json", extractor)):
        text = json.dumps(content, indent=2) + "\n"
        assert hashlib.sha256(text.encode()).hexdigest() == known[name]
        (tmp_path / name).write_text(text)
    assert sound_events_ast.labels(tmp_path / "model.safetensors") == tuple(LABELS)


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An AST of the right shape outside and small inside, so that loading it takes no time."""
    monkeypatch.setattr(ast_random, "ASTConfig", _small_config)
    file = tmp_path / "model.safetensors"
    sound_events_ast.write_random(VARIANT, file)
    return file


def _small_config(**arguments: object) -> object:
    from transformers import ASTConfig

    return ASTConfig(hidden_size=12, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8, **arguments)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_damaged_folder_is_unreadable(checkpoint: Path, name: str) -> None:
    (checkpoint.parent / name).write_bytes(b"\x00\xff not what it should be")
    with pytest.raises(WeightsUnreadable) as caught:
        sound_events_ast.load(checkpoint)
    assert str(checkpoint.parent) in str(caught.value)


def test_weights_that_lack_something_are_unreadable(checkpoint: Path) -> None:
    """Transformers would draw them at random."""
    from safetensors.torch import load_file, save_file

    state: dict[str, Array] = load_file(checkpoint)
    del state["classifier.dense.weight"]
    save_file(state, checkpoint, metadata={"format": "pt"})
    with pytest.raises(
        WeightsUnreadable, match=r"1 weights of AST are missing, the first is classifier\.dense\.weight"
    ):
        sound_events_ast.load(checkpoint)


def test_another_ast_is_refused(checkpoint: Path) -> None:
    file = checkpoint.parent / "preprocessor_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"do_normalize": False}))
    with pytest.raises(WeightsUnreadable, match="another AST than AudioSet's"):
        sound_events_ast.load(checkpoint)


@pytest.mark.slow
def test_half_precision_verifies(built: Outcome, tmp_path: Path) -> None:
    file = tmp_path / "graph.onnx"
    onnx.save(sound_events_ast.build(built.weights.file, "fp16"), str(file))
    run = verify.open_graph(file)
    arguments = {"variant": VARIANT, "precision": "fp16", "trained": False}
    verify.require("sound_events_ast", sound_events_ast.verify(run, built.weights.file, **arguments))
