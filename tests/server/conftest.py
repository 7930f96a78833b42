from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
import tiny_models
import tritonclient.grpc as triton

from reelscope.embedded import EmbeddedServer
from reelscope.settings import Profile

WORKING = ("add", "describe", "frame_sum", "identity", "pick", "scale")


def a_profile(name: str = "test", config_name: str = "", models: tuple[str, ...] = ()) -> Profile:
    return Profile(
        name=name,
        config_name=config_name,
        description="",
        base_frame_rate=Fraction(5),
        model_file="model.onnx",
        models=models,
    )


@pytest.fixture(autouse=True, scope="package")
def state(tmp_path_factory):
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REELSCOPE_STATE", str(folder))
        # Hostile on purpose: none of it may reach the server.
        patch.setenv("LD_LIBRARY_PATH", "/nonexistent/lib")
        patch.setenv("PYTHONHOME", "/nonexistent/python")
        patch.setenv("PYTHONPATH", "/nonexistent/packages")
        yield folder


@pytest.fixture(scope="package")
def repositories(tmp_path_factory) -> tuple[Path, Path]:
    return tiny_models.write_repositories(tmp_path_factory.mktemp("repositories"))


@pytest.fixture(scope="package")
def progress() -> list[tuple[str, str]]:
    return []


@pytest.fixture(scope="package")
def server(repositories, progress):
    with EmbeddedServer(
        a_profile(),
        models=WORKING,
        repositories=repositories,
        on_progress=lambda model, state: progress.append((model, state)),
    ) as running:
        yield running


@pytest.fixture(scope="package")
def client(server):
    with triton.InferenceServerClient(server.grpc_url) as connection:
        yield connection
