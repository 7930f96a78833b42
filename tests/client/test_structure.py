"""The shape of the package: imports point one way, heavy libraries wait, an analyzer costs two places."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from places import CHECKOUT, DEMO

CLIENT = CHECKOUT / "client" / "reelscope"
EXPORT = CHECKOUT / "export" / "reelscope_export"

# A module may import from its own layer's exceptions and from every layer below it.
LAYERS = (
    {"errors"},
    {"types", "settings", "processes", "runs", "driver"},
    {"tracing"},
    {"signals", "inference", "sampler", "sizing"},
    {"decode", "sources", "analyzers", "embedded"},
    {"results", "worker", "rollout", "container"},
    {"schema", "turns", "room"},
    {"pipeline", "exports", "check", "doctor", "reference"},
    {"terminal", "report"},
    {"job"},
    {"models", "operations", "evaluation", "gateway"},
    {"cli"},
)
SOLE_IMPORTERS = {
    "av": "decode",
    "tritonclient": "inference",
    "grpc": "inference",
}


def modules(package: Path) -> dict[str, ast.Module]:
    return {
        str(path.relative_to(package).with_suffix("")).replace("/", "."): ast.parse(path.read_text(encoding="utf-8"))
        for path in package.rglob("*.py")
    }


def imported(tree: ast.Module) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def layer(part: str) -> int:
    return next(k for k, names in enumerate(LAYERS) if part in names)


def test_imports_point_one_way():
    for name, tree in modules(CLIENT).items():
        part = name.split(".")[0]
        if part == "__init__":
            continue
        for target in imported(tree):
            if target.startswith("reelscope."):
                other = target.split(".")[1]
                if other in set().union(*LAYERS) and other != part:
                    assert layer(other) < layer(part), f"{name} imports {target}"


def test_every_module_has_a_layer():
    parts = {name.split(".")[0] for name in modules(CLIENT)} - {"__init__"}
    assert parts == set().union(*LAYERS)


@pytest.mark.parametrize(("library", "owner"), SOLE_IMPORTERS.items())
def test_one_module_per_foreign_library(library, owner):
    users = {
        name.split(".")[0]
        for name, tree in modules(CLIENT).items()
        if library in {target.split(".")[0] for target in imported(tree)}
    }
    assert users == {owner}


@pytest.mark.parametrize(("package", "owner"), [(CLIENT, "settings"), (EXPORT, "paths")])
def test_one_module_reads_the_environment(package, owner):
    users = {
        name
        for name, tree in modules(package).items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
    }
    assert users == {owner}


def test_client_and_export_do_not_know_each_other():
    for package, other in ((CLIENT, "reelscope_export"), (EXPORT, "reelscope")):
        for name, tree in modules(package).items():
            assert other not in {target.split(".")[0] for target in imported(tree)}, name
    for model in (CHECKOUT / "server" / "backends").rglob("*.py"):
        roots = {target.split(".")[0] for target in imported(ast.parse(model.read_text(encoding="utf-8")))}
        assert not roots & {"reelscope", "reelscope_export"}, model


def test_analyzers_are_pure():
    """No I/O, no pixels, no server: analyzers import none of what could do it."""
    forbidden = {"av", "cv2", "os", "pathlib", "reelscope.decode", "reelscope.inference", "reelscope.sources"}
    for name, tree in modules(CLIENT / "analyzers").items():
        # The fit of the camera's motion is OpenCV's; it takes points, never a picture.
        allowed = {"cv2"} if name == "camera_fit" else set()
        assert not imported(tree) & forbidden - allowed, name


def test_importing_reelscope_is_cheap():
    code = "import sys, reelscope; print(sorted({'torch', 'cv2', 'av', 'librosa', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={})
    assert done.stdout.strip() == "[]"


TOY = '''
"""Toy: how long the clip is in shots."""

from dataclasses import dataclass

from reelscope.analyzers.base import Analyzer, Finding, Segment
from reelscope.signals import Shots


@dataclass(frozen=True, slots=True, kw_only=True)
class ToySummary:
    """What the toy found."""

    shot_count: int
    """Shots."""


def analyze(shots: Shots) -> Finding[None, ToySummary]:
    """Count the shots."""
    return Finding(segments=(), summary=ToySummary(shot_count=len(shots.shots)))


ANALYZER = Analyzer(
    name="toy",
    version="1",
    title="counts shots",
    requires=(Shots,),
    data=type(None),
    summary=ToySummary,
    headline=lambda summary: f"{summary.shot_count} shots",
    analyze=analyze,
)
'''


def test_an_analyzer_costs_two_places(tmp_path):
    """Its file, and one line in the registry: command line, results and schema follow."""
    shutil.copytree(CLIENT, tmp_path / "client" / "reelscope")
    shutil.copytree(CHECKOUT / "server", tmp_path / "server")
    analyzers = tmp_path / "client" / "reelscope" / "analyzers"
    (analyzers / "toy.py").write_text(TOY, encoding="utf-8")
    registry = analyzers / "__init__.py"
    text = registry.read_text(encoding="utf-8")
    last = "    cut_analysis.ANALYZER,\n"
    assert last in text
    line = "    __import__('reelscope.analyzers.toy', fromlist=['ANALYZER']).ANALYZER,\n"
    registry.write_text(text.replace(last, last + line), encoding="utf-8")

    def run(*arguments: object) -> str:
        command = [sys.executable, "-c", "from reelscope.cli import app; app()", *map(str, arguments)]
        environment = {"PYTHONPATH": str(tmp_path / "client"), "PATH": "/usr/bin:/bin"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "counts shots" in run("analyzers")
    schema = json.loads(run("schema"))
    assert schema["$defs"]["ToySummary"]["properties"]["shot_count"]["description"] == "Shots."
    assert "9 shots" in run("analyze", DEMO, "-o", tmp_path, "--only", "toy,cut_analysis")
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert results["analyzers"]["toy"]["summary"] == {"shot_count": 9}
    run("check", tmp_path / "results.json")


def test_readme_names_every_model_and_setting():
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    for model in (CHECKOUT / "model_repository").glob("*/config.pbtxt"):
        assert f"| {model.parent.name} |" in readme
    for module in (CLIENT / "settings.py", EXPORT / "paths.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            name = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            if re.fullmatch("(REELSCOPE|TRITON)_[A-Z]+", name):
                assert f"| {name} |" in readme
