"""The roll of a commissioning, on a real server with tiny models: under clients, and nothing is left of it."""

from __future__ import annotations

import json

import tiny_models

from benchmarks import commission
from conftest import a_profile
from reelscope.embedded import EmbeddedServer


def test_a_version_is_rolled_and_rolled_back_under_clients(tmp_path, monkeypatch):
    monkeypatch.setattr(commission, "ROLLED", "frame_sum")
    monkeypatch.setattr(commission, "ROLLED_ENSEMBLE", "described")
    repositories = tiny_models.write_repositories(tmp_path)
    graph = tiny_models.frame_sum()
    stated = dict.fromkeys(("source", "revision", "sha256", "licence", "precision"), "x")
    text = json.dumps({"name": "frame_sum", "trained": False} | stated).encode()
    graph.graph.initializer[0].string_data[:] = [text]
    (repositories[0] / "frame_sum" / "1" / "model.onnx").write_bytes(graph.SerializeToString())
    profile = a_profile(models=("describe", "frame_sum"))
    site = commission.Site(profile, None, (), 1, tmp_path)
    with EmbeddedServer(profile, repositories=repositories) as server:
        gates = list(commission._rolled(site, server.grpc_url, repositories[0]))
    assert {gate.name: gate.holds for gate in gates} == {
        "failed requests": True,
        "who answered": True,
        "who serves": True,
    }, gates
    assert set(site.figures["roll"]["versions"]) == {"1", "2"}
    assert site.figures["roll"]["asked"] >= 4 * commission.CLIENTS
    folders = {path.name for path in (repositories[0] / "frame_sum").iterdir() if path.is_dir()}
    assert folders == {"1"}
