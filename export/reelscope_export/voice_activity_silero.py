"""Silero VAD: does somebody speak? A probability for every 32 ms of a waveform.

A short-time Fourier transform, convolutions and an LSTM, as the package silero-vad brings them: its variant for whole
sequences, which gives in one call what the streaming network gives chunk by chunk. Oracle: that streaming network,
`silero_vad.load_silero_vad(onnx=True)`, asked chunk by chunk.

Input   waveform              float32 [1,n], 16 kHz mono, full scale +-1; n is any number, also 0.
Output  speech_probabilities  float32 [1,ceil(n / 512)], 0-1; chunk k is the samples from 512 k on. The last chunk is
                              completed with silence.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper, parser

from reelscope_export import foreign_onnx, spoken
from reelscope_export.contract import Contract
from reelscope_export.contract import Tensor as Spec
from reelscope_export.errors import WeightsUnreadable
from reelscope_export.graph import OPSET
from reelscope_export.verify import Array, Measure, Run

CHUNK_SAMPLES = 512
"""What the network judges at a time; 32 ms."""
CONTEXT_SAMPLES = 64
"""What it sees before each chunk: the end of the last one, silence before the first."""

CONTRACT = Contract(
    name="voice_activity_silero",
    comment=(
        "Silero VAD. waveform: one per request, 16 kHz mono, full scale +-1, any length. speech_probabilities: one",
        "for each 512 samples, the last one for what is left.",
    ),
    inputs=(Spec("waveform", "TYPE_FP32", (1, -1)),),
    outputs=(Spec("speech_probabilities", "TYPE_FP32", (1, -1)),),
    batched=False,
)

_HEADER = f'<ir_version: 10, opset_import: ["" : {OPSET}]>'

# Frames are context and chunk: the padded waveform cut at multiples of the chunk, and cut again one context later.
# At least one frame is judged, because an LSTM takes no empty sequence; `chunk_count` drops it again.
_BEFORE = f"""{_HEADER}
before (float[1, samples] waveform) => (float[frames, {CONTEXT_SAMPLES + CHUNK_SAMPLES}] framed, int64[1] chunk_count)
<int64[1] chunk = {{{CHUNK_SAMPLES}}}, int64[1] chunk_less_one = {{{CHUNK_SAMPLES - 1}}},
 int64[1] context = {{{CONTEXT_SAMPLES}}}, int64[1] begin = {{0}}, int64[1] one = {{1}},
 int64[2] rows = {{-1, {CHUNK_SAMPLES}}}, int64[1] columns = {{1}}>
{{
    only = Squeeze(waveform, begin)
    sample_count = Shape(only)
    rounded_up = Add(sample_count, chunk_less_one)
    chunk_count = Div(rounded_up, chunk)
    frame_count = Max(chunk_count, one)
    padded_count = Mul(frame_count, chunk)
    missing = Sub(padded_count, sample_count)
    pads = Concat<axis = 0>(context, missing)
    padded = Pad(only, pads)
    last = Add(padded_count, context)
    current = Slice(padded, context, last)
    earlier = Slice(padded, begin, padded_count)
    chunks = Reshape(current, rows)
    shifted = Reshape(earlier, rows)
    contexts = Slice(shifted, begin, context, columns)
    framed = Concat<axis = 1>(contexts, chunks)
}}
"""

_AFTER = f"""{_HEADER}
after (float[frames] judged, int64[1] chunk_count) => (float[1, chunks] speech_probabilities)
<int64[1] begin = {{0}}>
{{
    cut = Slice(judged, begin, chunk_count)
    speech_probabilities = Unsqueeze(cut, begin)
}}
"""


def build(weights: Path, precision: str) -> onnx.ModelProto:
    """Build the ONNX graph, without provenance.

    Raises:
        WeightsUnreadable: the file is not Silero's network for sequences.
    """
    network = foreign_onnx.read(weights)
    names = [value.name for value in (*network.graph.input, *network.graph.output)]
    if names != ["input", "h", "c", "speech_probs", "hn", "cn"]:
        raise WeightsUnreadable(f"{weights}: inputs and outputs are {', '.join(names)}; not Silero's for sequences")
    # Every waveform begins with an LSTM at rest, and nobody asks for the state that it ends with.
    for state in network.graph.input[1:]:
        shape = [dim.dim_value for dim in state.type.tensor_type.shape.dim]
        network.graph.initializer.append(numpy_helper.from_array(np.zeros(shape, np.float32), state.name))
    del network.graph.input[1:], network.graph.output[1:]
    answers = {network.graph.output[0].name: "judged"}
    return foreign_onnx.surround(parser.parse_model(_BEFORE), network, parser.parse_model(_AFTER), answers=answers)


def labels(weights: Path) -> tuple[str, ...]:
    """It knows no classes."""
    return ()


def oracle() -> Any:
    """Probabilities of a waveform, chunk by chunk, by the library's streaming network."""
    import torch

    threads = torch.get_num_threads()
    from silero_vad import load_silero_vad

    torch.set_num_threads(threads)  # importing the library sets it to 1, for everybody
    model = load_silero_vad(onnx=True)

    def judge(waveform: Array) -> Array:
        model.reset_states()
        padded = np.pad(waveform, (0, -len(waveform) % CHUNK_SAMPLES))
        chunks = torch.from_numpy(padded).reshape(-1, CHUNK_SAMPLES)
        return np.array([float(model(chunk, spoken.SAMPLE_RATE_HZ)) for chunk in chunks], np.float32)

    return judge


def verify(run: Run, weights: Path, *, variant: str, precision: str, trained: bool) -> tuple[Measure, ...]:
    """Compare with the streaming network on speech, silence, noise, and waveforms shorter than a chunk."""
    judge = oracle()
    speech = spoken.say("Nobody told me that this would be so easy. Try it today!")
    noise = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    waveforms = (speech, np.zeros(16000, np.float32), noise, speech[8000:8300], speech[8000:8512], speech[:0])
    worst = 0.0
    for waveform in waveforms:
        found, expected = run(waveform[None])["speech_probabilities"][0], judge(waveform)
        worst = max(worst, float(np.abs(found - expected).max(initial=0)) if found.shape == expected.shape else 1.0)
    said = run(speech[None])["speech_probabilities"]
    return (
        Measure("probability difference", worst, 1e-4),
        Measure("chunks that hold speech", float((said > 0.5).mean()), 0.5, at_least=True),
    )
