"""Half a minute of speech: the ensemble `speech` against openai-whisper, for the same answer.

Both get the same waveform and answer its language, its text and the times of its words. They have the weights of the
served graphs, FP32 and two threads, decode greedily, 40 tokens a pass, in as many passes as the window takes to be
heard to its end. Everything counts: ours from the request to the answer, speech detection and the way there included;
theirs is `whisper.transcribe` with word times. Somebody speaks all the time, so that speech detection cuts nothing out.

They take turns, and the fastest turn of each counts: torch's threads wait for each other at every step, so that beside
other work the library takes many times as long, which says nothing of it. So the benchmark does not begin on a machine
that is busy. Exits with 1 then, and when ours is less than twice as fast, or says other words, or at other times.

Beside it four such clips at once, which the server decodes together, against four times the library's time; and the
parts of one pass: spectrogram and encoder; forty tokens; and both with CTranslate2, the engine
of faster-whisper.

    python -m benchmarks.speech            two minutes on 2 cores
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import onnxruntime
import torch
import tritonclient.grpc as triton
import whisper
from ctranslate2.converters.transformers import WhisperLoader
from faster_whisper.feature_extractor import FeatureExtractor
from rich.console import Console
from rich.table import Table
from transformers import WhisperConfig, WhisperForConditionalGeneration

from benchmarks import interleaved, record, summary
from benchmarks.asking import Asking
from reelscope import settings
from reelscope.embedded import EmbeddedServer
from reelscope.inference import InferenceClient, RepositoryClient
from reelscope_export import fingerprint, paths, spoken, weights, whisper_network, whisper_random, whisper_rules

NETWORKS = ("speech_whisper_encoder", "speech_whisper_decoder")
TOKENS, THREADS = 40, 2
REPEATS = 7
MIN_RATIO = 2.0
MAX_TIME_ERROR_SECONDS = 0.02
MAX_LOAD = 0.7
"""Processes that wanted to run in the last minute, on average."""
SENTENCE = "look at this cat it sits on the warm roof all day long and waits for the rain to stop "
"""Without a mark at which the voice would pause."""
SERVED = ("voice_activity_silero", *NETWORKS, "speech_whisper")
FORCED = {"temperatures": "0", "max_tokens": str(TOKENS), "max_passes": "100"}
"""Parameters of speech_whisper, for networks with random weights as well."""
CLIPS = 4
OURS, THEIRS, OURS_AT_ONCE = "ensemble speech", "openai-whisper transcribe", f"ensemble speech, {CLIPS} clips at once"

Decode = Callable[[], list[int]]
Words = list[tuple[str, float, float]]
Transcribe = Callable[[], Words]

_NAMES = (
    (".blocks.", ".layers."),
    (".attn.", ".self_attn."),
    (".attn_ln.", ".self_attn_layer_norm."),
    (".cross_attn.", ".encoder_attn."),
    (".cross_attn_ln.", ".encoder_attn_layer_norm."),
    (".query.", ".q_proj."),
    (".key.", ".k_proj."),
    (".value.", ".v_proj."),
    (".out.", ".out_proj."),
    (".mlp.0.", ".fc1."),
    (".mlp.2.", ".fc2."),
    (".mlp_ln.", ".final_layer_norm."),
    ("encoder.ln_post.", "encoder.layer_norm."),
    ("decoder.ln.", "decoder.layer_norm."),
    (".positional_embedding", ".embed_positions.weight"),
    (".token_embedding.", ".embed_tokens."),
)
"""Parts of names: openai-whisper's to those of transformers."""


def served_weights(graph: Path, folder: Path) -> Path:
    """The checkpoint that a placed graph was built from; random ones are drawn again.

    Raises:
        SystemExit: there is no such graph, or its weights are not to be had.
    """
    recorded = fingerprint.recorded_weights(graph, fingerprint.read_metadata(graph))
    if recorded is None:
        raise SystemExit(f"{graph} is not built: reelscope-export --all")
    file = paths.weights_folder() / weights.read_manifest()[NETWORKS[0]]["tiny"].file
    if not recorded.trained:
        file = folder / "tiny.pt"
        whisper_random.write("tiny", file)
    if weights.file_sha256(file) != recorded.sha256:
        raise SystemExit(f"{graph} was built from other weights than {file}: reelscope-export {NETWORKS[0]}")
    return file


def opened(graph: Path) -> Callable[..., dict[str, np.ndarray]]:
    """A graph as the embedded server opens it: idle threads do not spin."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    inputs = [node.name for node in session.get_inputs()]
    outputs = [node.name for node in session.get_outputs()]

    def run(*arrays: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(outputs, session.run(outputs, dict(zip(inputs, arrays, strict=True))), strict=True))

    return run


def our_parts(repository: Path, waveform: np.ndarray, prompt: list[int], steps_per_call: int) -> tuple[Any, Decode]:
    """The two graphs, asked as the decoding loop asks them: encoder, and forty tokens of what it heard."""
    encode, decode = (opened(repository / network / "1" / "cpu.onnx") for network in NETWORKS)
    count, seek = np.full((1, 1), len(waveform), np.int32), np.zeros((1, 1), np.int32)

    def encoder() -> np.ndarray:
        return encode(waveform[None], count, seek)["cross"]

    cross = encoder()

    def decoder() -> list[int]:
        tokens, history = np.array([prompt], np.int32), np.full((1, 3), whisper_rules.NONE, np.int32)
        cache = np.zeros((1, cross.shape[1], 0, cross.shape[2]), np.float32)
        said: list[int] = []
        while len(said) < TOKENS:
            uniforms = np.zeros((1, min(steps_per_call, TOKENS - len(said))), np.float32)
            found = decode(tokens, history, cache, cross, np.zeros(1, np.float32), uniforms)
            said += found["sampled"][0].tolist()
            tokens, history, cache = found["sampled"][:, -1:], found["next_history"], found["next_cache"]
        return said

    return encoder, decoder


def their_parts(model: Any, waveform: np.ndarray) -> tuple[Any, Decode]:
    """The same by openai-whisper: `log_mel_spectrogram` and its encoder, and `whisper.decode` of what it heard."""
    options = whisper.DecodingOptions(language="en", fp16=False, sample_len=TOKENS)

    def encoder() -> Any:
        with torch.no_grad():
            return model.encoder(whisper.log_mel_spectrogram(waveform, model.dims.n_mels)[None])

    heard = encoder()[0]
    return encoder, lambda: list(whisper.decode(model, heard, options).tokens)


def theirs(model: Any, waveform: np.ndarray) -> Transcribe:
    """`whisper.transcribe`: language, text and word times."""

    def run() -> Words:
        found = model.transcribe(
            waveform,
            language=None,
            temperature=0.0,
            condition_on_previous_text=False,
            word_timestamps=True,
            fp16=False,
            sample_len=TOKENS,
        )
        words = [word for segment in found["segments"] for word in segment["words"]]
        return [(word["word"].strip(), word["start"], word["end"]) for word in words if word["word"].strip()]

    return run


def faster(model: Any, tokenizer: Any, waveform: np.ndarray, folder: Path) -> Decode:
    """CTranslate2 with faster-whisper's spectrogram, over the same weights and with the same rules."""
    convert(model, tokenizer, folder)
    network = ctranslate2.models.Whisper(str(folder), device="cpu", compute_type="float32", intra_threads=THREADS)
    spectrogram = FeatureExtractor(feature_size=model.dims.n_mels)
    prompt = list(tokenizer.sot_sequence)

    def run() -> list[int]:
        features = np.ascontiguousarray(spectrogram(waveform)[None, :, : whisper_network.WINDOW_FRAMES], np.float32)
        heard = network.encode(ctranslate2.StorageView.from_array(features))
        found = network.generate(heard, [prompt], beam_size=1, max_length=len(prompt) + TOKENS)
        return list(found[0].sequences_ids[0])

    return run


def convert(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write openai-whisper's network as CTranslate2 reads it, by way of transformers."""
    dims = model.dims
    network = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=dims.n_vocab,
            num_mel_bins=dims.n_mels,
            d_model=dims.n_audio_state,
            encoder_layers=dims.n_audio_layer,
            encoder_attention_heads=dims.n_audio_head,
            decoder_layers=dims.n_text_layer,
            decoder_attention_heads=dims.n_text_head,
            encoder_ffn_dim=4 * dims.n_audio_state,
            decoder_ffn_dim=4 * dims.n_text_state,
            max_source_positions=dims.n_audio_ctx,
            max_target_positions=dims.n_text_ctx,
        )
    )
    state = {}
    for name, weight in model.state_dict().items():
        for theirs, ours_ in _NAMES:
            name = name.replace(theirs, ours_)
        state[f"model.{name}"] = weight
    network.load_state_dict({**state, "proj_out.weight": state["model.decoder.embed_tokens.weight"]})
    specification = WhisperLoader().get_model_spec(network)
    special = {token: name for name, token in tokenizer.special_tokens.items()}
    specification.register_vocabulary([special.get(token, f"text {token}") for token in range(dims.n_vocab)])
    specification.config.suppress_ids = whisper_rules.suppressed(tokenizer)
    specification.config.suppress_ids_begin = [*tokenizer.encode(" "), tokenizer.eot]
    specification.config.lang_ids = sorted(tokenizer.all_language_tokens)
    specification.config.alignment_heads = model.alignment_heads.indices().T.tolist()
    folder.mkdir()
    specification.validate()
    specification.optimize(quantization="float32")
    specification.save(str(folder))


def force(url: str) -> int:
    """Have the server decode as `FORCED` says; returns the tokens that it asks for at a time."""
    with RepositoryClient(url) as control:
        config = control.model_config("speech_whisper")
    parameters = config["parameters"]
    for name, value in FORCED.items():
        parameters[name]["string_value"] = parameters[f"untrained_{name}"]["string_value"] = value
    with triton.InferenceServerClient(url) as client:
        client.load_model("speech_whisper", config=json.dumps(config))
    return int(parameters["steps_per_call"]["string_value"])


def ours(client: InferenceClient, waveform: np.ndarray, clip_count: int = 1) -> Transcribe:
    """The ensemble `speech`, asked about so many clips at once; words of the last."""
    inputs = {"waveform": waveform[None], "language": np.array([[b""]], object)}
    asking = Asking(client, "speech", ("word_texts", "word_times_seconds", "detected_language"))

    def run() -> Words:
        pending = [asking.submit(inputs) for _ in range(clip_count)]
        answer = [each.result() for each in pending][-1]
        texts, times = answer["word_texts"][0], answer["word_times_seconds"][0]
        return [(text.decode(), *span) for text, span in zip(texts, times, strict=True)]

    return run


def are_equal(found: Words, expected: Words) -> bool:
    """Whether the same words are said at the same times."""
    if [word[0] for word in found] != [word[0] for word in expected]:
        return False
    return np.allclose(
        [word[1:] for word in found], [word[1:] for word in expected], rtol=0, atol=MAX_TIME_ERROR_SECONDS
    )


def half_a_minute() -> np.ndarray:
    """A window of Whisper's full of speech, float32 [480000]."""
    return spoken.say(SENTENCE * 8)[: whisper_network.WINDOW_SAMPLES]


def quick_ratio(repeats: int) -> float:
    """How many times as fast the ensemble is as `whisper.transcribe`: the figure of this benchmark, alone."""
    torch.set_num_threads(THREADS)
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedServer(settings.profile("cpu"), models=SERVED) as server,
        InferenceClient(server.grpc_url) as client,
    ):
        force(server.grpc_url)
        file = served_weights(settings.model_repository() / NETWORKS[1] / "1" / "cpu.onnx", Path(folder))
        calls = {OURS: ours(client, half_a_minute()), THEIRS: theirs(whisper_network.load(file), half_a_minute())}
        times = interleaved(calls, repeats)
    return min(times[THEIRS]) / min(times[OURS])


def main() -> int:
    """Measure in turns, print, write down."""
    if (load := os.getloadavg()[0]) > MAX_LOAD:
        raise SystemExit(f"the machine is busy (load {load:.1f}; at most {MAX_LOAD:g}): nothing was measured")
    torch.set_num_threads(THREADS)
    repository = settings.model_repository()
    sound = half_a_minute()
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedServer(settings.profile("cpu"), models=SERVED) as server,
        InferenceClient(server.grpc_url) as client,
    ):
        steps_per_call = force(server.grpc_url)
        file = served_weights(repository / NETWORKS[1] / "1" / "cpu.onnx", Path(folder))
        model = whisper_network.load(file)
        tokenizer = whisper_network.tokenizer(model)
        whole = {
            OURS: ours(client, sound),
            THEIRS: theirs(model, sound),
            OURS_AT_ONCE: ours(client, sound, CLIPS),
        }
        words = {name: call() for name, call in whole.items()}
        our_encoder, our_decoder = our_parts(repository, sound, list(tokenizer.sot_sequence), steps_per_call)
        their_encoder, their_decoder = their_parts(model, sound)
        tokens = {
            "ours, 40 tokens": our_decoder,
            "openai-whisper, 40 tokens": their_decoder,
            "CTranslate2, encoder and 40 tokens": faster(model, tokenizer, sound, Path(folder) / "converted"),
        }
        said = {name: call() for name, call in tokens.items()}
        encoders = {"ours, encoder": our_encoder, "openai-whisper, encoder": their_encoder}
        times = interleaved({**whole, **encoders, **tokens}, REPEATS)
    figures = {name: summary(each) for name, each in times.items()}
    ratio = figures[THEIRS]["min_ms"] / figures[OURS]["min_ms"]
    ratio_at_once = CLIPS * figures[THEIRS]["min_ms"] / figures[OURS_AT_ONCE]["min_ms"]
    same = {
        name: sum(a == b for a, b in zip(said["ours, 40 tokens"], each, strict=False)) for name, each in said.items()
    }
    table = Table("", "p50 ms", "min", "max", "tokens as ours", title=f"30 s of speech, {file.stem}")
    for name, figure in figures.items():
        row = (f"{figure[key]:.0f}" for key in ("p50_ms", "min_ms", "max_ms"))
        table.add_row(name, *row, f"{same[name]} of {len(said[name])}" if name in same else "")
    is_equal = all(are_equal(words[name], words[THEIRS]) for name in (OURS, OURS_AT_ONCE))
    console = Console()
    console.print(table)
    console.print(f"{len(words[OURS])} words, {'the same' if is_equal else 'not the same'} at the same times")
    console.print(f"ours is {ratio:.2f} times as fast as openai-whisper (at least {MIN_RATIO:g} wanted)")
    console.print(f"with {CLIPS} clips at once: {ratio_at_once:.2f} times")
    ratios = {"ratio": ratio, "ratio_at_once": ratio_at_once}
    written = record("speech", {"figures": figures, "same_tokens": same, "same_words": is_equal, **ratios})
    console.print(f"written to {written}", highlight=False)
    is_forced = same["openai-whisper, 40 tokens"] == len(said["openai-whisper, 40 tokens"]) == TOKENS
    return 0 if ratio >= MIN_RATIO and is_equal and is_forced else 1


if __name__ == "__main__":
    sys.exit(main())
