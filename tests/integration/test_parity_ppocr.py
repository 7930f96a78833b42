"""Text as PP-OCR's networks read it behind Triton, against `RapidOCR()` itself: the same lines, whatever the page."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

import text_pages
from reelscope import settings
from reelscope.analyzers.edit_distance import edit_distance
from reelscope.embedded import EmbeddedServer
from reelscope.errors import InvalidRequest, ModelUnavailable
from reelscope.inference import InferenceClient, RepositoryClient
from reelscope_export import photographs, ppocr

NETWORKS = ("text_detection_ppocr", "text_orientation_ppocr", "text_recognition_ppocr")
OUTPUTS = ("frame_index", "quads", "texts", "confidences", "text_reader_provenance")
MAX_QUAD_ERROR_PX = 1.0
MAX_CONFIDENCE_ERROR = 1e-3
MAX_CHARACTER_ERROR_RATE = 0.05
MAX_SHARED_MEMORY_MB = 200
"""For a window of 55 MB: the window in the reader's pool, what it asks, and the networks' own pools."""

Lines = list[tuple[int, np.ndarray, str, float]]
"""Frame, quad in pixels, text and confidence of each line."""


@pytest.fixture(scope="module")
def server(environment: None) -> Iterator[EmbeddedServer]:
    """PP-OCR alone."""
    with EmbeddedServer(settings.profile("cpu"), models=[*NETWORKS, "text_reader"]) as running:
        assert not running.failed
        yield running


@pytest.fixture(scope="module")
def client(server: EmbeddedServer) -> Iterator[InferenceClient]:
    with InferenceClient(server.grpc_url) as connection:
        yield connection


@pytest.fixture(scope="module")
def control(server: EmbeddedServer) -> Iterator[RepositoryClient]:
    with RepositoryClient(server.grpc_url) as connection:
        yield connection


@pytest.fixture(scope="module")
def pictures() -> dict[str, np.ndarray]:
    """Pages, and photographs with and without captions."""
    taken = photographs.read()
    captioned = {
        f"caption on {name}": text_pages.caption(photograph, *text_pages.CAPTIONS[0])
        for name, photograph in taken.items()
    }
    return text_pages.pages() | taken | captioned


@pytest.fixture(scope="module")
def rapidocr():
    return ppocr.oracle()


def answer(client: InferenceClient, frames: np.ndarray) -> dict[str, np.ndarray]:
    buffer = client.allocate(*frames.shape[1:3])
    buffer.array[: len(frames)] = frames
    try:
        return client.submit("text_regions", buffer, len(frames), OUTPUTS, 300, {}).result()
    finally:
        buffer.close()


def read(client: InferenceClient, frames: np.ndarray) -> Lines:
    found = answer(client, frames)
    size_px = np.array(frames.shape[2:0:-1])
    rows = zip(found["frame_index"], found["quads"], found["texts"], found["confidences"], strict=True)
    return [(int(frame), quad * size_px, text.decode(), float(confidence)) for frame, quad, text, confidence in rows]


def upstream(rapidocr, picture: np.ndarray) -> list[tuple[np.ndarray, str, float]]:
    found = rapidocr(np.ascontiguousarray(picture[..., ::-1]))
    return [] if found.txts is None else list(zip(found.boxes, found.txts, found.scores, strict=True))


def quad_error_px(quad: np.ndarray, expected: np.ndarray) -> float:
    """RapidOCR's quads begin at the picture's top left, ours at the text's."""
    return min(float(np.abs(np.roll(quad, turn, axis=0) - expected).max()) for turn in range(4))


def differences(lines: Lines, expected: list[tuple[np.ndarray, str, float]]) -> tuple[bool, float, float]:
    """Whether the strings are the same, in the same order; worst distance of a corner, and of a confidence."""
    if [text for _, _, text, _ in lines] != [text for _, text, _ in expected]:
        return False, float("inf"), float("inf")
    pairs = list(zip(lines, expected, strict=True))
    quads = max((quad_error_px(ours[1], theirs[0]) for ours, theirs in pairs), default=0.0)
    return True, quads, max((abs(ours[3] - theirs[2]) for ours, theirs in pairs), default=0.0)


def test_equals_rapidocr(client, pictures, rapidocr, capsys):
    table = Table("picture", "lines", "strings", "worst corner px", "worst confidence", title="Triton vs RapidOCR()")
    measured = {}
    long_page, written = text_pages.long_page()
    for name, picture in {**pictures, "5000 characters": long_page}.items():
        expected = upstream(rapidocr, picture)
        lines = read(client, picture[None])
        measured[name] = same, corner, confidence = differences(lines, expected)
        table.add_row(name, str(len(expected)), "equal" if same else "DIFFER", f"{corner:.4f}", f"{confidence:.1e}")
        if name == "5000 characters":
            assert len(lines) == len(written)
    with capsys.disabled():
        Console(width=100).print("\n", table)
    for name, (same, corner, confidence) in measured.items():
        assert same, name
        assert corner <= MAX_QUAD_ERROR_PX, name
        assert confidence <= MAX_CONFIDENCE_ERROR, name
    assert not read(client, pictures["blank"][None])
    assert not read(client, pictures["zidane.jpg"][None])


def test_quads_begin_at_the_texts_own_top_left(client, pictures):
    for name, turned in (("latin", 0), ("upside down", 2)):
        for _, quad, _, _ in read(client, pictures[name][None]):
            clockwise = np.roll(quad, turned, axis=0)
            assert (clockwise[0] < clockwise[2]).all(), name
            assert clockwise[1, 0] > clockwise[0, 0], name
    for _, quad, text, _ in read(client, pictures["sideways"][None]):
        assert text in ("Hello sideways world", "another line")
        assert quad[1, 1] < quad[0, 1], "it was turned to the left, and runs upwards"


def test_captions_are_read(client, capsys):
    """White with a black outline on photographs, 40 to 90 px high: what the user is promised."""
    table = Table("caption", "px", "font", "photograph", "read", "errors", title="Rendered captions")
    errors = characters = 0
    for name, photograph in photographs.read().items():
        for written, size_px, font in text_pages.CAPTIONS:
            lines = [line[2] for line in read(client, text_pages.caption(photograph, written, size_px, font)[None])]
            nearest = [
                min(lines, key=lambda line, text=text: edit_distance(line, text), default="") for text in written
            ]
            wrong = sum(edit_distance(found, text) for found, text in zip(nearest, written, strict=True))
            errors, characters = errors + wrong, characters + sum(map(len, written))
            table.add_row(" / ".join(written), str(size_px), font, name, " / ".join(nearest), str(wrong))
    rate = errors / characters
    table.add_section()
    table.add_row("character error rate", "", "", "", "", f"{rate:.4f}")
    with capsys.disabled():
        Console(width=150).print("\n", table)
    assert rate <= MAX_CHARACTER_ERROR_RATE


def test_frames_together_equal_frames_alone(client):
    bus = photographs.read()["bus.jpg"]
    frames = np.stack([text_pages.caption(np.roll(bus, 90 * k, axis=1), *text_pages.CAPTIONS[k]) for k in range(5)])
    together = read(client, frames)
    assert [line[0] for line in together] == sorted(line[0] for line in together)
    for number, frame in enumerate(frames):
        alone = read(client, frame[None])
        own = [line for line in together if line[0] == number]
        assert alone
        assert [line[2] for line in own] == [line[2] for line in alone]
        np.testing.assert_allclose([line[1] for line in own], [line[1] for line in alone], atol=1e-3)
        np.testing.assert_allclose([line[3] for line in own], [line[3] for line in alone], atol=1e-5)


def test_the_networks_that_answered_name_themselves(client, pictures):
    for name, expected in (("latin", NETWORKS), ("blank", NETWORKS[:1])):
        said = [json.loads(text) for text in answer(client, pictures[name][None])["text_reader_provenance"]]
        assert [each["model"] for each in said] == list(expected)
        assert all(each["trained"] and each["licence"] == "Apache-2.0" for each in said)


@pytest.mark.slow
def test_a_window_in_bounded_memory(client, server, capsys):
    """20 frames of 720x1280, three times over: 55 MB each in shared memory."""
    frame = text_pages.caption(photographs.read()["zidane.jpg"], *text_pages.CAPTIONS[3])
    window = np.repeat(frame[None], 20, axis=0)
    used = []
    for _ in range(3):
        began = time.monotonic()
        lines = read(client, window)
        seconds = time.monotonic() - began
        used.append(pools_mb(server))
        assert np.bincount([line[0] for line in lines]).tolist() == [len(lines) / 20] * 20
    with capsys.disabled():
        print(f"\n20 frames of 720x1280: {seconds / 20 * 1e3:.0f} ms a frame; pools of shared memory {used[-1]:.0f} MB")
    assert used[-1] <= MAX_SHARED_MEMORY_MB
    assert used[-1] <= used[0] + 1, "it grows with the largest window, not with their number"


def pools_mb(server: EmbeddedServer) -> float:
    """Shared memory between Triton and its stubs, all models' together."""
    pools = list(Path("/dev/shm").glob(f"reelscope-*-{server.supervisor.pid}-*"))
    assert len(pools) == len(NETWORKS) + 1
    return sum(pool.stat().st_size for pool in pools) / 1e6


def test_frames_of_an_impossible_shape_are_refused_alone(control, client, pictures):
    with pytest.raises(InvalidRequest, match="too long and narrow"):
        control.ask("text_regions", {"frames": np.zeros((1, 1280, 3, 3), np.uint8)}, ["texts"], 60)
    with pytest.raises(InvalidRequest):
        control.ask("text_regions", {"frames": np.zeros((1, 64, 64, 4), np.uint8)}, ["texts"], 60)
    assert read(client, pictures["tiny"][None])


def test_a_cancelled_request_stops(client, pictures):
    """Asked directly: Triton 2.51 passes no cancellation on from an ensemble to its models."""
    window = np.repeat(pictures["45 lines"][None], 20, axis=0)
    buffer = client.allocate(*window.shape[1:3])
    buffer.array[:20] = window
    pending = client.submit("text_reader", buffer, 20, ["texts"], 300, {})
    time.sleep(0.5)
    pending.cancel()
    began = time.monotonic()
    assert read(client, pictures["tiny"][None])
    seconds = time.monotonic() - began
    buffer.close()
    assert seconds < 8, "twenty such frames take thirty seconds"


def test_a_network_that_is_missing_is_named(environment, pictures):
    with (
        EmbeddedServer(settings.profile("cpu"), models=[*NETWORKS[:2], "text_reader"]) as server,
        InferenceClient(server.grpc_url) as client,
        RepositoryClient(server.grpc_url) as control,
    ):
        with pytest.raises(ModelUnavailable, match=r"ppocr needs text_recognition_ppocr$"):
            read(client, pictures["tiny"][None])
        control.load_model("text_recognition_ppocr", 60)
        assert read(client, pictures["tiny"][None]), "the reader follows what is loaded"
