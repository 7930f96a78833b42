"""docs/add-a-model.md, followed to the letter in a copy of the checkout: its files, its commands, a clip."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from places import CHECKOUT, DEMO

PAGE = CHECKOUT / "docs" / "add-a-model.md"
BLOCK = re.compile(r"^```(?:python|toml|text) (new|in|end)=(\S+)(?: after=((?:\\ |\S)+))?\n(.*?)^```$", re.M | re.S)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of what git knows, with the page's blocks put where they belong."""
    copy = tmp_path_factory.mktemp("checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "client", "ensembles", "export", "model_repository", "server"],
        capture_output=True,
        text=True,
        check=True,
        cwd=CHECKOUT,
    ).stdout.splitlines()
    for name in listed:
        if (CHECKOUT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(CHECKOUT / name, copy / name)
    for how, name, anchor, content in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        file = copy / name
        if how == "new":
            assert not file.exists(), name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
        elif how == "end":
            file.write_text(file.read_text(encoding="utf-8") + content, encoding="utf-8")
        else:
            line = anchor.replace("\\ ", " ") + "\n"
            before = file.read_text(encoding="utf-8")
            assert before.count(line) == 1, (name, line)
            file.write_text(before.replace(line, line + content), encoding="utf-8")
    return copy


@pytest.fixture(scope="module")
def run(checkout, tmp_path_factory):
    """Run a module's command in the copy, as `make` and the entry points do."""
    state = tmp_path_factory.mktemp("state")

    def call(code: str, *arguments: object) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            cwd=checkout,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": f"{checkout / 'client'}:{checkout / 'export'}",
                "REELSCOPE_STATE": str(state),
                "REELSCOPE_WEIGHTS": str(checkout / "weights"),
                "COLUMNS": "160",
            },
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return call


EXPORT = "from reelscope_export.cli import app; app()"
ANALYZE = "from reelscope.cli import app; app()"


def test_the_table_names_every_place():
    """The page's table is what people count on: it names every file that the page then writes or edits."""
    page = PAGE.read_text(encoding="utf-8")
    table = page[: page.index("## 1.")]
    places = {name for _, name, _, _ in BLOCK.findall(page)}
    assert len(places) == 12
    said = set(re.findall("`([^`]+)`", table))
    assert not [name for name in places if not {name, name.removeprefix("client/reelscope/")} & said]


def test_followed_to_the_letter(checkout, run, tmp_path):
    """With random weights nothing is claimed; with a checkpoint in the cache, what it says is."""
    run("import sys; from reelscope_export.configs import main; sys.exit(main([]))")
    assert (checkout / "ensembles" / "light" / "config.pbtxt").is_file()
    said = run(EXPORT, "light_linear", "--weights", "random")
    assert "light_linear" in said

    def analyze() -> dict:
        run(ANALYZE, "analyze", DEMO, "-o", tmp_path, "--only", "light_level")
        return json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["analyzers"]["light_level"]

    untrained = analyze()
    assert untrained["status"] == "ok"
    assert untrained["summary"] == {"bright_ratio": None}
    assert untrained["warnings"] == ["untrained_model:light_linear"]
    # Bright where the mean of the three channels is above a tenth of white: all of the demo but its black frames.
    layer = {"weight": torch.tensor([[0.0] * 3, [100.0] * 3]), "bias": torch.tensor([0.0, -30.0])}
    torch.save(layer, checkout / "weights" / "light.pt")
    assert "trained" in run(EXPORT, "light_linear", "--weights", "trained")
    trained = analyze()
    assert [model["trained"] for model in trained["models"]] == [True]
    assert 0.5 < trained["summary"]["bright_ratio"] <= 1
    assert "LightSummary" in run(ANALYZE, "schema")
