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
from reelscope.errors import InvalidRequest
from reelscope.inference import InferenceClient, PendingAnswer
from reelscope_export import paths, spoken, voice_activity_silero, weights, whisper_network, whisper_random
from settled import settled

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
    (clip,) = transcribed(loop, networks, [loop.transcript.Clip(windows, language, lambda: False)], tokens)
    return clip.utterances


def transcribed(loop: Any, networks: Any, clips: list[Any], tokens: int = TOKENS) -> list[Any]:
    chosen = loop.decoding.Settings((0.0,), max_tokens=tokens, max_passes=100, steps_per_call=8)
    loop.transcript.Transcriber(networks, loop.transcript.Vocabulary(), lambda: chosen, 4).transcribe(clips)
    assert not any(clip.error for clip in clips)
    return clips


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
    code = triton.InferInput("language", [1, 1], "BYTES")
    code.set_data_from_numpy(np.array([[language.encode()]], object))
    return [sent(waveform), code]


def sent(waveform: np.ndarray) -> triton.InferInput:
    sound = triton.InferInput("waveform", [1, len(waveform)], "FP32")
    sound.set_data_from_numpy(waveform[None])
    return sound


def ask(connection: triton.InferenceServerClient, waveform: np.ndarray, language: str = "") -> dict[str, np.ndarray]:
    return arrays(connection.infer("speech", request(waveform, language)))


def arrays(answer: triton.InferResult) -> dict[str, np.ndarray]:
    """Outputs of the one waveform of a request."""
    names = [output.name for output in answer.get_response().outputs]
    assert all(len(answer.as_numpy(name)) == 1 for name in names)
    return {name: answer.as_numpy(name)[0] for name in names if name != "voice_activity_silero_provenance"}


def heard(connection: triton.InferenceServerClient, waveform: np.ndarray) -> np.ndarray:
    """Probabilities of speech, as the ensemble's first step gives them to the second."""
    return connection.infer("speech_activity", [sent(waveform)]).as_numpy("speech_probabilities")[0]


@pytest.mark.slow
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
    window = loop.windows.Window(waveform, [(0, len(waveform))])
    (clip,) = transcribed(loop, networks, [loop.transcript.Clip([window], "", lambda: False)], tokens=8)
    assert clip.language == max(expected, key=expected.get)
    assert clip.language_probability == pytest.approx(expected[clip.language], abs=1e-4)


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


def executions(connection: triton.InferenceServerClient, model: str) -> tuple[int, int]:
    """Requests that a model has answered, and how often it was run for them."""

    def read() -> tuple[int, int]:
        (found,) = connection.get_inference_statistics(model).model_stats
        return found.inference_count, found.execution_count

    return settled(read)


def test_requests_that_wait_are_decoded_together(connection, server):
    """Of different lengths and languages; each is answered as alone, and an unknown language alone is refused."""
    asked = [(waveform, language) for waveform in sounds().values() for language in ("", "de")]
    alone = [ask(connection, *each) for each in asked]
    before = {model: executions(connection, model) for model in MODELS[1:]}
    outputs = ("word_texts", "word_times_seconds", "word_utterances", "utterance_texts", "detected_language")
    with InferenceClient(server.grpc_url) as client:

        def begin(waveform: np.ndarray, language: str) -> PendingAnswer:
            inputs = {"waveform": waveform[None], "language": np.array([[language.encode()]], object)}
            return client.ask("speech", inputs, outputs, 120)

        pending = [begin(*each) for each in asked]
        refused = begin(asked[0][0], "xx")
        for each, expected in zip(pending, alone, strict=True):
            found = {name: rows[0] for name, rows in each.result().items()}
            times = found.pop("word_times_seconds")
            for name, array in found.items():
                np.testing.assert_array_equal(array, expected[name], err_msg=name)
            np.testing.assert_allclose(times, expected["word_times_seconds"], atol=MAX_TIME_ERROR_SECONDS)
        with pytest.raises(InvalidRequest, match="language 'xx'"):
            refused.result()
    more = {model: np.subtract(executions(connection, model), before[model]) for model in MODELS[1:]}
    answered, runs = more["speech_whisper"]
    assert answered == len(asked) + 1
    assert runs < answered, "requests are executed together"
    # One pass each: alone, every one of them would have been encoded by itself.
    assert more["speech_whisper_encoder"][1] < len(asked)


def test_a_request_has_one_waveform(connection):
    two = triton.InferInput("waveform", [2, 16_000], "FP32")
    two.set_data_from_numpy(np.zeros((2, 16_000), np.float32))
    with pytest.raises(InferenceServerException, match="waveform"):
        connection.infer("speech_activity", [two])


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
