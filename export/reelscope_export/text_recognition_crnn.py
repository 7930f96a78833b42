"""CRNN text recognition, EasyOCR's second generation: the character of a line of text at each step.

Source: Shi, Bai & Yao (2015), arXiv:1507.05717. Oracle: EasyOCR's `recognizer_predict`, with all the languages that it
reads with the variant: characters that none of them uses are never read (its `ignore_char`).

Input   lines                    uint8 [N,64,W] grey, one line of text each, padded on the right by its last column;
                                 W is 8 at least, and EasyOCR takes multiples of 64.
Output  character_ids            int32 [N,T], index into labels.txt; 0 between characters. T is W / 4 - 1, rounded down.
        character_probabilities  float32 [N,T], 0-1.

labels.txt is that of latin_g2, and english_g2 answers by the same lines. A line is its character, except <none>, the
first, and <space>.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from reelscope_export import easyocr_networks, graph, text_pages
from reelscope_export.contract import Contract
from reelscope_export.contract import Tensor as Spec
from reelscope_export.errors import WeightsUnreadable
from reelscope_export.graph import Example
from reelscope_export.verify import Array, Measure, Run

HEIGHT_PX = 64
VARIANTS = ("latin_g2", "english_g2")
"""The first one's characters are the labels; it can read all that the others can."""

CONTRACT = Contract(
    name="text_recognition_crnn",
    comment=(
        "CRNN text recognition with EasyOCR's weights. Grey lines of text, 64 px high, padded by their last column.",
        "character_ids: by line of labels.txt, at each step of 4 columns; 0 is none.",
    ),
    inputs=(Spec("lines", "TYPE_UINT8", (HEIGHT_PX, -1)),),
    outputs=(Spec("character_ids", "TYPE_INT32", (-1,)), Spec("character_probabilities", "TYPE_FP32", (-1,))),
)


class RecognitionGraph(nn.Module):
    """Lines in, best character of each step out."""

    is_read: Tensor
    label_ids: Tensor

    def __init__(self, network: Any, variant: str) -> None:
        """Take the network, and what its variant reads and calls the characters."""
        super().__init__()
        self.network = network
        self.register_buffer("is_read", torch.tensor(_is_read(variant), dtype=torch.float32))
        self.register_buffer("label_ids", torch.tensor(_label_ids(variant), dtype=torch.int32))

    def forward(self, lines: Tensor) -> tuple[Tensor, Tensor]:
        """Read uint8 [N,64,W]; outputs as in the module's head."""
        pixels = (lines.unsqueeze(1).to(torch.float32) / 255 - 0.5) / 0.5
        # The network's own AdaptiveAvgPool2d((None, 1)), in a form that can be exported.
        seen = self.network.FeatureExtraction(pixels).permute(0, 3, 1, 2).mean(3)
        logits = self.network.Prediction(self.network.SequenceModeling(seen))
        considered = logits.softmax(2) * self.is_read
        probabilities, best = (considered / considered.sum(2, keepdim=True)).max(2)
        return self.label_ids[best], probabilities


def _is_read(variant: str) -> list[bool]:
    """By index of the network: whether some language of the variant uses the character."""
    import easyocr

    folder = Path(easyocr.__file__).parent / "character"
    used = set(easyocr.config.recognition_models["gen2"][variant]["symbols"])
    for language in easyocr_networks.languages(variant):
        used.update((folder / f"{language}_char.txt").read_text(encoding="utf-8-sig").splitlines())
    return [True, *(character in used for character in easyocr_networks.characters(variant))]


def _label_ids(variant: str) -> list[int]:
    """By index of the network: the line of labels.txt."""
    known = easyocr_networks.characters(VARIANTS[0])
    return [0, *(1 + known.index(character) for character in easyocr_networks.characters(variant))]


def build(weights: Path, precision: str) -> onnx.ModelProto:
    """Build the ONNX graph of the checkpoint, without provenance."""
    network, variant = load(weights)
    # Any width but one that looks like another dimension; at least 2 lines.
    lines = torch.zeros(3, HEIGHT_PX, 192, dtype=torch.uint8)
    return graph.to_onnx(
        RecognitionGraph(network, variant),
        {"lines": Example(lines, {0: "batch", 2: "width"})},
        output_names=tuple(tensor.name for tensor in CONTRACT.outputs),
    )


def load(weights: Path) -> tuple[Any, str]:
    """Load a checkpoint of EasyOCR's; also say which variant it is of.

    Raises:
        WeightsUnreadable: it is none, or another network's.
    """
    reasons = []
    for variant in VARIANTS:
        try:
            return easyocr_networks.load(easyocr_networks.crnn(variant), weights), variant
        except WeightsUnreadable as exc:
            reasons.append(exc)
    raise reasons[0]


def labels(weights: Path) -> tuple[str, ...]:
    """The characters by index, of whatever variant."""
    named = {" ": "<space>"}
    return ("<none>", *(named.get(each, each) for each in easyocr_networks.characters(VARIANTS[0])))


def write_random(variant: str, file: Path) -> None:
    """Write seeded random weights that read something, in EasyOCR's format; deterministic."""
    from reelscope_export import crnn_random

    crnn_random.write_checkpoint(variant, file)


def verify(run: Run, weights: Path, *, variant: str, precision: str, trained: bool) -> tuple[Measure, ...]:
    """Compare characters and probabilities with EasyOCR's own prediction, and a batch with its lines one by one."""
    lines = [_padded(line) for line in text_pages.lines()]
    names = labels(weights)
    found = [run(line[None]) for line in lines]
    with easyocr_networks.reader(weights.parent, variant, detector=False) as reader:
        upstream = [upstream_steps(reader, line) for line in lines]
    said = [names[each] for answer in found for each in answer["character_ids"][0]]
    expected = ["<space>" if each == " " else each for steps, _ in upstream for each in steps]
    difference = max(
        float(np.abs(answer["character_probabilities"][0] - probabilities).max())
        for answer, (_, probabilities) in zip(found, upstream, strict=True)
    )
    shortest = min(line.shape[1] for line in lines)
    batch = np.stack([line[:, :shortest] for line in lines])
    together, alone = run(batch), [run(line[None]) for line in batch]
    ids, probabilities = (
        np.concatenate([each[name] for each in alone]) for name in ("character_ids", "character_probabilities")
    )
    return (
        Measure("characters", sum(each != "<none>" for each in expected), 20, at_least=True),
        Measure("characters that differ", sum(a != b for a, b in zip(said, expected, strict=True)), 0),
        Measure("probability difference", difference, 1e-3),
        Measure("batch to singles, characters", int((together["character_ids"] != ids).sum()), 0),
        Measure("batch to singles", float(np.abs(together["character_probabilities"] - probabilities).max()), 1e-4),
    )


def upstream_steps(reader: Any, line: Array) -> tuple[list[str], Array]:
    """EasyOCR's best character at each step, <none> for none, and their probabilities, float32 [T]."""
    ignored = [1 + reader.character.index(each) for each in set(reader.character) - set(reader.lang_char)]
    with torch.no_grad():
        probabilities = reader.recognizer.eval()(easyocr_networks.crnn_pixels(line)[None], None).softmax(2).numpy()[0]
    probabilities[:, ignored] = 0
    probabilities /= probabilities.sum(1, keepdims=True)
    names = ["<none>", *reader.character]
    return [names[each] for each in probabilities.argmax(1)], probabilities.max(1)


def _padded(line: Array) -> Array:
    """The line as EasyOCR pads it, uint8 [64,w] with w a multiple of 64."""
    return np.pad(line, ((0, 0), (0, -line.shape[1] % HEIGHT_PX)), "edge")
