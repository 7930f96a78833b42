"""Warm-up as production's configs ask for it: every graph answers it. Served here by the CPU, one model at a time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reelscope import settings
from reelscope.embedded import EmbeddedServer
from reelscope.inference import RepositoryClient

PRODUCTION = settings.deployment_root() / "model_repository"
WARMED = sorted(file.parent.name for file in PRODUCTION.glob("*/config.pbtxt") if "model_warmup" in file.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("model", WARMED)
def test_production_warms_up(environment, built_repository: Path, tmp_path: Path, model: str):
    """Production's config with another kind of instance and another file; a refused warm-up fails it."""
    config = (PRODUCTION / model / "config.pbtxt").read_text().replace("KIND_GPU", "KIND_CPU")
    file = RepositoryClient.parse_config(config)["default_model_filename"]
    (tmp_path / model / "1").mkdir(parents=True)
    (tmp_path / model / "config.pbtxt").write_text(config)
    os.link(built_repository / model / "1" / "cpu.onnx", tmp_path / model / "1" / file)
    with EmbeddedServer(settings.profile("rtx8000"), models=[model], repositories=[tmp_path]) as server:
        assert server.failed == {}
