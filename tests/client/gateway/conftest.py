from __future__ import annotations

import pytest
from gateways import Conducted, gateway


@pytest.fixture
def runner():
    return Conducted()


@pytest.fixture
def root(tmp_path):
    """The root of the gateway, with one file that passes for a clip."""
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(b"no clip, but no process looks at it")
    return folder


@pytest.fixture
def client(tmp_path, root, runner):
    with gateway(tmp_path, runner) as client:
        yield client
