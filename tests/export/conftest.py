"""One built graph for the whole folder: an export takes half a minute, most tests need only its result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from stand_in import StandIn

from reelscope_export import paths, weights
from reelscope_export.export import Exporter, Outcome
from reelscope_export.paths import ModelSettings
from reelscope_export.verify import Measure

MODEL = "object_yolov8"


@pytest.fixture(scope="package", autouse=True)
def isolated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep caches and repositories of the user out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REELSCOPE_WEIGHTS", str(tmp_path_factory.mktemp("weights")))
        patch.setenv("REELSCOPE_REPOSITORY", str(tmp_path_factory.mktemp("repository")))
        paths.isolate_libraries()
        yield


@pytest.fixture(scope="package")
def settings() -> ModelSettings:
    return paths.model_settings(paths.read_profiles(), "cpu", MODEL)


@pytest.fixture(scope="package")
def built(settings: ModelSettings, isolated: None) -> Outcome:
    """The CPU profile's detector with random weights, exported through every step."""
    cache = weights.Cache(paths.weights_folder(), weights.read_manifest())
    return Exporter(paths.repository_folder(), cache, mode="random").export(settings)


@pytest.fixture
def stand_in(built: Outcome) -> StandIn:
    return StandIn(built.file, measures=(Measure("difference", 0.0, 0.0),))


@pytest.fixture
def exporter(tmp_path: Path, stand_in: StandIn) -> Exporter:
    """An exporter over the stand-in, with folders of its own and one checkpoint in its cache."""
    cache = weights.Cache(tmp_path / "weights", weights.read_manifest())
    cache.folder.mkdir()
    (cache.folder / "yolov8n.pt").write_bytes(b"checkpoint")
    return Exporter(tmp_path / "repository", cache, load=lambda name: stand_in)
