"""The embedder's graph answers like transformers on the same weights."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import socket
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from places import CHECKOUT
from reelscope_export import clip_prompts, embedding_clip, paths, photographs, verify, weights
from reelscope_export.errors import VerificationFailed, WeightsUnreadable
from reelscope_export.export import Exporter, Outcome
from reelscope_export.verify import Array

VARIANT = "clip-vit-base-patch32"


@pytest.fixture(scope="module")
def clip() -> Outcome:
    """The CPU profile's graph with random weights: the one that the integration tests serve, built if code changed."""
    settings = paths.model_settings(paths.read_profiles(), "cpu", "embedding_clip")
    cache = weights.Cache(CHECKOUT / "out" / "test" / "weights", weights.read_manifest())
    return Exporter(CHECKOUT / "out" / "test" / "model_repository", cache, mode="random").export(settings)


@pytest.fixture(scope="module")
def run(clip: Outcome) -> verify.Run:
    return verify.open_graph(clip.file)


@pytest.fixture(scope="module")
def frames() -> dict[str, Array]:
    bus, zidane = photographs.read().values()
    return {
        "portrait": bus,
        "landscape": zidane,
        "odd": bus[1:722, 3:364],
        "small": zidane[100:137, 200:205],
        "wide": zidane[200:215],
        "tall": bus[:, 400:415],
        "pixel": bus[500:501, 400:401],
        "black": np.zeros((240, 320, 3), np.uint8),
    }


@pytest.fixture(scope="module")
def upstream(clip: Outcome, frames: dict[str, Array]) -> dict[str, tuple[Array, Array]]:
    """Embedding [512] and probabilities [L] of each frame, by transformers' public API and the committed labels."""
    from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel

    folder = clip.weights.file.parent
    network = CLIPModel.from_pretrained(folder, dtype=torch.float32)
    tokens = AutoTokenizer.from_pretrained(folder)(
        [prompt.text for prompt in clip_prompts.PROMPTS], padding=True, return_tensors="pt"
    )
    pixels = CLIPImageProcessor.from_pretrained(folder)(
        images=list(frames.values()), input_data_format="channels_last", return_tensors="pt"
    )
    with torch.no_grad():
        answer = network(**tokens, **pixels)
    powers = np.exp(answer.logits_per_image.numpy().astype(np.float64))
    sums = np.stack([powers[:, _rows(group)].sum(1) for group in _groups()], axis=1)
    probabilities = powers / sums
    return dict(zip(frames, zip(answer.image_embeds.numpy(), probabilities, strict=True), strict=True))


def _committed_labels() -> list[str]:
    return (CHECKOUT / "model_repository" / "embedding_clip" / "labels.txt").read_text().splitlines()


def _groups() -> list[str]:
    """The group of each label."""
    return [label.partition("/")[0] for label in _committed_labels()]


def _rows(group: str) -> list[int]:
    return [row for row, each in enumerate(_groups()) if each == group]


@pytest.mark.parametrize("name", ["portrait", "landscape", "odd", "small", "wide", "tall", "pixel", "black"])
def test_equals_transformers(
    name: str, run: verify.Run, frames: dict[str, Array], upstream: dict[str, tuple[Array, Array]]
) -> None:
    answer = run(frames[name][None])
    embedding, probabilities = upstream[name]
    np.testing.assert_allclose(answer["embedding"][0], embedding, atol=1e-5)
    np.testing.assert_allclose(answer["label_probabilities"][0], probabilities, atol=1e-4)


def test_answers_differ_from_frame_to_frame_and_label_to_label(upstream: dict[str, tuple[Array, Array]]) -> None:
    """Parity over answers that are all alike would show nothing."""
    embeddings = np.stack([embedding for embedding, _ in upstream.values()])
    probabilities = np.stack([probability for _, probability in upstream.values()])
    assert (embeddings[:2] @ embeddings[:2].T).min() < 0.95
    assert np.ptp(probabilities, axis=0).max() > 0.1
    for group in set(_groups()):
        assert np.ptp(probabilities[0, _rows(group)]) > 0.01, group


@pytest.mark.parametrize("rows", [2, 5])
def test_batch_equals_singles(rows: int, run: verify.Run, frames: dict[str, Array]) -> None:
    batch = np.stack([np.roll(frames["landscape"], 64 * row, axis=1) for row in range(rows)])
    assert verify.batch_difference(run, batch) <= 1e-5


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (1, 300), (300, 1), (37, 5), (15, 4001), (4001, 15), (224, 224), (2160, 4096)]
)
def test_any_frame_size(height: int, width: int, run: verify.Run) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    answer = run(frames)
    count = len(_committed_labels())
    assert {name: (value.shape, value.dtype.kind) for name, value in answer.items()} == {
        "embedding": ((2, 512), "f"),
        "label_probabilities": ((2, count), "f"),
        "provenance": ((2, 1), "O"),
    }
    np.testing.assert_allclose(np.linalg.norm(answer["embedding"], axis=1), 1, atol=1e-6)
    for group in set(_groups()):
        np.testing.assert_allclose(answer["label_probabilities"][:, _rows(group)].sum(1), 1, atol=1e-6)


def test_provenance_says_untrained(clip: Outcome, run: verify.Run) -> None:
    rows = run(np.zeros((2, 8, 8, 3), np.uint8))["provenance"]
    assert [json.loads(row) for row in rows[:, 0]] == 2 * [
        {
            "name": VARIANT,
            "source": "random, seed 0",
            "revision": clip.weights.revision,
            "sha256": weights.file_sha256(clip.weights.file),
            "licence": "none",
            "trained": False,
            "precision": "fp32",
        }
    ]


def test_groups_are_those_of_the_contract() -> None:
    labels = _committed_labels()
    assert tuple(labels) == clip_prompts.LABELS
    assert len(set(labels)) == len(labels)
    groups = {
        group: [label.partition("/")[2] for label in rows]
        for group, rows in groupby(labels, lambda label: label.partition("/")[0])
    }
    settings, products = groups.pop("setting"), groups.pop("product")
    assert groups == {
        "quality": ["good", "bad"],
        "brightness": ["bright", "dark"],
        "noisiness": ["clean", "noisy"],
        "colorfulness": ["colorful", "dull"],
        "sharpness": ["sharp", "blurry"],
        "contrast": ["high", "low"],
        "int_ext": ["interior", "exterior"],
        "day_night": ["day", "night"],
    }
    assert len(settings) >= 30
    assert {"kitchen", "street", "plain background", "graphics or text"} <= set(settings)
    rejects = {label for label in products if label.startswith("not: ")}
    assert len(products) - len(rejects) >= 40
    assert {"not: person", "not: animal", "not: plain texture", "not: background", "not: text or graphics"} <= rejects
    assert sum(clip_prompts.GROUP_SIZES) == len(labels)


def test_prompts_fit_into_the_text_encoder(clip: Outcome) -> None:
    """The random vocabulary needs the most tokens: one for each letter."""
    tokens = embedding_clip._tokens(embedding_clip.load(clip.weights.file))["input_ids"]
    assert tokens.shape[1] < 77
    assert len({tuple(row) for row in tokens.tolist()}) == len(clip_prompts.PROMPTS)
    assert (tokens[:, 0] == 49406).all()
    assert (tokens == 49407).any(1).all()


def test_random_weights_are_deterministic(clip: Outcome, tmp_path: Path) -> None:
    again = tmp_path / clip.weights.file.name
    embedding_clip.write_random(VARIANT, again)
    first = clip.weights.file.parent
    assert {file.name for file in tmp_path.iterdir()} == {file.name for file in first.iterdir()}
    for file in tmp_path.iterdir():
        assert weights.file_sha256(file) == weights.file_sha256(first / file.name), file.name


def test_the_folder_has_the_files_of_the_manifest(clip: Outcome) -> None:
    """What is loaded from random weights is what would be loaded from a download."""
    parts = weights.read_manifest()["embedding_clip"][VARIANT].parts
    assert {file.name for file in clip.weights.file.parent.iterdir()} == {Path(part.name).name for part in parts}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A CLIP of the right shape outside and small inside, so that loading it takes no time."""
    return _write_small(tmp_path)


def _write_small(folder: Path, *, image_px: int = 224, projection: int = 512) -> Path:
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    from reelscope_export import clip_random

    small = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = CLIPConfig(text_config=small, vision_config=small | {"image_size": image_px}, projection_dim=projection)
    network = CLIPModel(config)
    config.save_pretrained(folder)
    CLIPImageProcessor().save_pretrained(folder)
    clip_random._write_tokenizer(folder, 49406)
    torch.save(network.state_dict(), folder / "pytorch_model.bin")
    return folder / "pytorch_model.bin"


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("output", ["embedding", "label_probabilities"])
def test_verification_notices(
    output: str, precision: str, checkpoint: Path, frames: dict[str, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that is a little wrong: embeddings turned by 3 degrees, probabilities of two labels swapped."""
    monkeypatch.setattr(embedding_clip, "_frames", lambda: [frames["small"], frames["black"]])
    network = embedding_clip.EmbeddingGraph(embedding_clip.load(checkpoint), "fp32").eval()

    def right(batch: Array) -> dict[str, Array]:
        with torch.no_grad():
            embedding, probabilities = network(torch.from_numpy(batch))
        return {"embedding": embedding.numpy(), "label_probabilities": probabilities.numpy()}

    def wrong(batch: Array) -> dict[str, Array]:
        answer = right(batch)
        if output == "embedding":
            turned = answer["embedding"] + 0.05 * np.roll(answer["embedding"], 1, axis=1)
            return answer | {"embedding": turned / np.linalg.norm(turned, axis=1, keepdims=True)}
        rows = np.arange(len(clip_prompts.LABELS))
        rows[[0, 1]] = rows[[1, 0]]
        return answer | {"label_probabilities": answer["label_probabilities"][:, rows]}

    arguments: dict[str, Any] = {"variant": VARIANT, "precision": precision, "trained": False}
    verify.require("embedding_clip", embedding_clip.verify(right, checkpoint, **arguments))
    with pytest.raises(VerificationFailed, match="differs from upstream"):
        verify.require("embedding_clip", embedding_clip.verify(wrong, checkpoint, **arguments))


def test_upstreams_own_files_load(checkpoint: Path) -> None:
    """The published settings, byte for byte; names that newer versions of the library no longer know are no harm."""
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "__type": "AddedToken"}
    tokenizer = {f"{name}_token": {"content": "<|endoftext|>", **special} for name in ("unk", "bos", "eos")}
    tokenizer["bos_token"]["content"] = "<|startoftext|>"
    rest = {"pad_token": "<|endoftext|>", "add_prefix_space": False, "errors": "replace", "do_lower_case": True}
    named = {"name_or_path": "./clip_ViT_B_32/", "model_max_length": 77}
    processor = {
        "crop_size": 224,
        "do_center_crop": True,
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "size": 224,
    }
    known = weights.read_manifest()["embedding_clip"][VARIANT].beside
    for name, text in (
        ("tokenizer_config.json", json.dumps(tokenizer | rest | named)),
        ("preprocessor_config.json", json.dumps(processor, indent=2) + "\n"),
    ):
        assert hashlib.sha256(text.encode()).hexdigest() == known[name]
        (checkpoint.parent / name).write_text(text)
    config = json.loads((checkpoint.parent / "config.json").read_text())
    config["text_config"] |= {"bos_token_id": 0, "eos_token_id": 2}  # the old convention, which upstream's file has
    (checkpoint.parent / "config.json").write_text(json.dumps(config))
    state = torch.load(checkpoint)
    state["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    torch.save(state, checkpoint)
    loaded = embedding_clip.load(checkpoint)
    assert loaded.tokenizer("Photo")["input_ids"][0] == 49406
    assert loaded.tokenizer("Photo")["input_ids"][-1] == 49407
    frame = torch.from_numpy(photographs.read()["bus.jpg"][None])
    square = loaded.processor(images=[frame[0].numpy()], input_data_format="channels_last", return_tensors="pt")
    mean, deviation = (torch.tensor(processor[name]).view(1, 3, 1, 1) * 255 for name in ("image_mean", "image_std"))
    expected = (embedding_clip.antialias.resize_and_crop(frame, 224) - mean) / deviation
    assert (square["pixel_values"] - expected).abs().max() < 1e-5
    texts = embedding_clip._embed_prompts(loaded)
    assert texts.shape == (len(clip_prompts.PROMPTS), 512)
    assert len(np.unique(texts.detach().numpy().round(5), axis=0)) == len(texts)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "vocab.json", "pytorch_model.bin"])
@pytest.mark.parametrize("damage", ["absent", "cut", "foreign"])
def test_damaged_folder_is_unreadable(checkpoint: Path, name: str, damage: str) -> None:
    file = checkpoint.parent / name
    content = file.read_bytes()
    file.unlink()
    if damage != "absent":
        file.write_bytes(content[: len(content) // 2] if damage == "cut" else b"\x00\xff not what it should be")
    with pytest.raises(WeightsUnreadable) as caught:
        embedding_clip.load(checkpoint)
    assert str(checkpoint.parent) in str(caught.value)


def test_weights_that_lack_something_are_unreadable(checkpoint: Path) -> None:
    """Transformers would draw them at random."""
    state = torch.load(checkpoint)
    del state["visual_projection.weight"]
    torch.save(state, checkpoint)
    with pytest.raises(
        WeightsUnreadable, match=r"1 weights of CLIP are missing, the first is visual_projection\.weight"
    ):
        embedding_clip.load(checkpoint)


@pytest.mark.parametrize("shape", [{"projection": 768}, {"image_px": 336}])
def test_another_clip_is_refused(tmp_path: Path, shape: dict[str, int]) -> None:
    with pytest.raises(WeightsUnreadable, match=r"another CLIP than ViT-B/32"):
        embedding_clip.load(_write_small(tmp_path, **shape))


def test_loading_asks_no_network(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def refuse(*arguments: object, **_: object) -> None:
        asked.append(arguments)
        raise OSError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    embedding_clip.load(checkpoint)
    assert asked == []


def test_weights_put_into_the_cache_by_hand_are_used(checkpoint: Path, tmp_path: Path) -> None:
    """A folder of upstream's files, their hashes not known beforehand, through every step of an export."""
    folder = tmp_path / "cache" / VARIANT
    folder.parent.mkdir()
    checkpoint.parent.joinpath("settings").unlink(missing_ok=True)
    folder.mkdir()
    for file in checkpoint.parent.glob("*.*"):
        file.rename(folder / file.name)
    entry = weights.read_manifest()["embedding_clip"][VARIANT]
    known = {name: weights.file_sha256(folder / name) for name in entry.beside}
    manifest = {"embedding_clip": {VARIANT: dataclasses.replace(entry, sha256=None, beside=known)}}
    settings = paths.model_settings(paths.read_profiles(), "cpu", "embedding_clip")
    exporter = Exporter(tmp_path / "repository", weights.Cache(folder.parent, manifest), mode="trained")
    outcome = exporter.export(settings)
    said = json.loads(verify.open_graph(outcome.file)(np.zeros((1, 9, 16, 3), np.uint8))["provenance"][0, 0])
    assert said["trained"] is True
    assert said["sha256"] == weights.file_sha256(folder / "pytorch_model.bin")
    assert (said["source"], said["licence"]) == (f"file {VARIANT}/pytorch_model.bin", "MIT")


@pytest.mark.slow
def test_fp16_verifies(clip: Outcome, tmp_path: Path) -> None:
    graph_file = tmp_path / "graph.onnx"
    onnx.save(embedding_clip.build(clip.weights.file, "fp16"), str(graph_file))
    run = verify.open_graph(graph_file)
    assert run(np.zeros((1, 9, 16, 3), np.uint8))["embedding"].dtype == np.float32
    arguments: dict[str, Any] = {"variant": VARIANT, "precision": "fp16", "trained": False}
    verify.require("embedding_clip", embedding_clip.verify(run, clip.weights.file, **arguments))
    assert graph_file.stat().st_size < 0.55 * clip.file.stat().st_size
