"""What the tests share: one export with random weights and one server, both made on first use."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from places import CHECKOUT
from reelscope_export import paths


@pytest.fixture(scope="session", autouse=True)
def weights_cache() -> Iterator[None]:
    """A cache of our own: trained weights of the user must not decide what the tests see."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REELSCOPE_WEIGHTS", str(CHECKOUT / "out" / "test" / "weights"))
        paths.isolate_libraries()
        yield


@pytest.fixture(scope="session")
def built_repository(weights_cache: None) -> Path:
    """A model repository with the cpu profile's models, random weights; kept, and rebuilt only when code changes."""
    from reelscope import settings

    repository = CHECKOUT / "out" / "test" / "model_repository"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REELSCOPE_REPOSITORY", str(repository))
        assert settings.model_repository() == repository, "also copies the committed files"
        command = [Path(sys.executable).parent / "reelscope-export", "--all", "--profile", "cpu", "--weights", "random"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return repository
