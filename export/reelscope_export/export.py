"""One model, weights to repository: resolve, build, verify, place; each step only when the one before succeeded."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reelscope_export import fingerprint, paths, write
from reelscope_export.errors import VerificationFailed
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
    report: Report = print
    load: Callable[[str], ModelModule] = load_module

    def export(self, settings: ModelSettings) -> Outcome:
        """Build, verify and place one model as its profile wants it, unless the file in place is up to date.

        Raises:
            WeightsError: the weights cannot be had, or are not the recorded ones.
            VerificationFailed: the graph differs from upstream; the file in place is untouched.
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
        target = self.repository / model / write.VERSION / settings.model_file
        measures: tuple[Measure, ...] = ()
        placed = fingerprint.read_metadata(target)
        if self.mode == "auto" and not self.force and not weights.trained and (trained := _trained(target, placed)):
            self.report(f"{model}: keeping the graph of trained weights that is in place; --weights random replaces it")
            return Outcome(settings, trained, target, False, (), time.monotonic() - started)
        stale = self.force or placed.get(fingerprint.METADATA_KEY) != stamp
        if stale:
            with write.staged(target) as stream:
                self.report(f"{model}: building {variant} {settings.precision}")
                stream.write(self._build(settings, weights, stamp))
                stream.flush()
                self.report(f"{model}: comparing with upstream")
                measures = self._verify(settings, weights, Path(stream.name))
        return Outcome(settings, weights, target, stale, measures, time.monotonic() - started)

    def _build(self, settings: ModelSettings, weights: Weights, stamp: str) -> bytes:
        module = self.load(settings.model)
        from reelscope_export import graph

        built = module.build(weights.file, settings.precision)
        graph.strip_trace(built)
        provenance = graph.Provenance(
            name=settings.variant,
            source=weights.source,
            revision=weights.revision,
            sha256=weights.sha256,
            licence=weights.licence,
            trained=weights.trained,
            precision=settings.precision,
        )
        graph.attach_provenance(built, provenance)
        for key, value in ((fingerprint.METADATA_KEY, stamp), (fingerprint.PROVENANCE_KEY, provenance.to_json())):
            entry = built.metadata_props.add()
            entry.key, entry.value = key, value
        return bytes(built.SerializeToString())

    def _verify(self, settings: ModelSettings, weights: Weights, graph_file: Path) -> tuple[Measure, ...]:
        module = self.load(settings.model)
        from reelscope_export import verify

        verify.require_contract(graph_file, module.CONTRACT)
        _require_labels(settings.model, module.labels(weights.file))
        measures = module.verify(
            graph_file,
            weights.file,
            variant=settings.variant,
            precision=settings.precision,
            trained=weights.trained,
        )
        verify.require(settings.model, measures)
        return measures


def _trained(target: Path, metadata: dict[str, str]) -> Weights | None:
    """The trained weights that a placed graph was built from; None when it was not."""
    provenance = json.loads(metadata.get(fingerprint.PROVENANCE_KEY, "{}"))
    if not provenance.get("trained"):
        return None
    return Weights(
        file=target,
        sha256=provenance["sha256"],
        trained=True,
        source=provenance["source"],
        revision=provenance["revision"],
        licence=provenance["licence"],
    )


def _require_labels(model: str, labels: tuple[str, ...]) -> None:
    """Hold the checkpoint's classes to the committed labels.txt, which every client reads."""
    file = paths.deployment_root() / "model_repository" / model / "labels.txt"
    committed = tuple(file.read_text().splitlines()) if file.is_file() else ()
    if committed != labels:
        raise VerificationFailed(f"{model}: the weights' {len(labels)} classes are not those of {file}")
