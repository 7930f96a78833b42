"""Forty tokens of Whisper: our graphs against openai-whisper and against CTranslate2, the engine of faster-whisper.

One window of 30 s, from the waveform to the tokens: spectrogram, encoder and forty greedy steps with Whisper's rules.
All have the weights of the served graphs, FP32 and two threads, and take turns. Ours run in onnxruntime as the server
runs them; what the whole ensemble `speech` takes behind Triton is measured beside them (speech detection, word times
and the way there included). Exits with 1 when ours are less than twice as fast as openai-whisper, or say other tokens.

    python -m benchmarks.speech            a minute on 2 cores
"""

from __future__ import annotations

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
from reelscope import settings
from reelscope.embedded import EmbeddedServer
from reelscope_export import fingerprint, paths, spoken, weights, whisper_network, whisper_random, whisper_rules

NETWORKS = ("speech_whisper_encoder", "speech_whisper_decoder")
TOKENS, STEPS_PER_CALL, THREADS = 40, 8, 2
REPEATS = 7
MIN_RATIO = 2.0

Transcribe = Callable[[], list[int]]

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


def ours(repository: Path, waveform: np.ndarray, prompt: list[int]) -> Transcribe:
    """The two graphs, asked as the decoding loop asks them."""
    encode, decode = (opened(repository / network / "1" / "cpu.onnx") for network in NETWORKS)
    count, seek = np.full((1, 1), len(waveform), np.int32), np.zeros((1, 1), np.int32)
    temperature, uniforms = np.zeros(1, np.float32), np.zeros((1, STEPS_PER_CALL), np.float32)

    def run() -> list[int]:
        cross = encode(waveform[None], count, seek)["cross"]
        tokens, history = np.array([prompt], np.int32), np.full((1, 3), whisper_rules.NONE, np.int32)
        cache = np.zeros((1, cross.shape[1], 0, cross.shape[3]), np.float32)
        said: list[int] = []
        while len(said) < TOKENS:
            found = decode(tokens, history, cache, cross, temperature, uniforms)
            said += found["sampled"][0].tolist()
            tokens, history, cache = found["sampled"][:, -1:], found["next_history"], found["next_cache"]
        return said

    return run


def openai(model: Any, waveform: np.ndarray) -> Transcribe:
    """`whisper.decode`, as `whisper.transcribe` calls it for a window."""
    options = whisper.DecodingOptions(language="en", fp16=False, sample_len=TOKENS)

    def run() -> list[int]:
        mel = whisper.log_mel_spectrogram(waveform, model.dims.n_mels)
        return list(whisper.decode(model, mel, options).tokens)

    return run


def faster(model: Any, tokenizer: Any, waveform: np.ndarray, folder: Path) -> Transcribe:
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


def through_triton(server: EmbeddedServer, waveform: np.ndarray) -> Callable[[], object]:
    """The ensemble `speech`."""
    client = triton.InferenceServerClient(server.grpc_url)
    sound, language = (
        triton.InferInput("waveform", [len(waveform)], "FP32"),
        triton.InferInput("language", [1], "BYTES"),
    )
    sound.set_data_from_numpy(waveform)
    language.set_data_from_numpy(np.array([b"en"], object))
    return lambda: client.infer("speech", [sound, language]).as_numpy("word_texts")


def main() -> int:
    """Measure in turns, print, write down."""
    torch.set_num_threads(THREADS)
    repository = settings.model_repository()
    sound = spoken.say("Look at this cat. Coffee makes the mornings better.")
    window = np.pad(sound, (0, whisper_network.WINDOW_SAMPLES - len(sound)))
    profile = settings.profile("cpu")
    with tempfile.TemporaryDirectory() as folder:
        file = served_weights(repository / NETWORKS[1] / "1" / "cpu.onnx", Path(folder))
        model = whisper_network.load(file)
        tokenizer = whisper_network.tokenizer(model)
        calls: dict[str, Transcribe] = {
            "ours": ours(repository, window, list(tokenizer.sot_sequence)),
            "openai-whisper": openai(model, window),
            "CTranslate2": faster(model, tokenizer, window, Path(folder) / "converted"),
        }
        said = {name: call() for name, call in calls.items()}
        times = interleaved(calls, REPEATS)
    with EmbeddedServer(profile, models=["voice_activity_silero", *NETWORKS, "speech_whisper"]) as server:
        times |= interleaved({"ensemble speech": through_triton(server, sound)}, REPEATS)
    figures = {name: summary(each) for name, each in times.items()}
    ratio = figures["openai-whisper"]["p50_ms"] / figures["ours"]["p50_ms"]
    same = {name: sum(a == b for a, b in zip(said["ours"], each, strict=False)) for name, each in said.items()}
    table = Table("", "p50 ms", "min", "max", "tokens as ours", title=f"a window of 30 s, {TOKENS} tokens, {file.stem}")
    for name, figure in figures.items():
        row = (f"{figure[key]:.0f}" for key in ("p50_ms", "min_ms", "max_ms"))
        table.add_row(name, *row, f"{same[name]} of {len(said[name])}" if name in same else "")
    console = Console()
    console.print(table)
    console.print(f"ours are {ratio:.1f} times faster than openai-whisper (at least {MIN_RATIO:g} wanted)")
    written = record("speech", {"figures": figures, "same_tokens": same, "ratio": ratio})
    console.print(f"written to {written}", highlight=False)
    return 0 if ratio >= MIN_RATIO and same["openai-whisper"] == len(said["openai-whisper"]) == TOKENS else 1


if __name__ == "__main__":
    sys.exit(main())
