"""How a voice sounds: arousal, dominance and valence, by audEERING's wav2vec 2.0.

Source: Wagner et al. (2023), doi:10.1109/TPAMI.2023.3263585; wav2vec2-large-robust with 12 of its 24 layers, trained on
MSP-Podcast. Oracle: transformers' `Wav2Vec2FeatureExtractor` and `Wav2Vec2Model` under the published head
(emotion_network.py), clipped to 0-1.

There is no head with classes: checkpoints that name emotions are trained on acted speech, and hold up nowhere else.

Input   waveform   float32 [N,n], 16 kHz mono, full scale +-1; n is any number from 1 up. Pieces of one length.
Output  arousal    float32 [N,1], 0 calm to 1 excited.
        dominance  float32 [N,1], 0 weak to 1 strong.
        valence    float32 [N,1], 0 negative to 1 positive.

The extractor gives every waveform mean 0 and variance 1, so that loudness alone says nothing. The network sees frames
of 400 samples, one each 320; below one frame, silence completes the waveform.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from reelscope_export import chunks, graph, paths, pretrained, spoken
from reelscope_export.contract import Contract
from reelscope_export.contract import Tensor as Spec
from reelscope_export.errors import WeightsUnreadable
from reelscope_export.verify import Array, Measure, Run, batch_difference

DIMENSIONS = ("arousal", "dominance", "valence")
FRAME_SAMPLES = 400
"""What the convolutions see at once."""

_LEAST_VARIANCE = 1e-7
"""What Wav2Vec2FeatureExtractor adds to the variance, so that silence can be divided by it."""

CONTRACT = Contract(
    name="speech_emotion_wav2vec2",
    comment=(
        "audEERING's wav2vec 2.0: how a voice sounds. waveform: 16 kHz mono, full scale +-1, any length, normalised",
        "inside. arousal, dominance, valence: 0-1.",
    ),
    inputs=(Spec("waveform", "TYPE_FP32", (-1,)),),
    outputs=tuple(Spec(name, "TYPE_FP32", (1,)) for name in DIMENSIONS),
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a folder of weights holds, each part as transformers loads it."""

    network: Any
    """EmotionNetwork in float32, evaluation mode."""
    extractor: Any


class EmotionGraph(nn.Module):
    """Waveforms in, three numbers out: normalisation, network, clipping."""

    def __init__(self, checkpoint: Checkpoint, precision: str) -> None:
        """Take the network; `precision` (fp32, fp16) is its alone."""
        super().__init__()
        self.network = checkpoint.network
        # The convolution's weight is kept as length and direction; here it is one.
        parametrize.remove_parametrizations(self.network.wav2vec2.encoder.pos_conv_embed.conv, "weight")
        self.half_network = precision == "fp16"
        if self.half_network:
            self.network.half()

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Judge float32 [N,n]."""
        missing = torch.sym_max(FRAME_SAMPLES - waveform.shape[1], 0)
        complete = torch.cat((waveform, waveform.new_zeros(waveform.shape[0], missing)), 1)
        centered = complete - complete.mean(1, keepdim=True)
        normal = centered / torch.sqrt(centered.square().mean(1, keepdim=True) + _LEAST_VARIANCE)
        numbers = self.network(normal.half() if self.half_network else normal).float().clamp(0, 1)
        arousal, dominance, valence = numbers.split(1, 1)
        return arousal, dominance, valence


def build(weights: Path, precision: str) -> onnx.ModelProto:
    """Build the ONNX graph of the checkpoint, without provenance.

    In FP32, which is a CPU's, waveforms are judged one by one: together they are no quicker, and take more memory.
    """
    checkpoint = load(weights)
    checkpoint.network.set_attn_implementation("eager")  # quicker in onnxruntime than what SDPA is traced to
    example = graph.Example(torch.zeros(2, 16_000), {0: "batch", 1: "samples"})
    model = graph.to_onnx(EmotionGraph(checkpoint, precision), {"waveform": example}, output_names=DIMENSIONS)
    return chunks.in_chunks(model, 1, weights_inside=False) if precision == "fp32" else model


def load(weights: Path) -> Checkpoint:
    """Load the file of weights, and the files beside it, with transformers' own loaders.

    Raises:
        WeightsUnreadable: transformers cannot read them, or they are not those of audEERING's network.
    """
    paths.isolate_libraries()
    from transformers import Wav2Vec2FeatureExtractor
    from transformers.utils import logging

    from reelscope_export import emotion_network

    logging.disable_progress_bar()
    folder = weights.parent
    try:
        network, report = emotion_network.EmotionNetwork.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, output_loading_info=True
        )
        extractor = Wav2Vec2FeatureExtractor.from_pretrained(folder, local_files_only=True)
    except Exception as exc:
        raise WeightsUnreadable(f"{folder}: {exc}") from exc
    pretrained.require_all_weights(report, "the network", weights)
    names = tuple(network.config.id2label[index] for index in sorted(network.config.id2label))
    if names != DIMENSIONS or not extractor.do_normalize or extractor.sampling_rate != spoken.SAMPLE_RATE_HZ:
        raise WeightsUnreadable(
            f"{weights}: {', '.join(names)} at {extractor.sampling_rate} Hz, not {', '.join(DIMENSIONS)} of normalised "
            f"sound at {spoken.SAMPLE_RATE_HZ} Hz: another network than audEERING's"
        )
    return Checkpoint(network.eval(), extractor)


def labels(weights: Path) -> tuple[str, ...]:
    """It tells no classes."""
    return ()


def write_random(variant: str, file: Path) -> None:
    """Write seeded random weights to `file`, and the files that belong to them beside it; deterministic."""
    from reelscope_export import emotion_random

    emotion_random.write_checkpoint(file)


def verify(run: Run, weights: Path, *, variant: str, precision: str, trained: bool) -> tuple[Measure, ...]:
    """Compare the graph with transformers' extractor and network, on voices and sounds of many lengths.

    A batch must give what its waveforms give one by one.
    """
    sounds = _sounds()
    found = np.concatenate([numbers(run(sound[None])) for sound in sounds])
    expected = upstream_numbers(load(weights), sounds)
    batch = np.stack([sounds[0][:16_000], sounds[1][:16_000]])
    bound = 1e-5 if precision == "fp32" else 1e-2
    return (
        Measure("difference", float(np.abs(found - expected).max()), bound),
        Measure("sounds told apart", float(np.ptp(expected, axis=0).min()), 0.05, at_least=True),
        Measure("batch to singles", batch_difference(run, batch), bound),
    )


def numbers(answer: dict[str, Array]) -> Array:
    """Arousal, dominance and valence of an answer, float32 [N,3]."""
    return np.concatenate([answer[name] for name in DIMENSIONS], axis=1)


def upstream_numbers(checkpoint: Checkpoint, sounds: list[Array]) -> Array:
    """The same by transformers' own extractor and network, clipped to 0-1; float32 [N,3]."""
    rate = spoken.SAMPLE_RATE_HZ
    with torch.no_grad():
        inputs = [checkpoint.extractor([sound], sampling_rate=rate, return_tensors="pt") for sound in sounds]
        found = torch.cat([checkpoint.network(each["input_values"]) for each in inputs])
    clipped: Array = found.clamp(0, 1).numpy()
    return clipped


def _sounds() -> list[Array]:
    """A calm voice, an agitated one, a tenth of a second of noise, and a tone with an offset."""
    times = np.arange(2 * spoken.SAMPLE_RATE_HZ) / spoken.SAMPLE_RATE_HZ
    noise = np.random.default_rng(0).normal(0, 0.1, spoken.SAMPLE_RATE_HZ // 10)
    return [
        spoken.say("Nothing much happened today.", words_per_minute=110),
        spoken.say("Look out, it is coming right at us!", words_per_minute=260),
        noise.astype(np.float32),
        (0.3 + 0.5 * np.sin(2 * np.pi * 220 * times)).astype(np.float32),
    ]
