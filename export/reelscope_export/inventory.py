"""What is built and what is cached, as JSON for other programs: `python -m reelscope_export.inventory PROFILE FILE...`.

FILE is a built graph, `<model>/<version>/<file>` in a model repository. Nothing is built, loaded, hashed or downloaded.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from reelscope_export import fingerprint, paths
from reelscope_export.errors import ExportError, LibraryMissing
from reelscope_export.weights import LOCK_NAME


@dataclass(frozen=True, slots=True)
class BuiltGraph:
    """A graph that this exporter built, as its metadata describes it."""

    is_trained: bool
    source: str
    """Where its weights came from."""
    is_current: bool | None
    """Whether the same weights would give the same file today; None where the extra `export` is not installed."""


@dataclass(frozen=True, slots=True)
class CachedWeights:
    """The cache of weights."""

    folder: str
    trained: tuple[str, ...]
    """Names of trained checkpoints, sorted."""
    random: tuple[str, ...]
    """Names of files of random weights, sorted."""


def built_graph(file: Path, profile: str) -> BuiltGraph | None:
    """Describe a built graph; None for a file that is damaged, absent, or not of this exporter.

    Raises:
        UsageError: there is no such profile, or it does not serve the model.
    """
    metadata = fingerprint.read_metadata(file)
    weights = fingerprint.recorded_weights(file, metadata)
    if weights is None:
        return None
    settings = paths.model_settings(paths.read_profiles(), profile, file.parent.parent.name)
    try:
        is_current = metadata.get(fingerprint.METADATA_KEY) == fingerprint.fingerprint(settings, weights)
    except LibraryMissing:
        is_current = None
    return BuiltGraph(weights.trained, weights.source, is_current)


def cached_weights(folder: Path) -> CachedWeights:
    """List the cache; empty when there is none."""
    kept = [path.name for path in folder.glob("[!.]*") if path.name not in ("random", "settings", LOCK_NAME)]
    drawn = [path.name for path in (folder / "random").glob("[!.]*")]
    return CachedWeights(str(folder), tuple(sorted(kept)), tuple(sorted(drawn)))


def main(profile: str, files: list[str]) -> int:
    """Print the inventory; returns the exit code."""
    try:
        built = {file: built_graph(Path(file), profile) for file in files}
    except ExportError as exc:
        print(f"{exc.code}: {exc}", file=sys.stderr)
        return exc.exit_code
    graphs = {file: graph and asdict(graph) for file, graph in built.items()}
    print(json.dumps({"graphs": graphs, "weights": asdict(cached_weights(paths.weights_folder()))}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
