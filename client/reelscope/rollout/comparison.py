"""Is a candidate fit to replace the version that serves? Both answer the same made-up inputs on the same server.

Faults always refuse it: other tensors, wrong shapes, not-a-number, provenance that cannot be read, a batch that does
not equal its rows one by one. Objections refuse it unless the operator insists: random weights for trained ones,
smaller batches. How far the two agree is reported, and refuses nothing: a new version is meant to answer differently.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reelscope.errors import ChangeRefused, InferenceError
from reelscope.inference import RepositoryClient, sample_inputs

ANSWER_SECONDS = 120.0
"""Longest that one question may take; a cold GPU compiles for a minute."""
PROVENANCE_KEYS = frozenset(("source", "revision", "sha256", "licence", "precision", "trained"))
"""What every result of an analysis says of a model."""
_TIMED_QUESTIONS = 5
_TOLERANCE = 1e-3
"""Largest difference of equal numbers, relative above 1: FP16 in batches of another size differs by some 1e-4."""
_BATCH_AGREEMENT = 0.99
"""Share of a batch that must equal its rows one by one; near ties may change places. A version in service that does
worse sets the bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One model, asked."""

    model: str
    version: str
    """Version that answered."""
    provenance: dict[str, dict[str, Any]]
    """Provenance output -> what it says; empty for a model without one."""
    p50_seconds: float
    """Median wall time of one row."""
    batch_agreement_ratio: float | None
    """Share of a batch of two that equals its rows one by one, 0-1; None without batching."""
    faults: tuple[str, ...]
    """What is wrong with its answers."""
    config: dict[str, Any]
    """Config that it runs with."""
    outputs: dict[str, NDArray[Any]]
    """Answer to the first row, without provenance."""

    @property
    def is_trained(self) -> bool:
        """Whether no network in it says that its weights are random."""
        return all(stated["trained"] for stated in self.provenance.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The version that serves, and the candidate for its place."""

    serving: Measured
    candidate: Measured
    agreement_ratio: float
    """Share of the outputs' elements that are equal, 0-1."""
    objections: tuple[str, ...]
    """Why the candidate is refused unless the operator insists."""


def compare(client: RepositoryClient, model: str, candidate: str) -> Comparison:
    """Hold a loaded candidate against the model that serves.

    Raises:
        ChangeRefused: the candidate has a fault, which the message names, or the serving version does not answer.
        InferenceError: the candidate does not answer.
    """
    try:
        serving = measure(client, model)
    except InferenceError as error:
        raise ChangeRefused(
            f"{model}: nothing to compare with, the serving version does not answer: {error}"
        ) from error
    _require_same_tensors(serving.config, client.model_config(candidate), model)
    found = measure(client, candidate)
    if found.faults:
        raise ChangeRefused(f"{model}: the candidate's {'; '.join(found.faults)}")
    bound = min(_BATCH_AGREEMENT, 1.0 if serving.batch_agreement_ratio is None else serving.batch_agreement_ratio)
    if found.batch_agreement_ratio is not None and found.batch_agreement_ratio < bound:
        raise ChangeRefused(
            f"{model}: only {found.batch_agreement_ratio:.1%} of a batch of two equals its rows one by one"
        )
    objections = []
    if serving.is_trained and not found.is_trained:
        objections.append("its weights are random, the serving version's are trained")
    rows, serving_rows = (int(each.config.get("max_batch_size", 0)) for each in (found, serving))
    if rows < serving_rows:
        objections.append(f"it takes batches of {rows}, the serving version of {serving_rows}")
    return Comparison(
        serving=serving,
        candidate=found,
        agreement_ratio=agreement(serving.outputs, found.outputs),
        objections=tuple(objections),
    )


def measure(client: RepositoryClient, model: str) -> Measured:
    """Ask a model what a caller would: one row several times, and a batch of two where it takes batches.

    Raises:
        InferenceError: it does not answer.
    """
    config = client.model_config(model)
    names = [item["name"] for item in config["output"]]
    rows = [sample_inputs(config, rows=1, seed=seed) for seed in (0, 1)]
    first = client.ask(model, rows[0], names, ANSWER_SECONDS)
    faults = _faults(config, 1, first.outputs)
    stated = {}
    for name in filter(is_provenance, names):
        try:
            stated[name] = read_provenance(first.outputs.pop(name))
        except ValueError as error:
            faults.append(f"{name}: {error}")
    batch_agreement = None
    if int(config.get("max_batch_size", 0)) >= 2 and not faults:
        second = client.ask(model, rows[1], names, ANSWER_SECONDS).outputs
        batch = {name: np.concatenate([array, rows[1][name]]) for name, array in rows[0].items()}
        together = client.ask(model, batch, names, ANSWER_SECONDS).outputs
        faults = _faults(config, 2, together)
        alone = {name: np.concatenate([array, second[name]]) for name, array in first.outputs.items()}
        batch_agreement = agreement(alone, together)
    seconds = [client.ask(model, rows[0], names, ANSWER_SECONDS).seconds for _ in range(_TIMED_QUESTIONS)]
    return Measured(
        model=model,
        version=first.version,
        provenance=stated,
        p50_seconds=statistics.median(seconds),
        batch_agreement_ratio=batch_agreement,
        faults=tuple(faults),
        config=config,
        outputs=first.outputs,
    )


def is_provenance(output: str) -> bool:
    """Whether an output says which weights answered: a model's own, or a step's in an ensemble."""
    return output == "provenance" or output.endswith("_provenance")


def read_provenance(texts: NDArray[Any]) -> dict[str, Any]:
    """Read a provenance output (JSON, the same in every row).

    Raises:
        ValueError: it is no JSON object, or lacks a key.
    """
    stated = json.loads(texts.flat[0]) if texts.size else None
    if not isinstance(stated, dict):
        raise ValueError(f"{texts.flat[:1]} is no JSON object")
    if missing := PROVENANCE_KEYS - stated.keys():
        raise ValueError(f"{', '.join(sorted(missing))} missing")
    return stated


def agreement(expected: Mapping[str, NDArray[Any]], actual: Mapping[str, NDArray[Any]]) -> float:
    """Share of the elements of `expected` that are the same in `actual`, 0-1; 0 for an output of another shape."""
    equal = total = 0
    for name, wanted in expected.items():
        found = actual[name]
        total += wanted.size
        if found.shape != wanted.shape:
            continue
        if wanted.dtype.kind == "f":
            wanted, found = wanted.astype(np.float64), found.astype(np.float64)
            equal += int((np.abs(found - wanted) <= _TOLERANCE * np.maximum(1, np.abs(wanted))).sum())
        else:
            equal += int((found == wanted).sum())
    return equal / total if total else 1.0


def _faults(config: dict[str, Any], rows: int, outputs: Mapping[str, NDArray[Any]]) -> list[str]:
    found = []
    batch = [rows] if int(config.get("max_batch_size", 0)) else []
    for item in config["output"]:
        array = outputs[item["name"]]
        expected = [*batch, *(int(dim) for dim in item["dims"])]
        fits = array.ndim == len(expected) and all(
            dim in (-1, size) for dim, size in zip(expected, array.shape, strict=True)
        )
        if not fits:
            found.append(f"{item['name']} has shape {list(array.shape)}, expected {expected}")
        elif array.dtype.kind == "f" and not np.isfinite(array).all():
            found.append(f"{item['name']} holds {int((~np.isfinite(array)).sum())} values that are no finite number")
    return found


def _require_same_tensors(serving: dict[str, Any], candidate: dict[str, Any], model: str) -> None:
    for side in ("input", "output"):
        own, other = _tensors(serving, side), _tensors(candidate, side)
        if own != other:
            only = [f"{side} {' '.join(map(str, tensor))} {where}" for tensor, where in _differing(own, other)]
            raise ChangeRefused(f"{model}: other tensors than the serving version's: {'; '.join(only)}")
    if bool(int(serving.get("max_batch_size", 0))) != bool(int(candidate.get("max_batch_size", 0))):
        raise ChangeRefused(f"{model}: one of the serving version and the candidate takes batches, the other does not")


def _tensors(config: dict[str, Any], side: str) -> set[tuple[str, str, tuple[int, ...]]]:
    return {(item["name"], item["data_type"], tuple(int(dim) for dim in item["dims"])) for item in config[side]}


def _differing(own: set[Any], other: set[Any]) -> list[tuple[Any, str]]:
    return [(each, "is gone") for each in sorted(own - other)] + [(each, "is new") for each in sorted(other - own)]
