"""Whisper's encoder: 30 s of sound to what the decoder attends to.

The log-mel spectrogram is part of the graph, and so are the decoder's keys and values over the encoder's output: they
are the same in every step. Oracle: `whisper.log_mel_spectrogram`, `Whisper.encoder` and the decoder's cross-attention,
as `whisper.transcribe` calls them: loudness is relative to the loudest frame of the whole window wherever in it the
decoding stands, and behind the window's end there is not silence but the spectrogram's zero.

Input   waveform       float32 [N,T], 16 kHz mono, full scale +-1; one window per row, T at most 480000 (30 s).
        sample_counts  int32 [N,1], samples that belong to the window; what follows is padding.
        seek_frames    int32 [N,1], 0-2999: where the decoding of the window stands, 10 ms each.
Output  cross          float32 [N,2L,d,1500], keys and values of the L layers of the decoder, in turn, 20 ms a position;
                       values without their bias, which the decoder adds. Positions come last, as the decoder
                       multiplies them: it need not turn tens of megabytes around.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from reelscope_export import chunks, graph, operators, spoken, whisper_network, whisper_random
from reelscope_export.contract import Contract
from reelscope_export.contract import Tensor as Spec
from reelscope_export.verify import Array, Measure, Run
from reelscope_export.whisper_network import AUDIO_POSITIONS, FRAME_SAMPLES, WINDOW_FRAMES, WINDOW_SAMPLES

CONTRACT = Contract(
    name="speech_whisper_encoder",
    comment=(
        "Whisper's encoder. waveform: windows of at most 30 s, 16 kHz mono, full scale +-1. sample_counts: of each",
        "window, without padding. seek_frames: where in the window the decoding stands, 10 ms each. cross: keys and",
        "values for speech_whisper_decoder.",
    ),
    inputs=(
        Spec("waveform", "TYPE_FP32", (-1,)),
        Spec("sample_counts", "TYPE_INT32", (1,)),
        Spec("seek_frames", "TYPE_INT32", (1,)),
    ),
    outputs=(Spec("cross", "TYPE_FP32", (-1, -1, AUDIO_POSITIONS)),),
)

_FFT_SAMPLES = 400
_FLOOR_POWER = 1e-10
_DYNAMIC_DECADES = 8.0


class LogMel(nn.Module):
    """The library's spectrogram of whole windows, as a convolution with the Fourier transform's sines and cosines."""

    basis: Tensor
    filters: Tensor

    def __init__(self, mel_count: int) -> None:
        """Compute the basis; the filters are the library's."""
        from whisper.audio import mel_filters

        super().__init__()
        samples = torch.arange(_FFT_SAMPLES, dtype=torch.float64)
        angles = torch.outer(torch.arange(_FFT_SAMPLES // 2 + 1, dtype=torch.float64), samples) * (
            2 * torch.pi / _FFT_SAMPLES
        )
        window = torch.hann_window(_FFT_SAMPLES, dtype=torch.float64)
        basis = torch.cat((angles.cos() * window, angles.sin() * window))
        self.register_buffer("basis", basis.float().unsqueeze(1))
        self.register_buffer("filters", mel_filters("cpu", mel_count).clone())

    def forward(self, waveform: Tensor) -> Tensor:
        """[N,480000] to [N,mels,3000]."""
        padded = functional.pad(waveform.unsqueeze(1), (_FFT_SAMPLES // 2, 0), mode="reflect")
        padded = functional.pad(padded, (0, _FFT_SAMPLES // 2))
        parts = functional.conv1d(padded, self.basis, stride=FRAME_SAMPLES).square()
        power = parts[:, : _FFT_SAMPLES // 2 + 1] + parts[:, _FFT_SAMPLES // 2 + 1 :]
        levels = (self.filters @ power).clamp(min=_FLOOR_POWER).log10()
        levels = torch.maximum(levels, levels.amax((1, 2), keepdim=True) - _DYNAMIC_DECADES)
        return (levels[:, :, :WINDOW_FRAMES] + 4) / 4


class FusedAttention(nn.Module):
    """Self-attention of the library's, as one operator."""

    def __init__(self, attention: Any) -> None:
        """Take the place of `attention`."""
        super().__init__()
        self.parts = attention

    def forward(self, x: Tensor, **_: None) -> tuple[Tensor, None]:
        """[N,1500,d] to [N,1500,d]; the library's also gives scores, which nobody reads here."""
        parts = self.parts
        heads = operators.attention(parts.query(x), parts.key(x), parts.value(x), parts.n_head)
        return parts.out(heads), None


class EncoderGraph(nn.Module):
    """Windows in, keys and values out."""

    weights: Tensor

    def __init__(self, model: Any, precision: str) -> None:
        """Wrap the network; `precision` (fp32, fp16) is its alone."""
        super().__init__()
        self.mel = LogMel(model.dims.n_mels)
        self.encoder = model.encoder
        if precision == "fp32":  # FP16 is for GPUs, on which the operator has not been tried
            for block in self.encoder.blocks:
                block.attn = FusedAttention(block.attn)
        self.dtype = whisper_network.set_precision(self.encoder, precision)
        attentions = [block.cross_attn for block in model.decoder.blocks]
        weights = torch.cat([part.weight for each in attentions for part in (each.key, each.value)])
        self.register_buffer("weights", weights.detach().to(self.dtype))
        self.parts, self.width = 2 * len(attentions), model.dims.n_text_state

    def features(self, waveform: Tensor, sample_counts: Tensor, seek_frames: Tensor) -> Tensor:
        """Spectrogram from `seek_frames` on, [N,mels,3000]; 0 behind the window's end."""
        padded = functional.pad(waveform, (0, WINDOW_SAMPLES))[:, :WINDOW_SAMPLES]
        mel = self.mel(torch.where(torch.arange(WINDOW_SAMPLES) < sample_counts, padded, 0.0))
        frames = torch.arange(WINDOW_FRAMES) + seek_frames.to(torch.int64)
        index = frames.clamp(max=WINDOW_FRAMES - 1).unsqueeze(1).expand(-1, mel.shape[1], -1)
        inside = frames < torch.div(sample_counts, FRAME_SAMPLES, rounding_mode="floor").clamp(max=WINDOW_FRAMES)
        return torch.where(inside.unsqueeze(1), mel.gather(2, index), 0.0)

    def forward(self, waveform: Tensor, sample_counts: Tensor, seek_frames: Tensor) -> Tensor:
        """Encode, and project for every layer of the decoder."""
        heard: Tensor = self.encoder(self.features(waveform, sample_counts, seek_frames).to(self.dtype))
        return (self.weights @ heard.transpose(1, 2)).reshape(-1, self.parts, self.width, AUDIO_POSITIONS).float()


def build(weights: Path, precision: str) -> onnx.ModelProto:
    """Build the ONNX graph, without provenance."""
    from whisper.model import disable_sdpa

    ones = torch.ones(2, 1, dtype=torch.int32)
    inputs = {
        "waveform": graph.Example(torch.zeros(2, 32_000), {0: "batch", 1: "samples"}),
        "sample_counts": graph.Example(ones * 32_000, {0: "batch"}),
        "seek_frames": graph.Example(ones, {0: "batch"}),
    }
    module = EncoderGraph(whisper_network.load(weights), precision)
    with disable_sdpa():  # softmax in FP32, and fewer operators
        traced = graph.to_onnx(module, inputs, output_names=("cross",), translations=operators.GELU)
    # One window fills any machine; several at once would only multiply what attention over 1500 positions holds.
    model = chunks.in_chunks(traced, 1, weights_inside=False)
    whisper_network.open_sizes(model, CONTRACT)
    return model


def labels(weights: Path) -> tuple[str, ...]:
    """It knows no classes."""
    return ()


write_random = whisper_random.write


def expected(model: Any, waveform: Array, seek_frames: int) -> Array:
    """What the library makes of a window from `seek_frames` on; [2L,d,1500]."""
    from whisper.audio import log_mel_spectrogram, pad_or_trim

    mel = log_mel_spectrogram(waveform, model.dims.n_mels, padding=WINDOW_SAMPLES)
    content = mel[:, seek_frames : len(waveform) // FRAME_SAMPLES]
    with torch.no_grad():
        return whisper_network.cross(model, model.encoder(pad_or_trim(content, WINDOW_FRAMES)[None])[0])


def verify(run: Run, weights: Path, *, variant: str, precision: str, trained: bool) -> tuple[Measure, ...]:
    """Compare with the library on speech and on noise, at the window's beginning and later; batch against singles."""
    model = whisper_network.load(weights)
    speech = spoken.say("Look at this cat. Coffee makes the mornings better, and nobody told me.")
    noise = np.random.default_rng(0).normal(0, 0.05, 30 * 16_000).astype(np.float32)
    cases = ((speech, 0), (speech, 133), (noise, 0), (noise[:8000], 0))
    waveforms = np.zeros((len(cases), WINDOW_SAMPLES), np.float32)
    for row, (waveform, _) in enumerate(cases):
        waveforms[row, : len(waveform)] = waveform
    counts = np.array([[len(waveform)] for waveform, _ in cases], np.int32)
    seeks = np.array([[seek] for _, seek in cases], np.int32)
    found = [
        run(waveforms[row : row + 1, : len(waveform)], counts[row : row + 1], seeks[row : row + 1])["cross"]
        for row, (waveform, _) in enumerate(cases)
    ]
    worst = max(
        _relative(each[0], expected(model, waveform, seek)) for each, (waveform, seek) in zip(found, cases, strict=True)
    )
    together = run(waveforms, counts, seeks)["cross"]
    bound = 1e-4 if precision == "fp32" else 5e-2
    return (
        Measure("difference to spread", worst, bound),
        Measure("batch to singles", _relative(together, np.concatenate(found)), bound),
    )


def _relative(found: Array, wanted: Array) -> float:
    """Largest difference over the standard deviation of what is wanted."""
    return float(np.abs(found - wanted).max() / wanted.std())
