"""audEERING's graph judges voices like transformers on the same weights, however loud and long they are."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from places import CHECKOUT
from reelscope_export import emotion_random, paths, speech_emotion_wav2vec2, spoken, verify, weights
from reelscope_export.errors import LicenceRefused, WeightsUnreadable
from reelscope_export.export import Exporter, Outcome
from reelscope_export.verify import Array

MODEL = "speech_emotion_wav2vec2"
VARIANT = "wav2vec2-large-robust-12-ft-emotion-msp-dim"
RATE = 16_000
PUBLISHED = {
    "_name_or_path": "torch",
    "activation_dropout": 0.1,
    "adapter_kernel_size": 3,
    "adapter_stride": 2,
    "add_adapter": False,
    "apply_spec_augment": True,
    "architectures": ["Wav2Vec2ForSpeechClassification"],
    "attention_dropout": 0.1,
    "bos_token_id": 1,
    "classifier_proj_size": 256,
    "codevector_dim": 768,
    "contrastive_logits_temperature": 0.1,
    "conv_bias": True,
    "conv_dim": [512] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "ctc_loss_reduction": "sum",
    "ctc_zero_infinity": False,
    "diversity_loss_weight": 0.1,
    "do_stable_layer_norm": True,
    "eos_token_id": 2,
    "feat_extract_activation": "gelu",
    "feat_extract_dropout": 0.0,
    "feat_extract_norm": "layer",
    "feat_proj_dropout": 0.1,
    "feat_quantizer_dropout": 0.0,
    "final_dropout": 0.1,
    "finetuning_task": "wav2vec2_reg",
    "gradient_checkpointing": False,
    "hidden_act": "gelu",
    "hidden_dropout": 0.1,
    "hidden_dropout_prob": 0.1,
    "hidden_size": 1024,
    "id2label": {"0": "arousal", "1": "dominance", "2": "valence"},
    "initializer_range": 0.02,
    "intermediate_size": 4096,
    "label2id": {"arousal": 0, "dominance": 1, "valence": 2},
    "layer_norm_eps": 1e-05,
    "layerdrop": 0.1,
    "mask_feature_length": 10,
    "mask_feature_min_masks": 0,
    "mask_feature_prob": 0.0,
    "mask_time_length": 10,
    "mask_time_min_masks": 2,
    "mask_time_prob": 0.05,
    "model_type": "wav2vec2",
    "num_adapter_layers": 3,
    "num_attention_heads": 16,
    "num_codevector_groups": 2,
    "num_codevectors_per_group": 320,
    "num_conv_pos_embedding_groups": 16,
    "num_conv_pos_embeddings": 128,
    "num_feat_extract_layers": 7,
    "num_hidden_layers": 12,
    "num_negatives": 100,
    "output_hidden_size": 1024,
    "pad_token_id": 0,
    "pooling_mode": "mean",
    "problem_type": "regression",
    "proj_codevector_dim": 768,
    "tdnn_dilation": [1, 2, 3, 1, 1],
    "tdnn_dim": [512, 512, 512, 512, 1500],
    "tdnn_kernel": [5, 3, 3, 1, 1],
    "torch_dtype": "float32",
    "transformers_version": "4.17.0.dev0",
    "use_weighted_layer_sum": False,
    "vocab_size": None,
    "xvector_output_dim": 512,
}
"""The published config.json."""


@pytest.fixture(scope="module")
def built() -> Outcome:
    """The CPU profile's graph with random weights: the one that the integration tests serve, built if code changed."""
    settings = paths.model_settings(paths.read_profiles(), "cpu", MODEL)
    cache = weights.Cache(CHECKOUT / "out" / "test" / "weights", weights.read_manifest())
    return Exporter(CHECKOUT / "out" / "test" / "model_repository", cache, mode="random").export(settings)


@pytest.fixture(scope="module")
def run(built: Outcome) -> verify.Run:
    return verify.open_graph(built.file)


@pytest.fixture(scope="module")
def voice() -> Array:
    return spoken.say("Nobody told me that it would be this loud in here.", words_per_minute=180)


@pytest.fixture(scope="module")
def upstream(built: Outcome) -> speech_emotion_wav2vec2.Checkpoint:
    return speech_emotion_wav2vec2.load(built.weights.file)


@pytest.mark.parametrize("sample_count", [400, 1600, 16_001, 48_000])
def test_equals_transformers(
    sample_count: int, run: verify.Run, voice: Array, upstream: speech_emotion_wav2vec2.Checkpoint
) -> None:
    sound = np.resize(voice[1000:], sample_count)
    found = speech_emotion_wav2vec2.numbers(run(sound[None]))
    expected = speech_emotion_wav2vec2.upstream_numbers(upstream, [sound])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_random_weights_tell_voices_apart(run: verify.Run, voice: Array) -> None:
    """Parity over one answer to everything would show nothing."""
    slow = spoken.say("Nobody told me that it would be this loud in here.", words_per_minute=90)
    noise = np.random.default_rng(0).normal(0, 0.1, len(voice)).astype(np.float32)
    found = np.concatenate([speech_emotion_wav2vec2.numbers(run(sound[None])) for sound in (voice, slow, noise)])
    assert ((found > 0) & (found < 1)).any(1).all()
    assert (np.ptp(found, axis=0) > 0.02).all()


def test_loudness_alone_says_nothing(run: verify.Run, voice: Array) -> None:
    """Within 6 dB either way; far below that, what keeps silence from being divided by zero shows."""
    as_it_is = speech_emotion_wav2vec2.numbers(run(voice[None]))
    for gain, bound in ((0.5, 1e-4), (2.0, 1e-4), (0.05, 1e-2)):
        np.testing.assert_allclose(speech_emotion_wav2vec2.numbers(run(gain * voice[None])), as_it_is, atol=bound)


def test_batch_equals_singles(run: verify.Run, voice: Array) -> None:
    batch = np.stack([voice[shift : shift + 8000] for shift in (0, 5000, 9000)])
    assert verify.batch_difference(run, batch) <= 1e-6


@pytest.mark.parametrize("sample_count", [0, 1, 399])
def test_below_a_frame_silence_completes_the_sound(sample_count: int, run: verify.Run, voice: Array) -> None:
    sound = voice[5000 : 5000 + sample_count]
    found = speech_emotion_wav2vec2.numbers(run(sound[None]))
    completed = speech_emotion_wav2vec2.numbers(run(np.pad(sound, (0, 400 - sample_count))[None]))
    np.testing.assert_allclose(found, completed, rtol=0, atol=1e-6)


@pytest.mark.parametrize("sound", [np.zeros(RATE), np.ones(RATE), np.sign(np.sin(np.arange(RATE) / 10))])
def test_silence_and_full_scale_have_answers(sound: Array, run: verify.Run) -> None:
    found = speech_emotion_wav2vec2.numbers(run(sound[None].astype(np.float32)))
    assert ((found >= 0) & (found <= 1)).all()


def test_provenance_says_untrained_and_the_licence_is_carried(built: Outcome, run: verify.Run) -> None:
    said = [json.loads(row) for row in run(np.zeros((2, 400), np.float32))["provenance"][:, 0]]
    assert said[0] == said[1]
    assert (said[0]["name"], said[0]["trained"]) == (VARIANT, False)
    entry = weights.read_manifest()[MODEL][VARIANT]
    assert (entry.licence, entry.commercial_use, entry.opt_in) == ("CC-BY-NC-SA-4.0", False, True)


def test_upstreams_own_files_load(built: Outcome, tmp_path: Path) -> None:
    """The published settings, byte for byte, with weights under the names that the published ones have."""
    from safetensors import safe_open

    extractor = {
        "do_normalize": True,
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "feature_size": 1,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": True,
        "sampling_rate": 16000,
    }
    known = weights.read_manifest()[MODEL][VARIANT].beside
    shutil.copy(built.weights.file, tmp_path)
    for name, content in (("config.json", PUBLISHED), ("preprocessor_config.json", extractor)):
        text = json.dumps(content, indent=2) + "\n"
        assert hashlib.sha256(text.encode()).hexdigest() == known[name]
        (tmp_path / name).write_text(text)
    file = tmp_path / "model.safetensors"
    with safe_open(file, "pt") as tensors:
        names = set(tensors.keys())
    assert {f"wav2vec2.encoder.pos_conv_embed.conv.weight_{part}" for part in "gv"} <= names
    assert {f"classifier.{layer}.{part}" for layer in ("dense", "out_proj") for part in ("weight", "bias")} <= names
    checkpoint = speech_emotion_wav2vec2.load(file)
    direct = speech_emotion_wav2vec2.load(built.weights.file)
    for mine, theirs in zip(checkpoint.network.parameters(), direct.network.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def _small_config(**changed: Any) -> Any:
    from transformers import Wav2Vec2Config

    names = speech_emotion_wav2vec2.DIMENSIONS
    settings: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_conv_pos_embedding_groups": 2,
        "conv_dim": (8,) * 7,
        "do_stable_layer_norm": True,
        "feat_extract_norm": "layer",
        "conv_bias": True,
        "id2label": dict(enumerate(names)),
        "label2id": {name: index for index, name in enumerate(names)},
    }
    return Wav2Vec2Config(**settings | changed)


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A network of the right shape outside and small inside, so that loading it takes no time."""
    monkeypatch.setattr(emotion_random, "_config", _small_config)
    file = tmp_path / VARIANT / "model.safetensors"
    file.parent.mkdir()
    speech_emotion_wav2vec2.write_random(VARIANT, file)
    return file


def test_random_weights_are_deterministic(checkpoint: Path, tmp_path: Path) -> None:
    again = tmp_path / "again" / checkpoint.name
    again.parent.mkdir()
    speech_emotion_wav2vec2.write_random(VARIANT, again)
    parts = weights.read_manifest()[MODEL][VARIANT].parts
    assert {file.name for file in again.parent.iterdir()} == {Path(part.name).name for part in parts}
    for file in again.parent.iterdir():
        assert weights.file_sha256(file) == weights.file_sha256(checkpoint.parent / file.name), file.name


def test_weights_put_into_the_cache_by_hand_are_consent(checkpoint: Path, tmp_path: Path) -> None:
    """Through every step of an export; the licence is in the answer, and a commercial policy refuses it."""
    known = weights.read_manifest()[MODEL][VARIANT]
    by_hand = dataclasses.replace(known, sha256=None, beside=dict.fromkeys(known.beside, ""))
    cache = weights.Cache(tmp_path, {MODEL: {VARIANT: by_hand}})
    settings = paths.model_settings(paths.read_profiles(), "cpu", MODEL)
    with pytest.raises(LicenceRefused, match="CC-BY-NC-SA"):
        Exporter(tmp_path / "repository", cache, mode="trained", policy="commercial").export(settings)
    outcome = Exporter(tmp_path / "repository", cache, mode="trained").export(settings)
    said = json.loads(verify.open_graph(outcome.file)(np.zeros((1, 400), np.float32))["provenance"][0, 0])
    assert (said["trained"], said["licence"]) == (True, "CC-BY-NC-SA-4.0")


def test_without_consent_nothing_is_downloaded(tmp_path: Path) -> None:
    cache = weights.Cache(tmp_path, weights.read_manifest())
    settings = paths.model_settings(paths.read_profiles(), "cpu", MODEL)
    with pytest.raises(LicenceRefused, match=r"--accept-licence CC-BY-NC-SA-4\.0"):
        Exporter(tmp_path / "repository", cache, mode="trained").export(settings)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_damaged_folder_is_unreadable(checkpoint: Path, name: str) -> None:
    (checkpoint.parent / name).write_bytes(b"\x00\xff not what it should be")
    with pytest.raises(WeightsUnreadable) as caught:
        speech_emotion_wav2vec2.load(checkpoint)
    assert str(checkpoint.parent) in str(caught.value)


def test_weights_that_lack_something_are_unreadable(checkpoint: Path) -> None:
    """Transformers would draw them at random."""
    from safetensors.torch import load_file, save_file

    state = load_file(checkpoint)
    del state["classifier.dense.weight"]
    save_file(state, checkpoint, metadata={"format": "pt"})
    with pytest.raises(WeightsUnreadable, match=r"missing, the first is classifier\.dense\.weight"):
        speech_emotion_wav2vec2.load(checkpoint)


def test_another_order_of_the_numbers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("valence", "arousal", "dominance")
    swapped = _small_config(id2label=dict(enumerate(names)), label2id={name: k for k, name in enumerate(names)})
    monkeypatch.setattr(emotion_random, "_config", lambda: swapped)
    speech_emotion_wav2vec2.write_random(VARIANT, tmp_path / "model.safetensors")
    with pytest.raises(WeightsUnreadable, match=r"valence, arousal, dominance .* another network than audEERING's"):
        speech_emotion_wav2vec2.load(tmp_path / "model.safetensors")


@pytest.mark.slow
def test_half_precision_verifies(built: Outcome, tmp_path: Path) -> None:
    file = tmp_path / "graph.onnx"
    onnx.save(speech_emotion_wav2vec2.build(built.weights.file, "fp16"), str(file))
    run = verify.open_graph(file)
    arguments: dict[str, Any] = {"variant": VARIANT, "precision": "fp16", "trained": False}
    verify.require(MODEL, speech_emotion_wav2vec2.verify(run, built.weights.file, **arguments))
