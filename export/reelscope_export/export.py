"""One model, weights to repository: resolve, build, verify, place; each step only when the one before succeeded."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from reelscope_export import fingerprint, paths, write
from reelscope_export.errors import VerificationFailed, VersionInService
from reelscope_export.paths import ModelSettings
from reelscope_export.registry import ModelModule, load_module
from reelscope_export.weights import Cache, LicencePolicy, Mode, Report, Weights

if TYPE_CHECKING:
    from reelscope_export.verify import Measure


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one model."""

    settings: ModelSettings
    weights: Weights
    file: Path
    built: bool
    """False: the file in place was made from the same weights by the same code."""
    measures: tuple[Measure, ...]
    """Parity with upstream; empty when nothing was built."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Exporter:
    """The folders and choices that one run applies to all models."""

    repository: Path
    cache: Cache
    mode: Mode = "auto"
    policy: LicencePolicy = "any"
    force: bool = False
    candidate: bool = False
    """Build aside, for `reelscope models roll`, instead of in place."""
    report: Report = print
    load: Callable[[str], ModelModule] = load_module

    def export(self, settings: ModelSettings) -> Outcome:
        """Build, verify and place one model as its profile wants it, unless the file in place is up to date.

        Raises:
            WeightsError: the weights cannot be had, or are not the recorded ones.
            VerificationFailed: the graph differs from upstream; the file in place is untouched.
            VersionInService: the file in place is out of date, and versions were rolled here.
            PlacementFailed: the repository cannot be written.
            LibraryMissing: the extra `export` is not installed.
        """
        started = time.monotonic()
        model, variant = settings.model, settings.variant
        weights = self.cache.resolve(
            model,
            variant,
            mode=self.mode,
            policy=self.policy,
            write_random=lambda file: self.load(model).write_random(variant, file),
            recipe=fingerprint.recipe(model)[:12],
        )
        stamp = fingerprint.fingerprint(settings, weights)
        folder = self.repository / model
        serving = write.in_service(folder) / settings.model_file
        target = folder / write.CANDIDATE / settings.model_file if self.candidate else serving
        for file in dict.fromkeys((serving, target)):
            if kept := self._kept(model, file, weights, stamp):
                return Outcome(settings, kept, file, False, (), time.monotonic() - started)
        if target.is_file() and not self.candidate and write.has_history(folder):
            raise VersionInService(
                f"{model}: {target.parent.name}/{target.name} is in service and was built from other weights or code; "
                f"build the next version beside it: reelscope-export {model} --profile {settings.profile} --candidate; "
                f"then: reelscope models roll {model}"
            )
        with write.staged(target) as stream:
            self.report(f"{model}: building {variant} {settings.precision}")
            self._write(settings, weights, stamp, stream)
            self.report(f"{model}: comparing with upstream")
            measures = self._verify(settings, weights, Path(stream.name))
        if self.candidate:
            _copy_served_code(serving.parent, target.parent)
            self.report(f"{model}: nothing serves the candidate yet; reelscope models roll {model}")
        return Outcome(settings, weights, target, True, measures, time.monotonic() - started)

    def _kept(self, model: str, file: Path, weights: Weights, stamp: str) -> Weights | None:
        """The weights that a placed file was built from, if it is to stay; else None."""
        if self.force:
            return None
        placed = fingerprint.read_metadata(file)
        recorded = fingerprint.recorded_weights(file, placed)
        if self.mode == "auto" and not weights.trained and recorded and recorded.trained:
            self.report(f"{model}: keeping the graph of trained weights that is in place; --weights random replaces it")
            return recorded
        return weights if placed.get(fingerprint.METADATA_KEY) == stamp else None

    def _write(self, settings: ModelSettings, weights: Weights, stamp: str, stream: BinaryIO) -> None:
        module = self.load(settings.model)
        from reelscope_export import graph

        provenance = graph.Provenance(
            name=settings.variant,
            source=weights.source,
            revision=weights.revision,
            sha256=weights.sha256,
            licence=weights.licence,
            trained=weights.trained,
            precision=settings.precision,
        )
        metadata = {fingerprint.METADATA_KEY: stamp, fingerprint.PROVENANCE_KEY: provenance.to_json()}
        if module.CONTRACT.backend == "python":
            module.write(weights.file, settings.precision, metadata, Path(stream.name))
            return
        built = module.build(weights.file, settings.precision)
        graph.strip_trace(built)
        graph.attach_provenance(built, provenance, batched=module.CONTRACT.batched)
        for key, value in metadata.items():
            entry = built.metadata_props.add()
            entry.key, entry.value = key, value
        stream.write(built.SerializeToString())
        stream.flush()

    def _verify(self, settings: ModelSettings, weights: Weights, file: Path) -> tuple[Measure, ...]:
        module = self.load(settings.model)
        from reelscope_export import verify

        is_graph = module.CONTRACT.backend != "python"
        if is_graph:
            verify.require_contract(file, module.CONTRACT)
        _require_labels(settings.model, module.labels(weights.file))
        measures = module.verify(
            verify.open_graph(file) if is_graph else module.open_built(file),
            weights.file,
            variant=settings.variant,
            precision=settings.precision,
            trained=weights.trained,
        )
        verify.require(settings.model, measures)
        return measures


def _copy_served_code(serving: Path, candidate: Path) -> None:
    """A version of a Python model is its code and its file."""
    for code in serving.glob("*.py"):
        shutil.copyfile(code, candidate / code.name)


def _require_labels(model: str, labels: tuple[str, ...]) -> None:
    """Hold the checkpoint's classes to the committed ones."""
    if paths.committed_labels(model) != labels:
        file = paths.deployment_root() / "model_repository" / model / "labels.txt"
        raise VerificationFailed(f"{model}: the weights' {len(labels)} classes are not those of {file}")
