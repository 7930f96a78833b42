"""Shared memory between client and server: what a killed client left is given back, a proxy is passed by."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from live import until

from reelscope.errors import InferenceError
from reelscope.inference import InferenceClient
from reelscope.inference.connection import connect

HOLD_WINDOWS = """
import sys, time
from reelscope.inference import InferenceClient
client = InferenceClient(sys.argv[1])
held = [client.allocate(72, 128) for _ in range(3)]
print("held", flush=True)
time.sleep(60)
"""


def regions(server):
    """How many regions the server has mapped."""
    with connect(server.grpc_url) as connection:
        return len(connection.get_system_shared_memory_status().regions)


@pytest.fixture
def tidy(server):
    """The server without windows of clients that other tests killed: whoever allocates next takes them away."""
    with InferenceClient(server.grpc_url) as client:
        client.allocate(72, 128)
    return server


def test_windows_of_a_killed_client_are_unmapped(tidy):
    before = regions(tidy)
    command = [sys.executable, "-c", HOLD_WINDOWS, tidy.grpc_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout.readline() == "held\n"
        assert regions(tidy) == before + 3
        killed.kill()
    with InferenceClient(tidy.grpc_url) as client:
        client.allocate(72, 128)
        assert regions(tidy) <= before + 1
    assert regions(tidy) <= before


def test_memory_of_closed_windows_is_given_back_when_no_more_come(tidy):
    with InferenceClient(tidy.grpc_url) as client:
        before = regions(tidy)
        closed, held = (client.allocate(72, 128) for _ in range(2))
        closed.close()
        client.release_windows()
        assert regions(tidy) == before + 1
        held.array[:] = 7
        assert client.allocate(72, 128).array.shape == (20, 72, 128, 3)


def test_large_arrays_of_a_question_travel_by_shared_memory_that_is_used_again(tidy):
    waveforms = np.random.default_rng(0).normal(0, 0.1, (2, 163840)).astype(np.float32)

    def ask(client):
        return client.ask("sounds", {"waveform": waveforms}, ("probabilities",), 60).result()["probabilities"]

    with InferenceClient(tidy.grpc_url, shared_memory=False) as client:
        inline = ask(client)
        assert not client.uses_shared_memory
    with InferenceClient(tidy.grpc_url) as client:
        before = regions(tidy)
        for _ in range(2):
            np.testing.assert_array_equal(ask(client), inline)
            assert regions(tidy) == before + 1
        with pytest.raises(InferenceError, match="waveform"):
            client.ask("sounds", {"waveform": waveforms[..., None]}, ("probabilities",), 60).result()

        def released():
            client.release_windows()
            return regions(tidy) == before

        until(released, 20)  # Triton lets go of a region after it has answered


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "grpc_proxy"])
def test_a_proxy_in_the_environment_is_passed_by(server, monkeypatch, variable):
    """gRPC would send loopback traffic to it, too."""
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with InferenceClient(server.grpc_url) as client:
        assert client.allocate(72, 128).array.shape == (20, 72, 128, 3)
        assert client.uses_shared_memory
