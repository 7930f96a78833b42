"""Served sounds and voices against transformers, on the same weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from reelscope import settings
from reelscope_export import paths, sound_filter_bank, speech_emotion_wav2vec2, spoken, weights

RATE = 16_000
MAX_ERROR = 1e-5
EMOTIONS = ("arousal", "dominance", "valence")


def checkpoint(provenance: bytes) -> Path:
    """The file that was exported, found by the hash that the server reports."""
    reported = json.loads(provenance)
    assert reported["trained"] is False
    files = (paths.weights_folder() / "random").rglob("model.safetensors")
    return next(file for file in files if weights.file_sha256(file) == reported["sha256"])


@pytest.fixture(scope="module")
def sounds() -> np.ndarray:
    """Speech, and a chord in noise; the short window of audio_environment."""
    times = np.arange(round(2.56 * RATE)) / RATE
    chord = sum(np.sin(2 * np.pi * hz * times) for hz in (220, 277, 330)) / 8
    noise = np.random.default_rng(0).normal(0, 0.02, len(times))
    speech = spoken.say("The kettle whistles, and the cat runs out of the kitchen.")[: len(times)]
    return np.stack([speech, chord + noise]).astype(np.float32)


def test_sound_tags_equal_transformers(client, sounds):
    from transformers import ASTForAudioClassification

    outputs = ("probabilities", "sound_events_ast_provenance")
    answer = client.ask("sounds", {"waveform": sounds}, outputs, 120).result()
    folder = checkpoint(answer["sound_events_ast_provenance"][0, 0]).parent
    network = ASTForAudioClassification.from_pretrained(folder, dtype=torch.float32)
    features = sound_filter_bank.extractor(folder)(list(sounds), sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        expected = network(**features).logits.sigmoid().numpy()
    np.testing.assert_allclose(answer["probabilities"], expected, rtol=0, atol=MAX_ERROR)
    assert np.abs(expected[0] - expected[1]).mean() > 0.1
    assert tuple(network.config.id2label.values()) == settings.labels("sound_events_ast")
    alone = client.ask("sounds", {"waveform": sounds[1:]}, outputs[:1], 120).result()
    np.testing.assert_allclose(alone["probabilities"], answer["probabilities"][1:], rtol=0, atol=1e-6)


def test_speech_emotions_equal_transformers(client, sounds):
    outputs = (*EMOTIONS, "speech_emotion_wav2vec2_provenance")
    answer = client.ask("speech_emotions", {"waveform": sounds}, outputs, 120).result()
    oracle = speech_emotion_wav2vec2.load(checkpoint(answer["speech_emotion_wav2vec2_provenance"][0, 0]))
    found = speech_emotion_wav2vec2.numbers(answer)
    expected = speech_emotion_wav2vec2.upstream_numbers(oracle, list(sounds))
    np.testing.assert_allclose(found, expected, rtol=0, atol=MAX_ERROR)
    assert np.abs(expected[0] - expected[1]).max() > 0.02
    alone = client.ask("speech_emotions", {"waveform": sounds[:1]}, EMOTIONS, 120).result()
    np.testing.assert_allclose(speech_emotion_wav2vec2.numbers(alone), found[:1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("sample_count", [1, 399, 400])
@pytest.mark.parametrize(("ensemble", "outputs"), [("sounds", ("probabilities",)), ("speech_emotions", EMOTIONS)])
def test_sounds_of_a_moment_have_answers(client, ensemble, outputs, sample_count):
    answer = client.ask(ensemble, {"waveform": np.full((1, sample_count), 0.3, np.float32)}, outputs, 120).result()
    for name in outputs:
        assert len(answer[name]) == 1
        assert ((answer[name] >= 0) & (answer[name] <= 1)).all(), name


@pytest.mark.parametrize(
    "sound", [np.zeros(RATE), np.sign(np.sin(np.arange(RATE) / 10))], ids=["silence", "full-scale square wave"]
)
def test_silence_and_full_scale_have_answers(client, sound):
    waveform = {"waveform": sound[None].astype(np.float32)}
    for ensemble, outputs in (("sounds", ("probabilities",)), ("speech_emotions", EMOTIONS)):
        answer = client.ask(ensemble, waveform, outputs, 120).result()
        for name in outputs:
            assert ((answer[name] >= 0) & (answer[name] <= 1)).all(), name
