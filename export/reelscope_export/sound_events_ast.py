"""AST: which of AudioSet's 527 labels hold for a sound, each independent of the others.

Source: Gong et al. (2021), arXiv:2104.01778, trained on AudioSet with hops of 10 and 10: mAP 0.459. Oracle:
transformers' `ASTFeatureExtractor` and `ASTForAudioClassification`, the sigmoid of its logits.

Input   waveform       float32 [N,n], 16 kHz mono, full scale +-1; n is any number from 1 up.
Output  probabilities  float32 [N,527], by line of labels.txt.

The network sees 1024 frames of 25 ms, one each 10 ms. A shorter waveform is completed as the library does it (silence
of the features, not of the sound); of a longer one the first 164,080 samples (10.255 s) count. Below one frame (400
samples), where the library refuses or answers about nothing, silence completes the waveform to one frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from reelscope_export import chunks, graph, paths, pretrained, sound_filter_bank, spoken
from reelscope_export.contract import Contract
from reelscope_export.contract import Tensor as Spec
from reelscope_export.errors import WeightsUnreadable
from reelscope_export.verify import Array, Measure, Run

CLASS_COUNT = 527

CONTRACT = Contract(
    name="sound_events_ast",
    comment=(
        "AST: AudioSet's 527 labels of a sound (labels.txt), each independent of the others. waveform: 16 kHz mono,",
        "full scale +-1, any length; the first 164,080 samples (10.255 s) are heard.",
    ),
    inputs=(Spec("waveform", "TYPE_FP32", (-1,)),),
    outputs=(Spec("probabilities", "TYPE_FP32", (CLASS_COUNT,)),),
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a folder of weights holds, each part as transformers loads it."""

    network: Any
    """ASTForAudioClassification in float32, evaluation mode."""
    extractor: Any


class PooledLayer(nn.Module):
    """AST's last layer for the two tokens that are read after it; the other 1212 are only looked at.

    The answer is the whole layer's. It takes a seventh of its time, which is a tenth of the network's.
    """

    def __init__(self, layer: Any) -> None:
        """Take an ASTLayer."""
        super().__init__()
        self.layer = layer

    def forward(self, tokens: Tensor) -> Tensor:
        """The first two of [N,tokens,768], after the layer."""
        layer, attention = self.layer, self.layer.attention
        seen, read = layer.layernorm_before(tokens), tokens[:, :2]
        queries, keys, values = (
            projection(part).unflatten(2, (-1, attention.head_dim)).transpose(1, 2)
            for projection, part in (
                (attention.q_proj, seen[:, :2]),
                (attention.k_proj, seen),
                (attention.v_proj, seen),
            )
        )
        weights = (torch.matmul(queries, keys.transpose(2, 3)) * attention.scaling).float().softmax(3)
        read = read + attention.o_proj(torch.matmul(weights.to(values.dtype), values).transpose(1, 2).flatten(2))
        changed: Tensor = read + layer.mlp(layer.layernorm_after(read))
        return changed


class SoundGraph(nn.Module):
    """Waveforms in, probabilities out: filter bank, network, sigmoid."""

    def __init__(self, checkpoint: Checkpoint, precision: str) -> None:
        """Take the network; `precision` (fp32, fp16) is its alone."""
        super().__init__()
        self.filter_bank = sound_filter_bank.FilterBank(checkpoint.extractor)
        transformer = checkpoint.network.audio_spectrogram_transformer
        *layers, last = transformer.layers
        self.tower = nn.Sequential(transformer.embeddings, *layers, PooledLayer(last), transformer.layernorm)
        self.classifier = checkpoint.network.classifier
        self.half_network = precision == "fp16"
        if self.half_network:
            self.tower.half()
            self.classifier.half()

    def forward(self, waveform: Tensor) -> Tensor:
        """Judge float32 [N,n]."""
        features = self.filter_bank(waveform)
        tokens = self.tower(features.half() if self.half_network else features)
        return torch.sigmoid(self.classifier(tokens.mean(1)).float())


def build(weights: Path, precision: str) -> onnx.ModelProto:
    """Build the ONNX graph of the checkpoint, without provenance.

    In FP32, which is a CPU's, waveforms are judged one by one: together they are no quicker, and take 200 MB each.
    """
    checkpoint = load(weights)
    checkpoint.network.set_attn_implementation("eager")  # a third quicker in onnxruntime than what SDPA is traced to
    example = graph.Example(torch.zeros(2, 16_000), {0: "batch", 1: "samples"})
    model = graph.to_onnx(SoundGraph(checkpoint, precision), {"waveform": example}, output_names=("probabilities",))
    return chunks.in_chunks(model, 1, weights_inside=False) if precision == "fp32" else model


def load(weights: Path) -> Checkpoint:
    """Load the file of weights, and the files beside it, with transformers' own loaders.

    Raises:
        WeightsUnreadable: transformers cannot read them, or they are not those of AudioSet's AST.
    """
    paths.isolate_libraries()
    from transformers import ASTForAudioClassification
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder = weights.parent
    try:
        network, report = ASTForAudioClassification.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, output_loading_info=True
        )
        extractor = sound_filter_bank.extractor(folder)
    except Exception as exc:
        raise WeightsUnreadable(f"{folder}: {exc}") from exc
    pretrained.require_all_weights(report, "AST", weights)
    hearing = (extractor.sampling_rate, extractor.max_length, extractor.num_mel_bins, extractor.do_normalize)
    expected = (
        sound_filter_bank.SAMPLE_RATE_HZ,
        sound_filter_bank.FRAME_COUNT,
        sound_filter_bank.BAND_COUNT,
        True,
    )
    if (network.config.num_labels, *hearing) != (CLASS_COUNT, *expected):
        raise WeightsUnreadable(
            f"{weights}: {network.config.num_labels} classes of {hearing[1]} frames in {hearing[2]} bands, not "
            f"{CLASS_COUNT} of {expected[1]} in {expected[2]}, normalised: another AST than AudioSet's"
        )
    return Checkpoint(network.eval(), extractor)


def labels(weights: Path) -> tuple[str, ...]:
    """Class names of the checkpoint, by index."""
    names: dict[int, str] = load(weights).network.config.id2label
    return tuple(names[index] for index in sorted(names))


def write_random(variant: str, file: Path) -> None:
    """Write seeded random weights to `file`, and the files that belong to them beside it; deterministic."""
    from reelscope_export import ast_random

    ast_random.write_checkpoint(file)


def verify(run: Run, weights: Path, *, variant: str, precision: str, trained: bool) -> tuple[Measure, ...]:
    """Compare the graph with transformers' extractor and network, on sounds of many lengths.

    A batch must give what its waveforms give one by one.
    """
    sounds = _sounds()
    found = np.concatenate([run(sound[None])["probabilities"] for sound in sounds])
    expected = upstream_probabilities(load(weights), sounds)
    together = run(np.stack(sounds[:2]))["probabilities"]
    bound = 1e-5 if precision == "fp32" else 5e-3
    return (
        Measure("probability difference", float(np.abs(found - expected).max()), bound),
        Measure(
            "probabilities told apart", float(np.ptp(expected, axis=0).mean()), 0.005 if trained else 0.1, at_least=True
        ),
        Measure("batch to singles", float(np.abs(together - found[:2]).max()), bound),
    )


def upstream_probabilities(checkpoint: Checkpoint, sounds: list[Array]) -> Array:
    """Sigmoid of the logits by transformers' own extractor and network, float32 [N,527]."""
    rate = sound_filter_bank.SAMPLE_RATE_HZ
    with torch.no_grad():
        features = [checkpoint.extractor([sound], sampling_rate=rate, return_tensors="pt") for sound in sounds]
        logits = torch.cat([checkpoint.network(**each).logits for each in features])
    found: Array = logits.sigmoid().numpy()
    return found


def _sounds() -> list[Array]:
    """Two frames of noise and of a tone with an offset; speech; a sweep that is longer than what is heard."""
    rate = sound_filter_bank.SAMPLE_RATE_HZ
    times = np.arange(12 * rate) / rate
    noise = np.random.default_rng(0).normal(0, 0.1, 600)
    tone = 0.3 + 0.6 * np.sin(2 * np.pi * 3000 * times[:600])
    sweep = 0.5 * np.sin(2 * np.pi * (100 + 200 * times) * times)
    speech = spoken.say("A dog barks beside the road.")
    return [sound.astype(np.float32) for sound in (noise, tone, speech, sweep)]
