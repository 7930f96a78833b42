"""The doctor's look at the model repository and the cache of weights.

What a graph was built from stands in the file; the exporter, which wrote it, is asked to read it, in a process of its
own: client and exporter do not import each other.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reelscope.doctor.checks import Check, folder_bytes, in_words, missing, ok, warning
from reelscope.errors import ReelscopeError
from reelscope.settings import BUILT_SUFFIXES, Profile

_INVENTORY = "reelscope_export.inventory"
_INVENTORY_SECONDS = 20.0


def models(profile: Profile) -> Iterator[Check]:
    """Every model of the profile: configured, built, whole, trained, of today's code; then the cache of weights."""
    from reelscope.embedded.deployment import default_repositories, plan, unbuilt

    repositories = default_repositories()
    files: dict[str, list[Path]] = {}
    for name in profile.models:
        try:
            model, *_ = plan(profile, [name], repositories)
            for absent in unbuilt([model], profile.name).values():
                raise absent
        except ReelscopeError as error:
            # The configs are generated; whatever is wrong with them, writing them again mends it.
            finding = error.finding.removeprefix(f"{name}: ")
            yield missing(name, finding, error.remedy or "python -m reelscope_export.configs")
        else:
            files[name] = [model.folder / version / model.file_name for version in model.versions]
    graphs = [str(file) for built in files.values() for file in built if file.suffix in BUILT_SUFFIXES]
    command = [sys.executable, "-P", "-m", _INVENTORY, profile.name, *graphs]
    asked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_INVENTORY_SECONDS)
    if asked.returncode:
        reason = asked.stderr.strip().rpartition("\n")[2]
        yield warning("models", f"{_INVENTORY} cannot say what they were built from: {reason}")
        return
    inventory = json.loads(asked.stdout)
    for name, built in files.items():
        yield from (_graph(name, file, inventory["graphs"].get(str(file)), profile) for file in built)
    yield _weights(inventory["weights"])


def _graph(name: str, file: Path, graph: dict[str, Any] | None, profile: Profile) -> Check:
    where = f"{file.parent.name}/{file.name}"
    size = in_words(sum(part.stat().st_size for part in file.parent.glob(f"{file.name}*")))
    if file.suffix not in BUILT_SUFFIXES:
        return ok(name, f"{where}, {size}")
    build = f"reelscope-export {name} --profile {profile.name}"
    if graph is None:
        return missing(name, f"{where} is damaged, or reelscope-export did not build it", build)
    said = [f"{where}, {size}"]
    if graph["is_current"] is False:
        said.append("built by other code, libraries or settings than today's")
    if not graph["is_trained"]:
        said.append("random weights: its answers mean nothing")
        build += " --weights trained"
    if len(said) > 1:
        return warning(name, "; ".join(said), build)
    return ok(name, f"{where}, {size}, trained: {graph['source']}")


def _weights(cached: dict[str, Any]) -> Check:
    folder = Path(cached["folder"])
    said = (
        f"{folder}, {in_words(folder_bytes(folder))}: {len(cached['trained'])} trained, {len(cached['random'])} random"
    )
    return ok("weights cache", said)
