"""What travels: every frame once, however many ensembles read it; crops never. By Triton's statistics and the bytes."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import tritonclient.grpc as triton

from places import DEMO
from reelscope import pipeline, results, settings
from reelscope.inference import InferenceClient
from reelscope.sampler import EXTRA_FRAMES
from reelscope.types import WINDOW_FRAMES
from settled import settled

FRAMES = 50
"""Uploaded frames of the demo clip: 10 s at the cpu profile's 5 a second."""
BYTES_PER_FRAME = 720 * 1280 * 3
OTHERS = {"sounds", "speech", "speech_activity", "speech_emotions", "understanding"}
"""They are asked about sound, or about a few small frames that are chosen when all are known."""


@dataclass(frozen=True)
class Call:
    model: str
    inline_bytes: int
    region: str
    outputs: dict


@pytest.fixture(scope="module")
def traffic(server):
    """One analysis of the demo clip: its calls, the number of windows, rows that every model answered, the results."""
    calls, windows = [], []

    def rows(client):
        stats = client.get_inference_statistics(as_json=True).get("model_stats", ())
        return {each["name"]: int(each.get("inference_count", 0)) for each in stats}

    with (
        pytest.MonkeyPatch.context() as patch,
        triton.InferenceServerClient(server.grpc_url) as observer,
        InferenceClient(server.grpc_url) as client,
    ):
        ask, allocate = triton.InferenceServerClient.async_infer, InferenceClient.allocate

        def counting(self, model, tensors, callback, **options):
            inline = sum(len(tensor._get_content() or b"") for tensor in tensors)
            told = tensors[0]._get_tensor().parameters
            named = told["shared_memory_region"].string_param if "shared_memory_region" in told else ""
            outputs = {}
            calls.append(Call(model, inline, named, outputs))

            def answered(result, error):
                if result is not None:
                    shown = result.get_response().outputs
                    outputs.update({each.name: (each.datatype, tuple(each.shape)) for each in shown})
                callback(result, error)

            return ask(self, model, tensors, callback=answered, **options)

        def allocating(self, height, width, rows):
            windows.append(rows)
            return allocate(self, height, width, rows)

        patch.setattr(triton.InferenceServerClient, "async_infer", counting)
        patch.setattr(InferenceClient, "allocate", allocating)
        before = settled(lambda: rows(observer))
        found = pipeline.analyze(DEMO, analyzers=pipeline.select(None), profile=settings.profile("cpu"), client=client)
        after = settled(lambda: rows(observer))
        assert client.uses_shared_memory
    answered = {name: after[name] - before.get(name, 0) for name in after}
    return calls, windows, answered, found


def test_a_second_run_is_identical(traffic, cli, demo_results, tmp_path):
    """In this process, and from the command line."""
    _, _, _, found = traffic
    results.write(results.to_json(found, pipeline.select(None)), tmp_path / "results.json")
    done = cli("check", demo_results, "--rerun", tmp_path / "results.json")
    assert done.returncode == 0, done.stdout
    assert "I7" in done.stdout


def test_every_frame_is_uploaded_once(traffic):
    """The regular windows, and those of extra frames; every ensemble is pointed to them."""
    calls, windows, _, _ = traffic
    calls = [call for call in calls if call.model not in OTHERS]
    assert windows.count(WINDOW_FRAMES) == -(-FRAMES // WINDOW_FRAMES)
    assert set(windows) <= {WINDOW_FRAMES, EXTRA_FRAMES}
    assert len({call.region for call in calls}) <= len(windows)
    assert all(call.region for call in calls), "frames lie in shared memory"
    assert {call.model for call in calls} == set(pipeline.needed_ensembles(pipeline.select(None))) - OTHERS
    assert sum(call.inline_bytes for call in calls) < BYTES_PER_FRAME / 100, "only boxes travel inside requests"


def test_no_crop_comes_back(traffic):
    """Nothing that is answered is a picture."""
    calls, _, _, _ = traffic
    for call in calls:
        assert call.outputs, call.model
        for name, (kind, shape) in call.outputs.items():
            assert not (kind == "UINT8" and shape[-1:] in ((3,), (1,))), (call.model, name, shape)


def test_nobody_looks_twice(traffic):
    """Each network sees each frame of its rate once; crops are cut where the networks are."""
    _, _, answered, found = traffic
    for model in ("object_yolov8", "pose_yolov8", "face_detection_scrfd"):
        assert answered[model] == FRAMES, model
    extra = answered["segmentation_segformer"]
    changes = len(found.shots) + 2 * found.analyzers["cut_analysis"].summary.flash_count
    assert -(-FRAMES // 4) <= extra <= -(-FRAMES // 4) + changes, "and a frame of each new picture"
    assert 0 < answered["embedding_clip"] - extra <= 8 * 4, "frames, and at most eight crops of a window"
    assert answered["face_crops"] == answered["face_attributes"] == answered["faces"]
    assert answered["object_crops"] == answered["crop_embeddings"]
    problems = {name: result.message for name, result in found.analyzers.items() if result.status != "ok"}
    assert problems == {}
