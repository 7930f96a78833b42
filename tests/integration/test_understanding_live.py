"""Video understanding through Triton: equal to transformers on the same weights, batches of unlike shapes, bad
questions, cancellation; and the analyzer on a clip."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

import clips
from reelscope import pipeline, settings
from reelscope.errors import DeadlineExceeded, InvalidRequest
from reelscope.signals import SpokenWords, TextRegions
from reelscope_export import fingerprint, verify
from reelscope_export import video_understanding_qwen2vl as exported

MODEL = "video_understanding_qwen2vl"
OUTPUTS = tuple(tensor.name for tensor in exported.CONTRACT.all_outputs)


def ask(client, inputs, seconds=60.0, model=MODEL, outputs=OUTPUTS):
    names = (tensor.name for tensor in exported.CONTRACT.inputs)
    return client.ask(model, dict(zip(names, inputs, strict=True)), outputs, seconds)


@pytest.fixture(scope="module")
def checkpoint(built_repository) -> Path:
    """The random weights that are served."""
    folder = built_repository.parent / "weights" / "random"
    (file,) = folder.glob(f"*{exported.STAND_IN}-*/model.safetensors")
    return file


def test_served_answers_are_upstreams(client, checkpoint):
    def run(*inputs):
        return ask(client, inputs).result()

    verify.require(MODEL, exported.verify(run, checkpoint, variant=exported.STAND_IN, precision="fp32", trained=False))


def test_requests_of_unlike_shapes_are_answered_together(client):
    asked = [exported.question((n, 56, 28 * n), "window", "x" * n, seed=n) for n in (1, 2, 3, 4)]
    alone = [ask(client, inputs).result()["answer"][0, 0] for inputs in asked]
    assert len(set(alone)) > 1
    pending = [ask(client, inputs) for inputs in asked]
    assert [each.result()["answer"][0, 0] for each in pending] == alone


def test_it_says_what_it_is_and_what_it_looked_at(client, built_repository):
    found = ask(client, exported.question((500, 56, 56), "window")).result()
    assert found["frame_count"].tolist() == [[16]]
    assert found["answer"] == ask(client, exported.question((500, 56, 56), "")).result()["answer"], "made-up requests"
    prepared, first, whole = found["seconds"][0]
    assert 0 < prepared < first < whole
    said = json.loads(found["provenance"][0, 0])
    file = built_repository / MODEL / "1" / "cpu.safetensors"
    assert said == json.loads(fingerprint.read_metadata(file)[fingerprint.PROVENANCE_KEY])
    assert said["trained"] is False


@pytest.mark.parametrize(
    ("size", "task", "context", "message"),
    [
        ((0, 56, 56), "window", "", "no frame"),
        ((1, 56, 56), "poem", "", "must be one of"),
        ((1, 56, 56), "window", "word " * 2000, "at most 5120 are read"),
    ],
)
def test_a_bad_question_is_refused_and_its_neighbours_are_answered(client, size, task, context, message):
    good = exported.question((1, 56, 56), "window")
    pending = ask(client, good), ask(client, exported.question(size, task, context)), ask(client, good)
    with pytest.raises(InvalidRequest, match=message):
        pending[1].result()
    assert pending[0].result()["answer"] == pending[2].result()["answer"]


def test_who_gives_up_does_not_keep_the_others_waiting(client):
    """A request that nobody waits for ends between two tokens, long before its answer would."""
    long = exported.question((16, 392, 504), "synthesis")
    with pytest.raises(DeadlineExceeded):
        ask(client, long, seconds=0.2).result()
    began = time.monotonic()
    assert ask(client, exported.question((1, 56, 56), "window")).result()["answer"].size
    assert time.monotonic() - began < 30


def test_the_analyzer_on_a_clip(client, tmp_path):
    """Three slides: three windows, cut where the slides change; nothing is claimed, because nothing is trained."""
    clip = clips.write(tmp_path / "slides.mp4", clips.shots((45, 90), 135, height=360, width=640))
    profile = settings.profile("cpu")
    analyzers = pipeline.select(["qwen2_vl_temporal"])
    first, second = (
        pipeline.analyze(clip, analyzers=analyzers, profile=profile, client=client).analyzers["qwen2_vl_temporal"]
        for _ in range(2)
    )
    assert first.status == "ok", first.message
    edges = [(each.start_seconds, each.end_seconds) for each in first.segments]
    assert edges == [pytest.approx(edge, abs=0.01) for edge in ((0, 1.5), (1.5, 3), (3, 4.5))]
    for segment in first.segments:
        assert all(segment.start_seconds <= time < segment.end_seconds for time in segment.data.evidence_frames)
        assert 1 <= len(segment.data.evidence_frames) <= 8
    assert first.warnings == (f"untrained_model:{MODEL}",)
    assert first.summary.synopsis is None
    assert [model.name for model in first.models if not model.trained] == [MODEL]
    assert SpokenWords.signal_name() in first.inputs.missing_inputs
    assert TextRegions.signal_name() in first.inputs.depends_on, "PP-OCR is trained everywhere: its texts are context"
    assert first.segments == second.segments
