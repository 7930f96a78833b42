"""Frames to what the network sees, by the library's own processor."""

import numpy as np
import torch
from questions import BadQuestion

LARGEST_PX = 504 * 392
"""Pixels of a frame; larger ones are scaled down, sides are multiples of 28."""
SMALLEST_PX = 56 * 56
MAX_RATIO = 20
"""Longer side over shorter side."""


def checked(frames, max_frames):
    """Frames as they are, or evenly sampled where there are more than `max_frames`.

    Raises:
        BadQuestion: there is none, or they have no picture's shape.
    """
    if frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape[1:]:
        raise BadQuestion(f"frames have shape {list(frames.shape)}, expected [frames, height, width, 3]")
    if not len(frames):
        raise BadQuestion("there is no frame to look at")
    height, width = frames.shape[1:3]
    if max(height, width) > MAX_RATIO * min(height, width):
        raise BadQuestion(f"frames of {width}x{height} pixels are too long and narrow to be understood")
    if len(frames) <= max_frames:
        return frames
    return frames[np.linspace(0, len(frames) - 1, max_frames).round().astype(int)]


def prepare(processor, prompts, videos, device):
    """Batch of prompts, each with its frames, padded on the left; made and kept on the network's device.

    Args:
        processor: the library's own.
        prompts: texts.
        videos: uint8 [n, h, w, 3] each.
        device: of the network.
    """
    texts = [
        processor.apply_chat_template(
            [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": prompt}]}],
            tokenize=False,
            add_generation_prompt=True,
        )
        for prompt in prompts
    ]
    batch = processor(
        text=texts,
        videos=[torch.from_numpy(np.ascontiguousarray(each)).to(device).permute(0, 3, 1, 2) for each in videos],
        padding=True,
        return_tensors="pt",
        size={"shortest_edge": SMALLEST_PX, "longest_edge": LARGEST_PX},
        cap_pixels_per_frame=False,
    )
    return {name: tensor.to(device) for name, tensor in batch.items()}
