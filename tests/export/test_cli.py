"""The command: what it says, its exit codes, and how long it takes to do nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from reelscope_export import fingerprint, paths
from reelscope_export.cli import app
from reelscope_export.errors import WeightsUnavailable
from reelscope_export.export import Exporter, Outcome
from reelscope_export.paths import ModelSettings
from reelscope_export.registry import MODELS


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "160", "TERM": "dumb"})


def test_help_teaches() -> None:
    shown = _run("--help")
    assert shown.exit_code == 0
    for word in (*MODELS, "--all", "--weights", "--licence-policy", "--profile", "REELSCOPE_WEIGHTS", "Exit codes"):
        assert word in shown.output


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "give --all"),
        (("object_yolov8", "--all"), 2, "give --all"),
        (("object_yolov99",), 2, "unknown_model"),
        (("text_reader",), 2, "nothing to build"),
        (("--all", "--profile", "toaster"), 2, "unknown_profile"),
        (("--all", "--weights", "imagined"), 2, "imagined"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], code: int, words: str) -> None:
    result = _run(*arguments)
    assert result.exit_code == code
    assert words in result.output
    assert "Traceback" not in result.output


def test_failure_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELSCOPE_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("reelscope_export.weights.fetch", _no_network)
    result = _run("object_yolov8", "--weights", "trained")
    assert result.exit_code == 1
    assert result.output.startswith("weights_unavailable: yolov8n.pt is not in the cache")
    assert len(result.output.splitlines()) == 1


def _no_network(url: str, target: Path, *, report: object) -> None:
    from reelscope_export.download import Offline

    raise Offline("no network: refused")


def test_one_failure_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each names itself; the exit code is a failure's."""

    def export(self: Exporter, settings: ModelSettings) -> Outcome:
        raise WeightsUnavailable(f"{settings.model}: nothing there")

    monkeypatch.setattr(Exporter, "export", export)
    result = _run("--all", "--weights", "random")
    assert result.exit_code == 1
    built = [model for model in MODELS if model in paths.read_profiles()["cpu"]["models"]]
    assert result.output.splitlines() == [f"weights_unavailable: {model}: nothing there" for model in built]


def test_doing_nothing_is_quick(built: Outcome) -> None:
    """A second run must not import torch; it shows what is in place."""
    environment = {**os.environ, "COLUMNS": "160"}
    command = [
        sys.executable,
        "-c",
        "import sys; from reelscope_export.cli import app\n"
        "try: app()\nfinally: assert not {'torch', 'onnx', 'transformers', 'ultralytics'} & set(sys.modules)",
        built.settings.model,
        "--weights",
        "random",
    ]
    started = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    assert done.returncode == 0, done.stderr
    for word in ("object_yolov8", "yolov8n", "untrained", "cpu.onnx", "unchanged"):
        assert word in done.stdout
    assert seconds < 4, "2 s on an idle machine"


def test_fingerprint_covers_what_the_model_is_made_of() -> None:
    names = {file.name for file in fingerprint.source_files("object_yolov8")}
    assert {"object_yolov8.py", "yolov8_random.py", "letterbox.py", "suppression.py", "graph.py", "verify.py"} <= names
    assert "cli.py" not in names
    names = {file.name for file in fingerprint.source_files("embedding_clip")}
    assert {"embedding_clip.py", "clip_prompts.py", "clip_random.py", "antialias.py", "photographs.py"} <= names
    assert "letterbox.py" not in names


def test_fingerprint_of_foreign_files(tmp_path: Path) -> None:
    assert fingerprint.read_metadata(tmp_path / "absent.onnx") == {}
    foreign = tmp_path / "foreign.onnx"
    foreign.write_bytes(os.urandom(1000))
    assert fingerprint.read_metadata(foreign) == {}


def test_exporter_never_imports_the_client() -> None:
    package = Path(paths.__file__).parent
    for file in package.glob("*.py"):
        assert "import reelscope\n" not in file.read_text()
        assert "from reelscope " not in file.read_text()
        assert "from reelscope." not in file.read_text()
