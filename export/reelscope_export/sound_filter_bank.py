"""AST's filter bank: log energies in 128 bands of every 10 ms, as transformers' `ASTFeatureExtractor` computes them.

Frames of 25 ms lose their mean, are pre-emphasised, windowed and transformed: all linear, so one matrix does it. In
double precision, as the library: in single precision a quiet band beside a loud tone would be off by half a per mille.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reelscope_export.verify import Array

SAMPLE_RATE_HZ = 16_000
FRAME_SAMPLES = 400
HOP_SAMPLES = 160
FRAME_COUNT = 1024
"""What the network sees; fewer are completed with zeros (of the logarithm), more are cut off."""
HEARD_SAMPLES = FRAME_SAMPLES + (FRAME_COUNT - 1) * HOP_SAMPLES
"""Samples that the network sees, 10.255 s."""
BAND_COUNT = 128

_FOURIER_SAMPLES = 512
_BIN_COUNT = _FOURIER_SAMPLES // 2 + 1
_LOWEST_HZ = 20
_PRE_EMPHASIS = 0.97
_FLOOR = float(np.finfo(np.float32).eps)
# Kaldi's parameters, as ASTFeatureExtractor fixes them; the rest it reads from its configuration.

_EMPTY_BANDS = "At least one mel filter has all zero values"
"""Of 128 bands the lowest are narrower than what 512 samples tell apart; the network was trained on that."""


class FilterBank(nn.Module):
    """Waveforms in, features of AST out."""

    fourier: Tensor
    bands: Tensor
    frame_ends: Tensor

    def __init__(self, extractor: Any) -> None:
        """Take mean and deviation from an ASTFeatureExtractor."""
        super().__init__()
        self.mean, self.deviation = float(extractor.mean), float(extractor.std * 2)
        self.register_buffer("fourier", torch.from_numpy(_fourier_matrix()))
        self.register_buffer("bands", torch.from_numpy(_band_matrix()))
        ends = torch.arange(FRAME_COUNT) * HOP_SAMPLES + FRAME_SAMPLES
        ends[0] = 0  # the first frame is there, however short the waveform
        self.register_buffer("frame_ends", ends[:, None])

    def forward(self, waveform: Tensor) -> Tensor:
        """Features float32 [N,1024,128] of a waveform float32 [N,n]; below 400 samples, silence completes it."""
        silence = waveform.new_zeros(waveform.shape[0], (FRAME_COUNT + 2) * HOP_SAMPLES)
        heard = torch.cat((waveform, silence), 1)[:, : silence.shape[1]]
        hops = heard.reshape(-1, FRAME_COUNT + 2, HOP_SAMPLES)
        rest = FRAME_SAMPLES - 2 * HOP_SAMPLES
        frames = torch.cat((hops[:, :-2], hops[:, 1:-1], hops[:, 2:, :rest]), 2)
        spectrum = torch.matmul(frames.double(), self.fourier).float()
        power = spectrum[..., :_BIN_COUNT].square() + spectrum[..., _BIN_COUNT:].square()
        energies = torch.matmul(power, self.bands).clamp(min=_FLOOR).log()
        complete = self.frame_ends <= waveform.shape[1]
        features: Tensor = torch.where(complete, energies, torch.zeros_like(energies)) - self.mean
        return features / self.deviation


def extractor(folder: Path | None = None) -> Any:
    """Transformers' ASTFeatureExtractor, from a folder or as AudioSet's AST has it."""
    from transformers import ASTFeatureExtractor

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", _EMPTY_BANDS)
        return ASTFeatureExtractor.from_pretrained(folder, local_files_only=True) if folder else ASTFeatureExtractor()


def _fourier_matrix() -> Array:
    """Frame to spectrum, float64 [400,514]: real parts, then imaginary ones."""
    from transformers.audio_utils import window_function

    centering = np.eye(FRAME_SAMPLES) - 1 / FRAME_SAMPLES
    emphasis = np.eye(FRAME_SAMPLES) - _PRE_EMPHASIS * np.eye(FRAME_SAMPLES, k=1)
    emphasis[0, 0] = 1 - _PRE_EMPHASIS
    window = window_function(FRAME_SAMPLES, "hann", periodic=False)
    angles = 2 * np.pi / _FOURIER_SAMPLES * np.outer(np.arange(FRAME_SAMPLES), np.arange(_BIN_COUNT))
    waves = np.concatenate((np.cos(angles), np.sin(angles)), 1)
    matrix: Array = centering @ emphasis @ (window[:, None] * waves)
    return matrix


def _band_matrix() -> Array:
    """Power spectrum to bands, float32 [257,128]."""
    from transformers.audio_utils import mel_filter_bank

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", _EMPTY_BANDS)
        matrix: Array = mel_filter_bank(
            num_frequency_bins=_BIN_COUNT,
            num_mel_filters=BAND_COUNT,
            min_frequency=_LOWEST_HZ,
            max_frequency=SAMPLE_RATE_HZ // 2,
            sampling_rate=SAMPLE_RATE_HZ,
            norm=None,
            mel_scale="kaldi",
            triangularize_in_mel_space=True,
        )
    return matrix.astype(np.float32)
