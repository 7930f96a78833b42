"""Seeded random YOLOv8 weights that detect something, as a checkpoint in ultralytics' own format.

A freshly initialised YOLO finds nothing above the score threshold, and a parity test over zero boxes proves nothing.
So the layers keep their random filters, and the rest is computed from ultralytics' own two photographs:

- BatchNorm statistics, so that every layer sees values of ordinary size;
- the last class convolution: each class of each level answers to the pattern of one place in one photograph (a
  whitened matched filter), its highest answer set to a chosen score. Scores are spread over 0.02-0.9, half of the
  classes peak in each photograph: some 60 boxes of some 35 classes in each;
- the last class convolution of a network of one class: the sum of such filters, some 30 boxes in each photograph;
- the last box convolution: side lengths of two to five cells;
- the last keypoint convolution: a person who stands in the box and faces us, give or take.

What such a network says about any other picture means nothing.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from reelscope_export import photographs, yolov8_graph
from reelscope_export.verify import Array

SEED = 0

_BACKGROUND_LOGIT = -8.0
_PEAK_LOGITS = (-4.0, 2.2)
"""Lowest and highest peak of a class: scores 0.018 and 0.9, a third of them below the threshold of 0.25."""

_PLACES = 18
_PLACE_LOGITS = (-0.5, 2.2)
"""Places that an only class answers to, in each level, and their peaks; filters add up, so some places are missed."""

_BOX_LOGIT_STD = 0.15
"""Spread of the box distribution's logits; at 1.0 the rounding of an FP16 network moves box sides by 10 %."""

_SIDE_DECAY = 0.35
"""Fall of the box distribution's logits per bin; the mean side is then two to three cells."""

_POINT_STD = 0.07
"""Spread of the keypoint answers, in the units below; small for the same reason."""

_SKELETON = (
    ((0.0, -1.1), 1.5),  # nose
    ((0.1, -1.2), 1.0),  # eyes, left before right
    ((-0.1, -1.2), 1.0),
    ((0.2, -1.1), -1.0),  # ears
    ((-0.2, -1.1), -1.0),
    ((0.4, -0.7), 2.0),  # shoulders
    ((-0.4, -0.7), 2.0),
    ((0.6, -0.3), 1.0),  # elbows
    ((-0.6, -0.3), 1.0),
    ((0.7, 0.1), 0.0),  # wrists
    ((-0.7, 0.1), 0.0),
    ((0.3, 0.1), 2.0),  # hips
    ((-0.3, 0.1), 2.0),
    ((0.3, 0.7), 1.0),  # knees
    ((-0.3, 0.7), 1.0),
    ((0.3, 1.2), 0.0),  # ankles
    ((-0.3, 1.2), 0.0),
)
"""Where the keypoints are on the average, right and down of the place in units of two cells; logit of visibility."""


def write_checkpoint(variant: str, task: str, class_names: dict[int, str], file: Path) -> None:
    """Draw the weights of `variant` and write them to `file`; equal inputs give equal bytes.

    Args:
        variant: upstream's name, e.g. yolov8n or yolov8n-pose.
        task: ultralytics' name of what the network does: detect or pose.
        class_names: class index to name.
        file: overwritten in place; give a temporary name.
    """
    import ultralytics
    from ultralytics.nn.tasks import DetectionModel, PoseModel, yaml_model_load

    architecture = {"detect": DetectionModel, "pose": PoseModel}[task]
    pixels = torch.stack([_square(frame) for frame in photographs.read().values()])
    with torch.random.fork_rng(devices=[]), torch.no_grad(), _one_thread():
        torch.manual_seed(SEED)
        network = cast(Any, architecture)(
            cast(Any, yaml_model_load)(f"{variant}.yaml"), nc=len(class_names), verbose=False
        )
        network.names = class_names
        _settle_batch_norm(network, pixels)
        _calibrate_head(network, pixels)
    checkpoint = {
        "epoch": -1,
        "ema": None,
        "model": network.eval().half(),
        "train_args": {"task": task, "imgsz": yolov8_graph.SIDE_PX},
        "version": ultralytics.__version__,
        "license": "random weights, untrained",
    }
    # Saved to memory first: torch.save puts the file's name into a named archive, and the bytes must not depend on it.
    archive = io.BytesIO()
    torch.save(checkpoint, archive)
    file.write_bytes(archive.getvalue())


def _square(frame: Array) -> Tensor:
    """Uint8 [H,W,3] as float32 [3,640,640] in 0-1: statistics are taken of all photographs at once."""
    from ultralytics.data.augment import LetterBox

    square: Any = cast(Any, LetterBox)((yolov8_graph.SIDE_PX, yolov8_graph.SIDE_PX))(image=frame)
    return torch.from_numpy(square).permute(2, 0, 1).float() / 255.0


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums depend on how they are split: one thread gives the same weights whatever the number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _settle_batch_norm(network: nn.Module, pixels: Tensor) -> None:
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = 1.0
    network.train()
    network(torch.cat((pixels, pixels.flip(3))))
    network.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.num_batches_tracked.zero_()  # type: ignore[union-attr]


def _calibrate_head(network: Any, pixels: Tensor) -> None:
    head = network.model[-1]
    points = getattr(head, "cv4", ())
    standing = torch.tensor([(*place, visible) for place, visible in _SKELETON], dtype=torch.float64).flatten()
    last = [branch[-1] for branch in (*head.cv2, *head.cv3, *points)]
    seen: dict[nn.Module, Tensor] = {}
    hooks = [
        convolution.register_forward_pre_hook(
            lambda module, inputs: seen.__setitem__(module, inputs[0].flatten(2).double())
        )
        for convolution in last
    ]
    network(pixels)
    for hook in hooks:
        hook.remove()
    logits, patterns = (_PEAK_LOGITS, head.nc) if head.nc > 1 else (_PLACE_LOGITS, _PLACES)
    peaks = torch.linspace(*logits, head.nl * patterns)[torch.randperm(head.nl * patterns)].view(head.nl, patterns)
    for level in range(head.nl):
        classes, boxes = head.cv3[level][-1], head.cv2[level][-1]
        _set_class_filters(classes, seen[classes], peaks[level].double())
        falling = -_SIDE_DECAY * torch.arange(head.reg_max, dtype=torch.float64).repeat(4)
        _spread(boxes, seen[boxes], _BOX_LOGIT_STD, falling)
        if points:
            _spread(points[level][-1], seen[points[level][-1]], _POINT_STD, standing)


def _set_class_filters(convolution: nn.Conv2d, features: Tensor, peaks: Tensor) -> None:
    """Give class k the highest logit peaks[k], in photograph k % 2; features are float64 [2,C,places].

    An only class has all the peaks.
    """
    photograph_count, channels, places = features.shape
    mean = features.mean((0, 2))
    centred = features - mean[:, None]
    covariance = torch.einsum("bcn,bdn->cd", centred, centred) / (photograph_count * places)
    covariance += 0.01 * covariance.diagonal().mean() * torch.eye(channels, dtype=covariance.dtype)
    whitened = torch.linalg.solve(covariance, centred)
    distance = (whitened * centred).sum(1)
    chosen = []
    for own in range(photograph_count):
        candidates = whitened[own][:, distance[own].topk(min(places // 2, 200)).indices].T
        answers = torch.einsum("kc,bcn->bkn", candidates, centred).amax(2)
        # Filters that answer least in the other photograph, so that both photographs get their share of boxes.
        best = (answers[own] / answers[1 - own]).topk(len(peaks) // photograph_count).indices
        chosen.append(candidates[best] / answers[own][best, None])
    filters = torch.stack(chosen, 1).flatten(0, 1) * (peaks - _BACKGROUND_LOGIT)[:, None]
    if convolution.out_channels == 1:
        filters = filters.sum(0, keepdim=True)
    convolution.weight.copy_(filters[..., None, None])
    assert convolution.bias is not None
    convolution.bias.copy_(_BACKGROUND_LOGIT - filters @ mean)


def _spread(convolution: nn.Conv2d, features: Tensor, deviation: float, middle: Tensor) -> None:
    """Scale each channel's answers to one deviation around its middle [channels]; features are float64 [2,C,places]."""
    weight = convolution.weight.flatten(1).double()
    answers = torch.einsum("kc,bcn->bkn", weight, features)
    gain = deviation / answers.std((0, 2))
    convolution.weight.copy_((weight * gain[:, None])[..., None, None])
    assert convolution.bias is not None
    convolution.bias.copy_(middle - answers.mean((0, 2)) * gain)
