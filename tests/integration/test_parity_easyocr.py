"""Text as EasyOCR's networks read it behind Triton, against `easyocr.Reader.readtext` with the same random weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

import text_pages
from reelscope import settings
from reelscope.embedded import EmbeddedServer
from reelscope.inference import InferenceClient
from reelscope_export import easyocr_networks, paths, photographs, weights

NETWORKS = ("text_detection_craft", "text_recognition_crnn")
OUTPUTS = ("frame_index", "quads", "texts", "confidences", "text_reader_provenance")
CANVAS_PX = 640
MAX_QUAD_ERROR_PX = 1.0
MAX_CONFIDENCE_ERROR = 1e-3
PAGES = ("latin", "serifs", "slanted", "sideways", "light on dark", "tiny", "45 lines", "flat", "small")
"""Of tests/text_pages.py: sizes, angles and colours; `blank` and the long page have tests of their own."""


@dataclass(frozen=True, slots=True)
class Read:
    """One line: corners in pixels, text, confidence."""

    quad_px: np.ndarray
    text: str
    confidence: float


@pytest.fixture(scope="module")
def server(environment: None) -> Iterator[EmbeddedServer]:
    """EasyOCR's networks alone: the reader's choice is then theirs, trained or not."""
    with EmbeddedServer(settings.profile("cpu"), models=[*NETWORKS, "text_reader"]) as running:
        assert not running.failed
        yield running


@pytest.fixture(scope="module")
def client(server: EmbeddedServer) -> Iterator[InferenceClient]:
    with InferenceClient(server.grpc_url) as connection:
        yield connection


def answer(client: InferenceClient, frames: np.ndarray) -> dict[str, np.ndarray]:
    buffer = client.allocate(*frames.shape[1:3])
    buffer.array[: len(frames)] = frames
    try:
        return client.submit("text_regions", buffer, len(frames), OUTPUTS, 300).result()
    finally:
        buffer.close()


def read(client: InferenceClient, frames: np.ndarray) -> list[list[Read]]:
    """Lines of each frame."""
    said = answer(client, frames)
    size = frames.shape[2], frames.shape[1]
    lines: list[list[Read]] = [[] for _ in frames]
    for frame, quad, text, confidence in zip(*(said[name] for name in OUTPUTS[:4]), strict=True):
        lines[frame].append(Read(quad.astype(np.float64) * size, text.decode(), float(confidence)))
    return lines


@pytest.fixture(scope="module")
def upstream(client: InferenceClient, tmp_path_factory: pytest.TempPathFactory):
    """`readtext` over the checkpoints that were exported: found by the hashes that the server reports.

    From files, so that EasyOCR sees the colours in the right order for both of its networks; lossless WebP, because of
    that format OpenCV reads the same grey levels that it makes of the colours.
    """
    folder = tmp_path_factory.mktemp("easyocr")
    page = text_pages.pages()["latin"]
    reported = [json.loads(text) for text in answer(client, page[None])["text_reader_provenance"]]
    assert [each["model"] for each in reported] == list(NETWORKS)
    assert not any(each["trained"] for each in reported)
    by_hash = {weights.file_sha256(file): file for file in paths.weights_folder().rglob("*.pth")}
    for each in reported:
        (folder / by_hash[each["sha256"]].name).symlink_to(by_hash[each["sha256"]])
    with easyocr_networks.reader(folder, "latin_g2") as reader:

        def readtext(frame: np.ndarray) -> list[Read]:
            """What EasyOCR reads, but lines of which it reads nothing; corners inside the frame."""
            file = folder / "frame.webp"
            assert cv2.imwrite(str(file), frame[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, 101])
            found = reader.readtext(str(file), canvas_size=CANVAS_PX)
            limit = frame.shape[1], frame.shape[0]
            return [Read(np.clip(quad, 0, limit), text, float(sure)) for quad, text, sure in found if text]

        yield readtext


@pytest.fixture(scope="module")
def pictures() -> dict[str, np.ndarray]:
    """Pages, photographs, and a photograph with a caption."""
    drawn, taken = text_pages.pages(), photographs.read()
    pages = {name: drawn[name] for name in PAGES}
    return pages | taken | {"caption": text_pages.caption(taken["bus.jpg"], *text_pages.CAPTIONS[0])}


def quad_error(found: list[Read], expected: list[Read]) -> float:
    return max(np.abs(ours.quad_px - theirs.quad_px).max() for ours, theirs in zip(found, expected, strict=True))


def test_reads_what_easyocr_reads(client, upstream, pictures, capsys):
    columns = ("picture", "lines", "slanted", "worst corner px", "strings differing", "worst confidence")
    table = Table(*columns, title="served by Triton vs easyocr.Reader.readtext, random weights")
    measured = []
    for name, picture in pictures.items():
        (found,), expected = read(client, picture[None]), upstream(picture)
        assert len(found) == len(expected), name
        corner = quad_error(found, expected)
        differing = sum(ours.text != theirs.text for ours, theirs in zip(found, expected, strict=True))
        sure = max(abs(ours.confidence - theirs.confidence) for ours, theirs in zip(found, expected, strict=True))
        slanted = sum(len(set(line.quad_px[:, 0])) > 2 for line in expected)
        table.add_row(name, str(len(found)), str(slanted), f"{corner:.4f}", str(differing), f"{sure:.1e}")
        measured.append((name, len(found), slanted, corner, differing, sure))
    with capsys.disabled():
        Console(width=120).print("\n", table)
    for name, _, _, corner, differing, sure in measured:
        assert corner <= MAX_QUAD_ERROR_PX, name
        assert differing == 0, name
        assert sure <= MAX_CONFIDENCE_ERROR, name
    assert min(lines for _, lines, *_ in measured) >= 1
    assert sum(lines for _, lines, *_ in measured) >= 60
    assert sum(slanted for _, _, slanted, *_ in measured) >= 10


def test_a_blank_page_has_no_lines(client, upstream):
    page = text_pages.pages()["blank"]
    assert upstream(page) == []
    assert read(client, page[None]) == [[]]


def test_a_page_of_5000_characters(client, upstream):
    page = text_pages.long_page()[0]
    (found,), expected = read(client, page[None]), upstream(page)
    assert len(found) >= 50
    assert [line.text for line in found] == [line.text for line in expected]
    assert quad_error(found, expected) <= MAX_QUAD_ERROR_PX


def test_a_batch_of_frames_is_read_like_its_frames(client, pictures):
    page = cv2.resize(pictures["bus.jpg"], (320, 480))
    plain = np.full_like(page, (124, 116, 104))
    frames = np.stack([page, plain, page[:, ::-1], page])
    together, alone = read(client, frames), [read(client, frame[None])[0] for frame in frames]
    assert [len(lines) > 0 for lines in together] == [True, False, True, True]
    for found, expected in zip(together, alone, strict=True):
        assert [line.text for line in found] == [line.text for line in expected]
        assert not found or quad_error(found, expected) == 0
        assert [line.confidence for line in found] == pytest.approx([line.confidence for line in expected], abs=1e-4)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 1280), (1280, 3)])
def test_any_frame_size_is_served(client, height, width):
    for quad in answer(client, np.full((2, height, width, 3), 90, np.uint8))["quads"]:
        assert ((quad >= 0) & (quad <= 1)).all()
