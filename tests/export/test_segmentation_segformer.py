"""The segmentation graph answers like transformers on the same weights."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from places import CHECKOUT
from reelscope_export import paths, photographs, segformer_random, segmentation_segformer, verify, weights
from reelscope_export.errors import LicenceRefused, VerificationFailed, WeightsUnreadable
from reelscope_export.export import Exporter, Outcome
from reelscope_export.verify import Array

VARIANT = "segformer-b0-finetuned-ade-512-512"
LABELS = (CHECKOUT / "model_repository" / "segmentation_segformer" / "labels.txt").read_text().splitlines()


@pytest.fixture(scope="module")
def built() -> Outcome:
    """The CPU profile's graph with random weights: the one that the integration tests serve, built if code changed."""
    settings = paths.model_settings(paths.read_profiles(), "cpu", "segmentation_segformer")
    cache = weights.Cache(CHECKOUT / "out" / "test" / "weights", weights.read_manifest())
    return Exporter(CHECKOUT / "out" / "test" / "model_repository", cache, mode="random").export(settings)


@pytest.fixture(scope="module")
def run(built: Outcome) -> verify.Run:
    return verify.open_graph(built.file)


@pytest.fixture(scope="module")
def frames() -> dict[str, Array]:
    bus, zidane = photographs.read().values()
    return {
        "portrait": bus,
        "landscape": zidane,
        "odd": bus[1:722, 3:364],
        "small": zidane[100:137, 200:205],
        "wide": zidane[200:215],
        "exact": bus[:512, :512],
    }


@pytest.fixture(scope="module")
def upstream(built: Outcome, frames: dict[str, Array]) -> dict[str, Array]:
    """The label of every cell, [128,128], by transformers' public API."""
    from transformers import SegformerForSemanticSegmentation, SegformerImageProcessor

    folder = built.weights.file.parent
    network = SegformerForSemanticSegmentation.from_pretrained(folder, dtype=torch.float32)
    processor = SegformerImageProcessor.from_pretrained(folder)
    found = {}
    for name, frame in frames.items():
        pixels = processor(images=[frame], input_data_format="channels_last", return_tensors="pt")
        with torch.no_grad():
            found[name] = network(**pixels).logits[0].argmax(0).numpy()
    return found


@pytest.mark.parametrize("name", ["portrait", "landscape", "odd", "small", "wide", "exact"])
def test_equals_transformers(name: str, run: verify.Run, frames: dict[str, Array], upstream: dict[str, Array]) -> None:
    answer = run(frames[name][None])
    assert (answer["label_map"][0] == upstream[name]).mean() >= 0.9995
    shares = np.bincount(answer["label_map"].ravel(), minlength=150) / 128**2
    np.testing.assert_allclose(answer["areas"][0], shares, atol=1e-6)


def test_photographs_have_many_labels(upstream: dict[str, Array]) -> None:
    """Parity over maps of one label would show nothing."""
    for name in ("portrait", "landscape"):
        assert len(np.unique(upstream[name])) >= 50, name
    assert (upstream["portrait"] != upstream["landscape"]).mean() > 0.5


def test_the_map_covers_the_whole_frame(run: verify.Run, frames: dict[str, Array]) -> None:
    """Above and below the middle, only the changed half of the frame changes its labels much."""
    frame = frames["landscape"].copy()
    before = run(frame[None])["label_map"][0]
    frame[360:] = 255 - frame[360:]
    differing = run(frame[None])["label_map"][0] != before
    assert differing[72:].mean() > 2 * differing[:56].mean()


@pytest.mark.parametrize("rows", [2, 5])
def test_batch_equals_singles(rows: int, run: verify.Run, frames: dict[str, Array]) -> None:
    batch = np.stack([np.roll(frames["landscape"], 64 * row, axis=1) for row in range(rows)])
    together = run(batch)
    alone = [run(frame[None]) for frame in batch]
    assert (together["label_map"] == np.concatenate([each["label_map"] for each in alone])).mean() >= 0.9999
    np.testing.assert_allclose(together["areas"], np.concatenate([each["areas"] for each in alone]), atol=1e-3)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 300), (300, 1), (37, 5), (15, 2001)])
def test_any_frame_size(height: int, width: int, run: verify.Run) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    answer = run(frames)
    assert {name: (value.shape, str(value.dtype)) for name, value in answer.items()} == {
        "label_map": ((2, 128, 128), "uint8"),
        "areas": ((2, 150), "float32"),
        "provenance": ((2, 1), "object"),
    }
    np.testing.assert_allclose(answer["areas"].sum(1), 1, atol=1e-5)
    assert answer["label_map"].max() < 150


def test_provenance_says_untrained(built: Outcome, run: verify.Run) -> None:
    said = [json.loads(row) for row in run(np.zeros((2, 8, 8, 3), np.uint8))["provenance"][:, 0]]
    assert said[0] == said[1]
    assert (said[0]["name"], said[0]["trained"]) == (VARIANT, False)
    assert said[0]["sha256"] == weights.file_sha256(built.weights.file)


def test_random_weights_are_deterministic(built: Outcome, tmp_path: Path) -> None:
    again = tmp_path / built.weights.file.name
    segmentation_segformer.write_random(VARIANT, again)
    first = built.weights.file.parent
    parts = weights.read_manifest()["segmentation_segformer"][VARIANT].parts
    assert {file.name for file in tmp_path.iterdir()} == {Path(part.name).name for part in parts}
    for file in tmp_path.iterdir():
        assert weights.file_sha256(file) == weights.file_sha256(first / file.name), file.name


_TINY: dict[str, Any] = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 20, 16], "decoder_hidden_size": 16}


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Random weights of a small network, in the format that B2 is published in: pickled."""
    monkeypatch.setitem(segformer_random._SHAPES, "tiny", _TINY)
    file = tmp_path / "tiny" / "pytorch_model.bin"
    file.parent.mkdir()
    segmentation_segformer.write_random("tiny", file)
    return file


def test_random_weights_of_the_other_format(tiny: Path) -> None:
    parts = weights.read_manifest()["segmentation_segformer"]["segformer-b2-finetuned-ade-512-512"].parts
    assert {found.name for found in tiny.parent.iterdir()} == {Path(part.name).name for part in parts}
    assert segmentation_segformer.labels(tiny) == tuple(LABELS)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A SegFormer of the right shape outside and small inside, so that loading it takes no time."""
    return _write_small(tmp_path)


def _write_small(folder: Path, *, classes: int = 150, side_px: int = 512) -> Path:
    from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessor

    network = SegformerForSemanticSegmentation(SegformerConfig(num_labels=classes, **_TINY))
    network.save_pretrained(folder)
    SegformerImageProcessor(size={"height": side_px, "width": side_px}).save_pretrained(folder)
    return folder / "model.safetensors"


def test_the_folded_decoder_is_the_decoder(checkpoint: Path) -> None:
    head = segmentation_segformer.load(checkpoint).network.decode_head
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for values in (head.batch_norm.weight, head.batch_norm.bias, head.batch_norm.running_mean):
            values.copy_(torch.randn(values.shape, generator=generator))
        head.batch_norm.running_var.copy_(0.1 + torch.rand(16, generator=generator))
        sizes = zip(_TINY["hidden_sizes"], (32, 16, 8, 4), strict=True)
        stages = [torch.randn(2, channels, side, side, generator=generator) for channels, side in sizes]
        expected = head(tuple(stages))
        found = segmentation_segformer.FoldedDecoder(head)(stages)
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_verification_notices(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = photographs.read()["bus.jpg"]
    monkeypatch.setattr(segmentation_segformer, "_frames", lambda: [bus[:120, :160], bus[200:320, :90]])
    graph = segmentation_segformer.SegmentationGraph(segmentation_segformer.load(tiny), "fp32").eval()
    answers: dict[bytes, dict[str, Array]] = {}

    def right(batch: Array) -> dict[str, Array]:
        key = batch.tobytes()
        if key not in answers:
            with torch.no_grad():
                label_map, areas = graph(torch.from_numpy(batch))
            answers[key] = {"label_map": label_map.numpy(), "areas": areas.numpy()}
        return answers[key]

    def moved(batch: Array) -> dict[str, Array]:
        return right(batch) | {"label_map": np.roll(right(batch)["label_map"], 1, axis=2)}

    def renumbered(batch: Array) -> dict[str, Array]:
        return right(batch) | {"areas": np.roll(right(batch)["areas"], 1, axis=1)}

    arguments: dict[str, Any] = {"variant": VARIANT, "precision": "fp32", "trained": False}
    verify.require("segmentation", segmentation_segformer.verify(right, tiny, **arguments))
    for wrong, message in ((moved, "labels equal"), (renumbered, "area difference")):
        with pytest.raises(VerificationFailed, match=message):
            verify.require("segmentation", segmentation_segformer.verify(wrong, tiny, **arguments))


def test_upstreams_own_files_load(built: Outcome, tmp_path: Path) -> None:
    """The published settings, byte for byte, with weights under the names that the published ones have."""
    shutil.copytree(built.weights.file.parent, tmp_path, dirs_exist_ok=True)
    names = [*LABELS[:7], "bed ", *LABELS[8:]]
    assert LABELS[7] == "bed"
    config = {
        "architectures": ["SegformerForSemanticSegmentation"],
        "attention_probs_dropout_prob": 0.0,
        "classifier_dropout_prob": 0.1,
        "decoder_hidden_size": 256,
        "depths": [2, 2, 2, 2],
        "downsampling_rates": [1, 4, 8, 16],
        "drop_path_rate": 0.1,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "hidden_sizes": [32, 64, 160, 256],
        "id2label": {str(index): name for index, name in enumerate(names)},
        "image_size": 224,
        "initializer_range": 0.02,
        "label2id": {name: index for index, name in sorted(enumerate(names), key=lambda pair: pair[1])},
        "layer_norm_eps": 1e-6,
        "mlp_ratios": [4, 4, 4, 4],
        "model_type": "segformer",
        "num_attention_heads": [1, 2, 5, 8],
        "num_channels": 3,
        "num_encoder_blocks": 4,
        "patch_sizes": [7, 3, 3, 3],
        "reshape_last_stage": True,
        "sr_ratios": [8, 4, 2, 1],
        "strides": [4, 2, 2, 2],
        "torch_dtype": "float32",
        "transformers_version": "4.12.0.dev0",
    }
    processor = {
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "SegformerFeatureExtractor",
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "reduce_labels": True,
        "resample": 2,
        "size": 512,
    }
    known = weights.read_manifest()["segmentation_segformer"][VARIANT].beside
    for name, content in (("config.json", config), ("preprocessor_config.json", processor)):
        text = json.dumps(content, indent=2) + "\n"
        assert hashlib.sha256(text.encode()).hexdigest() == known[name]
        (tmp_path / name).write_text(text)
    assert segmentation_segformer.labels(tmp_path / "model.safetensors") == tuple(LABELS)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
@pytest.mark.parametrize("damage", ["absent", "cut", "foreign"])
def test_damaged_folder_is_unreadable(checkpoint: Path, name: str, damage: str) -> None:
    file = checkpoint.parent / name
    content = file.read_bytes()
    file.unlink()
    if damage != "absent":
        file.write_bytes(content[: len(content) // 2] if damage == "cut" else b"\x00\xff not what it should be")
    with pytest.raises(WeightsUnreadable) as caught:
        segmentation_segformer.load(checkpoint)
    assert str(checkpoint.parent) in str(caught.value)


def test_weights_that_lack_something_are_unreadable(checkpoint: Path) -> None:
    """Transformers would draw them at random."""
    from safetensors.torch import load_file, save_file

    state = load_file(checkpoint)
    del state["decode_head.classifier.weight"]
    save_file(state, checkpoint, metadata={"format": "pt"})
    with pytest.raises(
        WeightsUnreadable, match=r"1 weights of SegFormer are missing, the first is decode_head\.classifier\.weight"
    ):
        segmentation_segformer.load(checkpoint)


@pytest.mark.parametrize("shape", [{"classes": 19}, {"side_px": 640}])
def test_another_segformer_is_refused(tmp_path: Path, shape: dict[str, int]) -> None:
    with pytest.raises(WeightsUnreadable, match=r"another SegFormer than ADE20K's"):
        segmentation_segformer.load(_write_small(tmp_path, **shape))


def test_weights_put_into_the_cache_by_hand_are_used(tiny: Path, tmp_path: Path) -> None:
    """A folder of a library's files, their hashes not known beforehand, through every step of an export."""
    entry = weights.read_manifest()["segmentation_segformer"]["segformer-b2-finetuned-ade-512-512"]
    by_hand = dataclasses.replace(entry, file=f"{tiny.parent.name}/{tiny.name}")
    cache = weights.Cache(tmp_path, {"segmentation_segformer": {VARIANT: by_hand}})
    settings = paths.model_settings(paths.read_profiles(), "cpu", "segmentation_segformer")
    with pytest.raises(LicenceRefused, match="research only"):
        Exporter(tmp_path / "repository", cache, mode="trained", policy="commercial").export(settings)
    outcome = Exporter(tmp_path / "repository", cache, mode="trained").export(settings)
    said = json.loads(verify.open_graph(outcome.file)(np.zeros((1, 9, 16, 3), np.uint8))["provenance"][0, 0])
    assert (said["trained"], said["source"]) == (True, "file tiny/pytorch_model.bin")
    assert said["licence"] == "NVIDIA Source Code License for SegFormer (research only)"
    lock = json.loads((tmp_path / weights.LOCK_NAME).read_text())
    assert set(lock) == {f"tiny/{name}" for name in ("config.json", "preprocessor_config.json", "pytorch_model.bin")}


@pytest.mark.slow
@pytest.mark.parametrize(("size", "precision"), [("b0", "fp16"), ("b2", "fp32"), ("b2", "fp16")])
def test_every_variant_and_precision_verifies(size: str, precision: str, tmp_path: Path) -> None:
    variant = f"segformer-{size}-finetuned-ade-512-512"
    file = tmp_path / Path(weights.read_manifest()["segmentation_segformer"][variant].file).name
    segmentation_segformer.write_random(variant, file)
    graph_file = tmp_path / "graph.onnx"
    onnx.save(segmentation_segformer.build(file, precision), str(graph_file))
    run = verify.open_graph(graph_file)
    measures = segmentation_segformer.verify(run, file, variant=variant, precision=precision, trained=False)
    verify.require("segmentation_segformer", measures)
