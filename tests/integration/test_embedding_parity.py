"""Served embeddings against transformers, on the frames of a decoded clip."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
import torch
from rich.console import Console
from rich.table import Table

from places import DEMO
from reelscope import settings
from reelscope.decode import Decoder
from reelscope.inference import InferenceClient
from reelscope.types import Window
from reelscope_export import clip_prompts, paths, weights

OUTPUTS = ("embedding", "label_probabilities", "embedding_clip_provenance")
MAX_EMBEDDING_ERROR = 1e-4
MAX_PROBABILITY_ERROR = 1e-3


def ask(client: InferenceClient, frames: np.ndarray) -> dict[str, np.ndarray]:
    buffer = client.allocate(*frames.shape[1:3])
    buffer.array[: len(frames)] = frames
    try:
        return client.submit("embeddings", buffer, len(frames), OUTPUTS, 120).result()
    finally:
        buffer.close()


@pytest.fixture(scope="module")
def served(client) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The demo clip's frames at a quarter of the base rate, and what is answered when each window's are asked for."""
    frames, answers = [], []
    for part in Decoder(DEMO, Fraction(5), client.allocate):
        if isinstance(part, Window) and (rows := part.row_count(4)):
            frames.append(part.buffer.array[:rows].copy())
            answers.append(client.submit("embeddings", part.buffer, rows, OUTPUTS, 120).result())
            part.release()
    assert client.uses_shared_memory
    assert len(frames[0]) == 5, "a window of 20 frames, of which a quarter is asked about"
    return np.concatenate(frames), {name: np.concatenate([each[name] for each in answers]) for name in OUTPUTS}


def test_embeddings_equal_transformers(served, capsys):
    from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel

    frames, answer = served
    reported = json.loads(answer["embedding_clip_provenance"][0, 0])
    assert reported["trained"] is False
    assert (answer["embedding_clip_provenance"] == answer["embedding_clip_provenance"][0, 0]).all()
    folder = next(
        file.parent
        for file in paths.weights_folder().rglob("pytorch_model.bin")
        if weights.file_sha256(file) == reported["sha256"]
    )
    pixels = CLIPImageProcessor.from_pretrained(folder)(
        images=list(frames), input_data_format="channels_last", return_tensors="pt"
    )
    texts = [prompt.text for prompt in clip_prompts.PROMPTS]
    tokens = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    network = CLIPModel.from_pretrained(folder, dtype=torch.float32)  # the file's own precision is half
    with torch.no_grad():
        upstream = network(**tokens, **pixels)
    powers = np.exp(upstream.logits_per_image.numpy().astype(np.float64))
    embedding_error = float(np.abs(answer["embedding"] - upstream.image_embeds.numpy()).max())

    labels = settings.labels("embedding_clip")
    assert answer["label_probabilities"].shape == (len(frames), len(labels))
    groups = np.array([label.partition("/")[0] for label in labels])
    expected = np.empty_like(powers)
    for group in np.unique(groups):
        expected[:, groups == group] = powers[:, groups == group] / powers[:, groups == group].sum(1, keepdims=True)
    probability_error = float(np.abs(answer["label_probabilities"] - expected).max())

    table = Table("frames", "worst number of 512", "worst probability", title="served by Triton vs transformers")
    table.add_row(str(len(frames)), f"{embedding_error:.1e}", f"{probability_error:.1e}")
    with capsys.disabled():
        Console(width=100).print("\n", table)
    assert len(frames) >= 10
    assert np.linalg.norm(np.diff(answer["embedding"], axis=0), axis=1).max() > 0.05, "the clip's shots differ"
    assert embedding_error <= MAX_EMBEDDING_ERROR
    assert probability_error <= MAX_PROBABILITY_ERROR


def test_batch_equals_singles(client, served):
    frames, answer = served
    singles = [ask(client, frame[None]) for frame in frames[:3]]
    for name in ("embedding", "label_probabilities"):
        np.testing.assert_allclose(
            np.concatenate([single[name] for single in singles]), answer[name][:3], atol=1e-5, err_msg=name
        )


def test_shared_memory_and_inline_give_identical_bytes(server, served):
    frames = served[0][:5]
    answers = []
    for shared_memory in (True, False):
        with InferenceClient(server.grpc_url, shared_memory=shared_memory) as connection:
            answers.append(ask(connection, frames))
    for name in OUTPUTS:
        assert (answers[0][name] == answers[1][name]).all(), name


@pytest.mark.parametrize(("height", "width"), [(1, 1), (15, 1280), (1280, 15)])
def test_any_frame_size_is_served(client, height, width):
    answer = ask(client, np.full((2, height, width, 3), 90, np.uint8))
    np.testing.assert_allclose(np.linalg.norm(answer["embedding"], axis=1), 1, atol=1e-6)
    assert np.isfinite(answer["label_probabilities"]).all()
