"""The doctor on a running server."""

from __future__ import annotations

from reelscope import settings


def test_the_running_server_is_found_ready(cli, environment):
    """With random weights, but for PP-OCR's and Silero's, and for models that have none."""
    trained_or_none = ("_ppocr", "_silero", "_crops", "_reader", "speech_whisper")
    untrained = [model for model in settings.profile("cpu").models if not model.endswith(trained_or_none)]
    up = cli("server", "up")
    assert up.returncode == 0, up.stderr
    try:
        done = cli("doctor")
        other = cli("doctor", "--profile", "h200")
    finally:
        cli("server", "down")
    assert done.returncode == 0, done.stdout
    assert "models ready; log " in done.stdout
    assert done.stdout.count("random weights: its answers mean nothing") == len(untrained)
    assert done.stdout.endswith("profile cpu can run\n")
    assert other.returncode == 1
    assert "one with profile cpu; analyze starts another for each job" in other.stdout
    assert "none is running" in cli("doctor").stdout
