"""What CLIP is asked about every frame: groups of labels, each with the text that stands for it.

Probabilities are a softmax within a group (Radford et al. 2021, arXiv:2103.00020, section 3.1). The first six groups
are the antonym pairs of CLIP-IQA (Wang, Chan & Loy 2023, arXiv:2207.12396) in torchmetrics' wording; CLIP-IQA itself
asks a ResNet-50 without positional embedding at full size, so figures are not comparable with published ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby


@dataclass(frozen=True, slots=True)
class Prompt:
    """One label of a group, and the text whose embedding stands for it."""

    group: str
    label: str
    text: str


_PAIRS = (
    Prompt("quality", "good", "Good photo."),
    Prompt("quality", "bad", "Bad photo."),
    Prompt("brightness", "bright", "Bright photo."),
    Prompt("brightness", "dark", "Dark photo."),
    Prompt("noisiness", "clean", "Clean photo."),
    Prompt("noisiness", "noisy", "Noisy photo."),
    Prompt("colorfulness", "colorful", "Colorful photo."),
    Prompt("colorfulness", "dull", "Dull photo."),
    Prompt("sharpness", "sharp", "Sharp photo."),
    Prompt("sharpness", "blurry", "Blurry photo."),
    Prompt("contrast", "high", "High contrast photo."),
    Prompt("contrast", "low", "Low contrast photo."),
    Prompt("int_ext", "interior", "a photo taken indoors."),
    Prompt("int_ext", "exterior", "a photo taken outdoors."),
    Prompt("day_night", "day", "a photo taken during the day."),
    Prompt("day_night", "night", "a photo taken at night."),
)

_SETTINGS = {
    "kitchen": "a photo of a kitchen.",
    "bedroom": "a photo of a bedroom.",
    "living room": "a photo of a living room.",
    "bathroom": "a photo of a bathroom.",
    "gym": "a photo of a gym.",
    "office": "a photo of an office.",
    "classroom": "a photo of a classroom.",
    "hospital": "a photo of a hospital room.",
    "car interior": "a photo of the inside of a car.",
    "public transport": "a photo of the inside of a train or a bus.",
    "shop": "a photo of a shop.",
    "restaurant": "a photo of a restaurant.",
    "cafe": "a photo of a cafe.",
    "bar": "a photo of a bar or a nightclub.",
    "beauty salon": "a photo of a hairdresser's or a beauty salon.",
    "stage": "a photo of a stage.",
    "studio": "a photo of a studio.",
    "workshop": "a photo of a workshop.",
    "stairs or corridor": "a photo of a corridor or stairs.",
    "street": "a photo of a street.",
    "city": "a photo of a city skyline.",
    "park": "a photo of a park.",
    "garden": "a photo of a garden.",
    "beach": "a photo of a beach.",
    "lake or river": "a photo of a lake or a river.",
    "forest": "a photo of a forest.",
    "mountains": "a photo of mountains.",
    "field": "a photo of a field.",
    "snow": "a photo of a snowy landscape.",
    "sports field": "a photo of a sports field.",
    "swimming pool": "a photo of a swimming pool.",
    "plain background": "a photo with a plain background.",
    "graphics or text": "graphics or text on a screen.",
}

PROMPTS: tuple[Prompt, ...] = (*_PAIRS, *(Prompt("setting", label, text) for label, text in _SETTINGS.items()))
"""Every prompt, in the order of the graph's `label_probabilities`; the labels of a group follow each other."""

LABELS: tuple[str, ...] = tuple(f"{prompt.group}/{prompt.label}" for prompt in PROMPTS)
"""The lines of model_repository/embedding_clip/labels.txt, from which clients read them."""

GROUP_SIZES: tuple[int, ...] = tuple(len(tuple(rows)) for _, rows in groupby(PROMPTS, key=lambda prompt: prompt.group))
"""Labels per group, in order."""
