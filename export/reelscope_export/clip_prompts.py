"""What CLIP is asked about every frame: groups of labels, each with the text that stands for it.

Probabilities are a softmax within a group (Radford et al. 2021, arXiv:2103.00020, section 3.1). The first six groups
are the antonym pairs of CLIP-IQA (Wang, Chan & Loy 2023, arXiv:2207.12396) in torchmetrics' wording; CLIP-IQA itself
asks a ResNet-50 without positional embedding at full size, so figures are not comparable with published ones.

The group `product` is asked about crops of objects. A label that begins with "not: " is no product: rejects, without
which a softmax would find one in everything.
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

_PRODUCTS = {
    "canned drink": "a photo of a can of a soft drink.",
    "bottled drink": "a photo of a bottle of a drink.",
    "coffee or tea": "a photo of a cup of coffee or tea.",
    "alcoholic drink": "a photo of a bottle of wine, beer or liquor.",
    "packaged snack": "a photo of a bag of snacks.",
    "sweets or chocolate": "a photo of chocolate or candy.",
    "packaged food": "a photo of packaged food.",
    "prepared meal": "a photo of a dish of food.",
    "fruit or vegetables": "a photo of fruit or vegetables.",
    "makeup": "a photo of makeup, such as lipstick or a palette.",
    "skincare": "a photo of a jar or tube of skin cream.",
    "perfume": "a photo of a bottle of perfume.",
    "hair product": "a photo of a bottle of shampoo.",
    "oral care": "a photo of a toothbrush or toothpaste.",
    "medicine or supplement": "a photo of a bottle of pills.",
    "cleaning product": "a photo of a bottle of detergent.",
    "clothing": "a photo of a piece of clothing.",
    "shoes": "a photo of shoes.",
    "bag": "a photo of a handbag or a backpack.",
    "jewellery": "a photo of jewellery.",
    "watch": "a photo of a wristwatch.",
    "glasses": "a photo of glasses or sunglasses.",
    "hat": "a photo of a hat.",
    "phone": "a photo of a mobile phone.",
    "laptop or tablet": "a photo of a laptop or a tablet.",
    "headphones": "a photo of headphones.",
    "camera": "a photo of a camera.",
    "television or monitor": "a photo of a television or a monitor.",
    "game controller": "a photo of a game controller.",
    "cup or mug": "a photo of an empty cup or a mug.",
    "reusable bottle": "a photo of a reusable water bottle.",
    "kitchen appliance": "a photo of a kitchen appliance.",
    "cookware": "a photo of a pan or a pot.",
    "vacuum cleaner": "a photo of a vacuum cleaner.",
    "furniture": "a photo of a piece of furniture.",
    "lamp": "a photo of a lamp.",
    "bedding or cushion": "a photo of a cushion or bedding.",
    "toy": "a photo of a toy.",
    "book": "a photo of a book.",
    "sports equipment": "a photo of sports equipment.",
    "tool": "a photo of a tool.",
    "pet food or supplies": "a photo of pet food or pet supplies.",
    "car": "a photo of a car.",
    "bicycle or scooter": "a photo of a bicycle or a scooter.",
    "not: person": "a photo of a person.",
    "not: face": "a close-up of a face.",
    "not: hand": "a close-up of a hand.",
    "not: animal": "a photo of an animal.",
    "not: plant": "a photo of a plant.",
    "not: building or street": "a photo of a building or a street.",
    "not: background": "a blurry background.",
    "not: plain texture": "a plain surface with nothing on it.",
    "not: text or graphics": "text or graphics on a screen.",
}

PROMPTS: tuple[Prompt, ...] = (
    *_PAIRS,
    *(Prompt("setting", label, text) for label, text in _SETTINGS.items()),
    *(Prompt("product", label, text) for label, text in _PRODUCTS.items()),
)
"""Every prompt, in the order of the graph's `label_probabilities`; the labels of a group follow each other."""

LABELS: tuple[str, ...] = tuple(f"{prompt.group}/{prompt.label}" for prompt in PROMPTS)
"""The lines of model_repository/embedding_clip/labels.txt, from which clients read them."""

GROUP_SIZES: tuple[int, ...] = tuple(len(tuple(rows)) for _, rows in groupby(PROMPTS, key=lambda prompt: prompt.group))
"""Labels per group, in order."""
