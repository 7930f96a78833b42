from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from places import DEMO
from reelscope import settings
from reelscope.embedded import EmbeddedServer
from reelscope.inference import InferenceClient

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="package")
def environment(built_repository, tmp_path_factory):
    """A state folder of our own and the test repository, for this process and its children."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REELSCOPE_REPOSITORY", str(built_repository))
        # The folder is no Python package: what tests/export patched for its own tests holds until the session ends.
        patch.setenv("REELSCOPE_WEIGHTS", str(built_repository.parent / "weights"))
        patch.setenv("REELSCOPE_STATE", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="package")
def server(environment):
    with EmbeddedServer(settings.profile("cpu")) as running:
        yield running


@pytest.fixture(scope="package")
def client(server):
    with InferenceClient(server.grpc_url) as connection:
        yield connection


@pytest.fixture(scope="package")
def cli(environment) -> Cli:
    """Run `reelscope ...` as a user would; nothing but PATH and our own variables in its environment."""

    def run(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
        ours = {name: value for name, value in os.environ.items() if name.startswith("REELSCOPE_")}
        return subprocess.run(
            [str(Path(sys.executable).parent / "reelscope"), *map(str, arguments)],
            capture_output=True,
            text=True,
            env=kept | ours | {"COLUMNS": "160"} | variables,
            check=False,
            timeout=300,
        )

    return run


@pytest.fixture(scope="package")
def demo_results(cli, server, tmp_path_factory) -> Path:
    """results.json of the demo clip, all analyzers."""
    folder = tmp_path_factory.mktemp("demo")
    done = cli("analyze", DEMO, "-o", folder, "--url", server.grpc_url)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "results.json"
