"""docs/ensembles.md: every tensor that a caller of an ensemble sends or gets, from the contracts and their modules.

Types and sizes come from the contracts; names of sizes and meanings from the table of inputs and outputs that every
model's module opens with, which is held to the contract here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from reelscope_export import paths
from reelscope_export.contract import PROVENANCE, Contract, Tensor
from reelscope_export.ensembles import Ensemble
from reelscope_export.errors import UsageError

PAGE = Path("docs/ensembles.md")

Described = Mapping[str, tuple[tuple[str, ...], str]]
"""Shape and meaning of a model's tensors, by name."""

_TYPES = {"TYPE_UINT8": "uint8", "TYPE_INT32": "int32", "TYPE_FP32": "float32", "TYPE_STRING": "STRING"}
_ROW = re.compile(r"(?:Input|Output|) {2,8}(\w+) +(uint8|int32|float32|STRING) \[([^]]+)\][ ,.:]*(.*)")
_CONTINUED = " " * 9
_WEIGHTS = "which weights answered, as JSON"
_HEAD = """# Ensembles: what a program sends and gets

<!-- written by make configs from export/reelscope_export -->

Every ensemble answers over gRPC, and over HTTP where the server has it on, by the [KServe v2
protocol](https://github.com/kserve/open-inference-protocol). `STRING` is UTF-8, `BYTES` in the protocol's words. A
letter in a shape is a size that a request or its answer decides; N counts frames, or waveforms. An output that is not
asked for does not travel. `<model>_provenance` is JSON: name, source, revision, sha256, licence, precision, and whether
the weights are trained: what untrained weights say has the right shape and no meaning.
"""


def page(ensembles: tuple[Ensemble, ...], contracts: Mapping[str, Contract], docstrings: Mapping[str, str]) -> str:
    """The page's text; `docstrings` are those of the models' modules.

    Raises:
        UsageError: a docstring does not describe a tensor, or contradicts the contract.
    """
    sections = (
        "\n".join(_section(each, contracts, docstrings)) for each in sorted(ensembles, key=lambda each: each.name)
    )
    return "\n".join([_HEAD, *sections])


def _section(ensemble: Ensemble, contracts: Mapping[str, Contract], docstrings: Mapping[str, str]) -> Iterator[str]:
    example = Path("examples") / f"{ensemble.name}.py"
    client = f"Client: [`{example}`](../{example})." if (paths.deployment_root() / example).is_file() else ""
    batching = (
        f"A request has up to {ensemble.max_batch_size} rows; Triton batches requests."
        if ensemble.max_batch_size
        else "Requests are answered one by one; shapes are whole."
    )
    yield f"## {ensemble.name}\n\n{' '.join(ensemble.comment)}\n"
    yield f"Models: {', '.join(f'`{step.model}`' for step in ensemble.steps)}. {batching} {client}".rstrip() + "\n"
    yield "| | tensor | type | shape | meaning |\n|---|---|---|---|---|"
    for row in sorted(_rows(ensemble, contracts, docstrings), key=lambda row: row[0] != "in"):
        yield f"| {' | '.join(row)} |"
    yield ""


def _rows(
    ensemble: Ensemble, contracts: Mapping[str, Contract], docstrings: Mapping[str, str]
) -> Iterator[tuple[str, ...]]:
    shapes: dict[str, tuple[str, ...]] = {}
    for step in ensemble.steps:
        contract = contracts[step.model]
        table = described(contract, docstrings[step.model])
        # A model counts its rows by a letter of its own; here they are the rows of what the step before gave.
        first = contract.inputs[0].name
        own = table[first][0][0]
        rows = shapes.get(step.tensor_name(first), (own,))[0]
        for side, tensors in (("in", contract.inputs), ("out", contract.all_outputs)):
            for tensor in tensors:
                name = step.tensor_name(tensor.name)
                if name in shapes:
                    continue
                (leading, *others), meaning = table[tensor.name]
                shapes[name] = (rows if leading == own else leading, *others)
                if tensor.name not in step.inner:
                    shape = f"[{','.join(shapes[name])}]"
                    labels = f"[labels.txt](../model_repository/{step.model}/labels.txt)"
                    said = meaning.replace("|", "\\|").replace("labels.txt", labels)
                    yield side, f"`{name}`", _TYPES[tensor.data_type], shape, said


def described(contract: Contract, docstring: str) -> Described:
    """Shape and meaning of every tensor of a model, by the table in its module's docstring.

    Raises:
        UsageError: a tensor is missing there, or has another type or size.
    """
    found: dict[str, tuple[str, tuple[str, ...], str]] = {}
    name = ""
    for line in docstring.splitlines():
        if entry := _ROW.match(line):
            name, data_type, sizes, meaning = entry.groups()
            found[name] = (data_type, tuple(size.strip() for size in sizes.split(",")), meaning)
        elif name and line.startswith(_CONTINUED):
            found[name] = (*found[name][:2], f"{found[name][2]} {line.strip()}")
        else:
            name = ""
    table = {}
    for tensor in (*contract.inputs, *contract.outputs):
        if tensor.name in found:
            data_type, shape, meaning = found[tensor.name]
            table[tensor.name] = _sizes(contract, tensor, data_type, shape), meaning
    if undescribed := [tensor.name for tensor in contract.outputs if tensor.name not in table]:
        raise UsageError(f"{contract.name}.py: the docstring does not describe {', '.join(undescribed)}")
    count = "any" if contract.provenance_count < 0 else str(contract.provenance_count)
    rows = (table[contract.inputs[0].name][0][0],) if contract.batched else ()
    return {**table, PROVENANCE: ((*rows, count), _WEIGHTS)}


def _sizes(contract: Contract, tensor: Tensor, data_type: str, shape: tuple[str, ...]) -> tuple[str, ...]:
    """Sizes as the contract has them, letters where it leaves them open."""
    dims = (-1, *tensor.dims) if contract.batched else tensor.dims
    fits = len(dims) == len(shape) and all(
        dim < 0 or size == str(dim) or size.isalpha() for dim, size in zip(dims, shape, strict=True)
    )
    if data_type != _TYPES[tensor.data_type] or not fits:
        stated = f"{data_type} [{','.join(shape)}]"
        raise UsageError(f"{contract.name}.py: the docstring says {tensor.name} is {stated}; the contract: {tensor}")
    return tuple(size if dim < 0 else str(dim) for dim, size in zip(dims, shape, strict=True))
