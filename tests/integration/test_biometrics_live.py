"""A deployment without biometrics: nobody is judged, no model that could is loaded, no face is cut out."""

from __future__ import annotations

import json

import pytest

from places import DEMO
from reelscope import pipeline, settings
from reelscope.analyzers import ANALYZERS
from reelscope.embedded import EmbeddedServer
from reelscope.inference import InferenceClient, RepositoryClient

JUDGING = {"age_estimation", "eye_tracking", "face_emotion", "speech_emotion"}


def test_the_registry_marks_who_judges():
    assert {analyzer.name for analyzer in ANALYZERS if analyzer.is_biometric} == JUDGING


def test_without_biometrics(environment, cli, tmp_path):
    """On a server of its own: faces are found, for composition, by their boxes alone."""
    profile = settings.profile("cpu", biometrics=False)
    names = ["age_estimation", "composition_analysis", "face_emotion", "speech_emotion"]
    with EmbeddedServer(profile) as server:
        assert not server.failed
        with RepositoryClient(server.grpc_url) as repository:
            serving = {row.name for row in repository.repository_index() if row.state == "READY"}
        judges = {"face_attributes", "face_landmarks", "face_expression", "face_crops", "faces"}
        judges |= {"speech_emotion_wav2vec2", "speech_emotions"}
        assert not serving & judges
        assert {"face_boxes", "face_detection_scrfd", "speech"} <= serving
        done = cli(
            "analyze", DEMO, "-o", tmp_path, "--url", server.grpc_url, "--no-biometrics", "--only", ",".join(names)
        )
        assert done.returncode == 0, done.stderr
        results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
        assert results["run"]["biometrics"] is False
        for name in ("age_estimation", "face_emotion", "speech_emotion"):
            found = results["analyzers"][name]
            assert (found["status"], found["reason"], found["segments"]) == ("skipped", "biometrics_off", [])
        assert results["analyzers"]["composition_analysis"]["status"] == "ok"
        with InferenceClient(server.grpc_url) as client:
            asked = pipeline.analyze(
                DEMO, analyzers=pipeline.select(["age_estimation"]), profile=settings.profile("cpu"), client=client
            )
        failed = asked.analyzers["age_estimation"]
        assert (failed.status, failed.reason) == ("failed", "model_unavailable"), "asked all the same: not served"


@pytest.mark.parametrize("names", [["age_estimation"], ["face_emotion", "eye_tracking"], ["speech_emotion"]])
def test_what_judges_alone_needs_no_server(names):
    """With biometrics off nothing is asked of a server, so none is started."""
    allowed = pipeline.permitted(pipeline.select(names), settings.profile("cpu", biometrics=False))
    assert pipeline.needed_ensembles(allowed) == ()
