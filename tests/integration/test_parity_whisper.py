"""Spoken words against `whisper.transcribe` on the same random weights: equal tokens, scores and word times.

The loop is asked with more tokens and passes than untrained networks get in service, in-process; what Triton serves is
held to one pass of 48 tokens, as its config says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

import whisper_loop
from reelscope import settings
from reelscope.embedded import EmbeddedServer
from reelscope_export import paths, spoken, voice_activity_silero, weights, whisper_network, whisper_random

MODELS = ("voice_activity_silero", "speech_whisper_encoder", "speech_whisper_decoder", "speech_whisper")
MAX_TIME_ERROR_SECONDS = 0.02
MAX_SCORE_ERROR = 1e-3
TOKENS = 60

Words = list[tuple[str, float, float]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """openai-whisper with the weights that the repository was built from."""
    file = tmp_path_factory.mktemp("weights") / "tiny.pt"
    whisper_random.write("tiny", file)
    return whisper_network.load(file)


@pytest.fixture(scope="module")
def loop() -> Iterator[SimpleNamespace]:
    with whisper_loop.modules() as found:
        yield found


@pytest.fixture(scope="module")
def networks(built_repository: Path) -> whisper_loop.Networks:
    return whisper_loop.Networks(built_repository)


@pytest.fixture(scope="module")
def server(environment: None) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(settings.profile("cpu"), models=list(MODELS)) as running:
        assert not running.failed
        yield running


@pytest.fixture(scope="module")
def connection(server: EmbeddedServer) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(server.grpc_url) as client:
        yield client


def sounds() -> dict[str, np.ndarray]:
    """Short and longer, two languages: random weights make many passes, each of which costs the library seconds."""
    return {
        "two sentences": spoken.say("Look at this cat. Coffee makes the mornings better, and nobody told me."),
        "German": spoken.say("Guten Morgen, das ist ein kurzer Satz.", "de"),
        "several passes": spoken.say("The quick brown fox jumps over the lazy dog. " * 4),
    }


def transcribe(loop: Any, networks: Any, windows: list[Any], language: str = "en", tokens: int = TOKENS) -> Any:
    chosen = loop.decoding.Settings((0.0,), max_tokens=tokens, max_passes=100, steps_per_call=8)
    transcriber = loop.transcript.Transcriber(networks, loop.transcript.Vocabulary(), lambda: chosen, language)
    return transcriber.transcribe(windows)


def upstream(model: Any, waveform: np.ndarray, language: str = "en", tokens: int = TOKENS) -> list[dict[str, Any]]:
    """Segments in which something is said."""
    found = model.transcribe(
        waveform,
        language=language,
        temperature=0.0,
        condition_on_previous_text=False,
        word_timestamps=True,
        fp16=False,
        sample_len=tokens,
    )
    return [segment for segment in found["segments"] if segment["text"]]


def words_of(segments: list[dict[str, Any]]) -> Words:
    words = [word for segment in segments for word in segment["words"]]
    return [(word["word"].strip(), word["start"], word["end"]) for word in words if word["word"].strip()]


def assert_same_words(found: Words, expected: Words) -> None:
    assert [word[0] for word in found] == [word[0] for word in expected]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours[1:], theirs[1:], atol=MAX_TIME_ERROR_SECONDS, err_msg=ours[0])


def said(utterances: list[Any]) -> Words:
    return [(text, *times) for utterance in utterances for text, times, _ in utterance.words]


def test_equals_transcribe(loop, networks, model):
    """Several passes over a window, too; and windows together answer what each answers alone."""
    windows = [loop.windows.Window(waveform, [(0, len(waveform))]) for waveform in sounds().values()]
    token_count, everything = 0, []
    for name, window in zip(sounds(), windows, strict=True):
        found, expected = transcribe(loop, networks, [window]), upstream(model, window.samples)
        assert [each.text for each in found] == [each["text"].strip() for each in expected], name
        assert_same_words(said(found), words_of(expected))
        for ours, theirs in zip(found, expected, strict=True):
            scores = (
                ours.result.mean_log_probability,
                ours.result.no_speech_probability,
                ours.result.compression_ratio,
            )
            wanted = [theirs[key] for key in ("avg_logprob", "no_speech_prob", "compression_ratio")]
            np.testing.assert_allclose(scores, wanted, atol=MAX_SCORE_ERROR)
        token_count += sum(len(segment["tokens"]) for segment in expected)
        everything += found
    assert token_count >= 40
    together = transcribe(loop, networks, windows)
    assert [each.text for each in together] == [each.text for each in everything]
    assert_same_words(said(together), said(everything))


def request(waveform: np.ndarray, language: str) -> list[triton.InferInput]:
    sound, code = triton.InferInput("waveform", [len(waveform)], "FP32"), triton.InferInput("language", [1], "BYTES")
    sound.set_data_from_numpy(waveform)
    code.set_data_from_numpy(np.array([language.encode()], object))
    return [sound, code]


def ask(connection: triton.InferenceServerClient, waveform: np.ndarray, language: str = "") -> dict[str, np.ndarray]:
    answer = connection.infer("speech", request(waveform, language))
    return {output.name: answer.as_numpy(output.name) for output in answer.get_response().outputs}


def heard(connection: triton.InferenceServerClient, waveform: np.ndarray) -> np.ndarray:
    """Probabilities of speech, as the ensemble's first step gives them to the second."""
    sound = triton.InferInput("waveform", [len(waveform)], "FP32")
    sound.set_data_from_numpy(waveform)
    return connection.infer("speech_activity", [sound]).as_numpy("speech_probabilities")


def test_triton_answers_the_first_pass_of_every_window(connection, loop, model):
    """More than 30 s, cut in silence: every window as `whisper.transcribe` hears it, at its place in the waveform."""
    pause = np.zeros(24_000, np.float32)
    sentence = spoken.say("Look at this cat. Coffee makes the mornings better, and nobody told me.")
    waveform = np.concatenate([pause, *[part for _ in range(8) for part in (sentence, pause)]])
    answer = ask(connection, waveform, "en")
    probabilities = heard(connection, waveform)
    windows = loop.windows.windows(waveform, probabilities)
    assert len(windows) == 2
    assert len(waveform) > 45 * 16_000
    expected: Words = []
    for window in windows:
        first = [segment for segment in upstream(model, window.samples, tokens=48) if segment["seek"] == 0]
        expected += [(text, *window.moved(start, end)) for text, start, end in words_of(first)]
    texts = [text.decode() for text in answer["word_texts"]]
    assert_same_words(list(zip(texts, *answer["word_times_seconds"].T, strict=True)), expected)
    times = answer["word_times_seconds"]
    spans = np.array(loop.windows.spans(probabilities, len(waveform))) / 16_000
    inside = (times[:, :1] >= spans[:, 0] - 0.2001) & (times[:, 1:] <= spans[:, 1] + 0.2001)
    assert inside.any(axis=1).all(), "no word lies where nobody speaks"
    assert answer["detected_language"].tolist() == [b"en"]
    assert len(answer["utterance_texts"]) == len(answer["utterance_scores"]) == answer["word_utterances"].max() + 1


def test_language_is_detected_as_the_library_detects_it(loop, networks, model):
    """From the spectrogram that is decoded: the library pads with silence to detect, and with zero to decode."""
    import torch
    from whisper.audio import log_mel_spectrogram, pad_or_trim

    waveform = sounds()["German"]
    mel = log_mel_spectrogram(waveform, padding=480_000)[:, : len(waveform) // 160]
    with torch.no_grad():
        _, expected = model.detect_language(pad_or_trim(mel, 3000))
    chosen = loop.decoding.Settings((0.0,), 8, 1, 8)
    transcriber = loop.transcript.Transcriber(networks, loop.transcript.Vocabulary(), lambda: chosen, "")
    transcriber.transcribe([loop.windows.Window(waveform, [(0, len(waveform))])])
    assert transcriber.language == max(expected, key=expected.get)
    assert transcriber.language_probability == pytest.approx(expected[transcriber.language], abs=1e-4)


@pytest.mark.parametrize("seconds", [0, 0.01, 1, 40])
def test_where_nobody_speaks_nothing_is_decoded(connection, seconds):
    noise = np.random.default_rng(1).normal(0, 0.02, int(seconds * 16_000)).astype(np.float32)
    for waveform in (noise, 0 * noise):
        answer = ask(connection, waveform)
        assert answer["word_texts"].shape == answer["utterance_texts"].shape == (0,)
        assert answer["word_times_seconds"].shape == answer["utterance_times_seconds"].shape == (0, 2)
        assert answer["utterance_scores"].shape == (0, 4)
        assert answer["detected_language"].tolist() == [b""]
        models = {json.loads(text)["model"] for text in answer["speech_whisper_provenance"]}
        assert models == {"speech_whisper_encoder", "speech_whisper_decoder"}


def test_vad_is_silero(connection):
    waveform = sounds()["two sentences"]
    np.testing.assert_allclose(heard(connection, waveform), voice_activity_silero.oracle()(waveform), atol=1e-4)


@pytest.mark.parametrize("name", ["word_texts", "detected_language", "speech_whisper_provenance"])
def test_every_output_can_be_asked_for_alone(connection, name):
    wanted = [triton.InferRequestedOutput(name)]
    answer = connection.infer("speech", request(sounds()["German"], "de"), outputs=wanted).get_response()
    assert [output.name for output in answer.outputs] == [name]


def test_unknown_languages_are_refused(connection):
    with pytest.raises(InferenceServerException, match="language 'xx'"):
        ask(connection, sounds()["German"], "xx")


def test_without_a_network_the_answer_says_so(environment):
    """Before it was ever asked: also where nobody speaks, because nothing is known of what would answer."""
    waveform = sounds()["German"]
    models = [model for model in MODELS if model != "speech_whisper_decoder"]
    with (
        EmbeddedServer(settings.profile("cpu"), models=models) as running,
        triton.InferenceServerClient(running.grpc_url) as client,
    ):
        for sound in (waveform, 0 * waveform):
            with pytest.raises(InferenceServerException, match="speech_whisper_decoder") as caught:
                ask(client, sound, "en")
            assert caught.value.status() == "StatusCode.UNAVAILABLE"


def test_a_request_that_was_given_up_ends_early(connection, server):
    """Whoever waits for nobody stops between two calls of a network: the next request is not kept waiting."""
    waveform = np.tile(sounds()["two sentences"], 11)
    with pytest.raises(InferenceServerException, match="Deadline Exceeded"):
        connection.infer("speech", request(waveform, "en"), client_timeout=0.5)
    assert len(ask(connection, sounds()["German"], "en")["detected_language"]) == 1


def test_encoder_and_decoder_have_the_same_weights(built_repository):
    from reelscope_export import fingerprint

    files = [built_repository / model / "1" / "cpu.onnx" for model in MODELS[1:3]]
    hashes = {json.loads(fingerprint.read_metadata(file)[fingerprint.PROVENANCE_KEY])["sha256"] for file in files}
    assert len(hashes) == 1
    manifest = weights.read_manifest()
    for profile in paths.read_profiles().values():
        variants = {profile["models"][model]["variant"] for model in MODELS[1:3]}
        assert len(variants) == 1
        (variant,) = variants
        encoder, decoder = (manifest[model][variant] for model in MODELS[1:3])
        assert encoder == decoder
