"""Triton configs, and the page of the ensembles' tensors, from `server/profiles.toml` and the models' contracts.

    python -m reelscope_export.configs            write every config
    python -m reelscope_export.configs --check    write nothing; exit 1 and name the files that differ

A profile's config replaces config.pbtxt as a whole (`--model-config-name`), so each is complete: same tensors, other
instances, batching, file and parameters. A network's are ones that NVIDIA's onnxruntime backend understands, a Python
model's its own.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from reelscope_export import ensembles_page, paths, tensorrt_settings
from reelscope_export.contract import Contract, Tensor
from reelscope_export.ensembles import ENSEMBLES, Ensemble, Step
from reelscope_export.paths import ModelSettings
from reelscope_export.registry import ADAPTERS, MODELS, load_module


def generate(profiles: dict[str, dict[str, Any]]) -> dict[Path, str]:
    """Every generated file's text, by its path below the deployment root."""
    served = (*MODELS, *ADAPTERS)
    modules = {model: load_module(model) for model in served}
    contracts = {model: module.CONTRACT for model, module in modules.items()}
    files = {}
    for profile, table in profiles.items():
        for model in served:
            if model in table["models"]:
                settings = paths.model_settings(profiles, profile, model)
                text = model_config(contracts[model], settings, table["description"])
                files[_config_path(settings)] = text + tensorrt_settings.accelerator(profiles, profile, model)
    for ensemble in ENSEMBLES:
        folder = Path("ensembles") / ensemble.name
        files[folder / "config.pbtxt"] = ensemble_config(ensemble, contracts)
        files[folder / "1" / ".gitkeep"] = ""  # Triton refuses an ensemble without a version folder
    docstrings = {model: module.__doc__ or "" for model, module in modules.items()}
    files[ensembles_page.PAGE] = ensembles_page.page(ENSEMBLES, contracts, docstrings)
    return files


def _config_path(settings: ModelSettings) -> Path:
    folder = Path("model_repository") / settings.model
    return folder / "configs" / f"{settings.config_name}.pbtxt" if settings.config_name else folder / "config.pbtxt"


def model_config(contract: Contract, settings: ModelSettings, description: str) -> str:
    """Text of one model's config for one profile."""
    is_graph, built = contract.backend != "python", bool(settings.variant)
    serves = f"{settings.variant}, {settings.precision}" if built else "1/model.py"
    origin = f"Built by export/reelscope_export/{contract.name}.py; written" if built else "Written"
    lines = [
        *_comment(contract.comment),
        f"# Profile {settings.profile}: {description}. Serves {serves}.",
        f"# {origin} by reelscope_export.configs, do not edit.",
        f'name: "{contract.name}"',
        f'backend: "{contract.backend}"',
        f"max_batch_size: {settings.max_batch_size if contract.batched else 0}",
        *([f'default_model_filename: "{settings.model_file}"'] if is_graph else []),
        # A Python model gets requests one by one: those executed together may differ in shape.
        *tensor_lines(
            "input", contract.inputs, "" if is_graph or not contract.batched else " allow_ragged_batch: true"
        ),
        *tensor_lines("output", contract.all_outputs),
        f"instance_group [{{ count: {settings.instance_count} kind: {settings.instance_kind}{_slot(settings)} }}]",
    ]
    lines += _batching(settings, contract.batched)
    if settings.warm_up and is_graph:
        lines += warm_up(contract)
    limit = settings.gpu_mem_limit_mib
    numbers = {
        "intra_op_thread_count": settings.intra_op_thread_count,
        "enable_mem_pattern": settings.enable_mem_pattern,
        "gpu_mem_limit": limit and limit * 2**20,
        "cudnn_conv_algo_search": settings.cudnn_conv_algo_search if is_graph else None,
    }
    parameters = {key: str(int(value)) for key, value in numbers.items() if value is not None}
    if built and not is_graph:
        parameters["model_file"] = settings.model_file
    for key, text in (parameters | dict(settings.parameters)).items():
        lines.append(f'parameters {{ key: "{key}" value: {{ string_value: "{text}" }} }}')
    return "\n".join(lines) + "\n"


def _slot(settings: ModelSettings) -> str:
    """What an execution takes from the rate limiter: one of the GPU's slots, whichever model has the others."""
    if not settings.slot:
        return ""
    resource = f'{{ name: "{settings.slot}" global: true count: 1 }}'
    return f" rate_limiter {{ resources [{resource}] priority: {settings.rate_limiter_priority} }}"


def _batching(settings: ModelSettings, is_batched: bool) -> list[str]:
    """How requests wait; Triton has queues with bounds under this heading also where it batches nothing."""
    queue = {
        "default_timeout_microseconds": settings.queue_timeout_microseconds,
        "max_queue_size": settings.max_queue_size,
    }
    stated = " ".join(f"{key}: {value}" for key, value in queue.items() if value is not None)
    delay = settings.max_queue_delay_microseconds if is_batched else None
    parts = (
        f"max_queue_delay_microseconds: {delay}" if delay is not None else "",
        f"default_queue_policy {{ timeout_action: REJECT {stated} }}" if stated else "",
    )
    return [f"dynamic_batching {{ {' '.join(filter(None, parts))} }}"] if any(parts) else []


def warm_up(contract: Contract) -> list[str]:
    """One row of zeros at the usual size, asked before the model is ready; none where zeros would be refused.

    Without it the first clip pays for what libraries load and compile when they are first used. Triton skips a
    warm-up of batch size 0.
    """
    if any(tensor.name in _OF_A_NETWORK for tensor in contract.inputs):
        return []
    inputs = [f"  {row}" for row in (_warm_input(tensor, contract.batched) for tensor in contract.inputs)]
    return ['model_warmup [{ name: "one_row" batch_size: 1', *inputs, "}]"]


def _warm_input(tensor: Tensor, is_batched: bool) -> str:
    free = _USUAL.get(tensor.name, ())
    row = tensor.dims if is_batched else tensor.dims[1:]
    sizes = iter(free)
    dims = [size if size > 0 else next(sizes) for size in row]
    shape = ", ".join(map(str, dims if is_batched else [abs(tensor.dims[0]), *dims]))
    return (
        f'inputs {{ key: "{tensor.name}" value {{ data_type: {tensor.data_type} dims: [{shape}] zero_data: true }} }}'
    )


_USUAL = {"frames": (1280, 720), "waveform": (160_000,), "lines": (320,)}
"""Sizes of inputs of any size: a frame of an upright clip, 10 s of sound, a line of text."""
_OF_A_NETWORK = ("cross",)
"""Inputs that only another network gives; such a model is warm with the first clip that needs it."""


def ensemble_config(ensemble: Ensemble, contracts: dict[str, Contract]) -> str:
    """Text of one ensemble's config."""
    outputs = [
        Tensor(step.tensor_name(tensor.name), tensor.data_type, (*_rows(ensemble, contracts[step.model]), *tensor.dims))
        for step in ensemble.steps
        for tensor in contracts[step.model].all_outputs
        if tensor.name not in step.inner
    ]
    lines = [
        *_comment(ensemble.comment),
        "# Wiring only; written by reelscope_export.configs, do not edit.",
        f'name: "{ensemble.name}"',
        'platform: "ensemble"',
        f"max_batch_size: {ensemble.max_batch_size}",
        *tensor_lines("input", ensemble.inputs),
        *tensor_lines("output", tuple(outputs)),
        "ensemble_scheduling {",
    ]
    for step in ensemble.steps:
        contract = contracts[step.model]
        lines += ["  step {", f'    model_name: "{step.model}"', "    model_version: -1"]
        lines += _maps("input", step, contract.inputs)
        lines += _maps("output", step, contract.all_outputs)
        lines.append("  }")
    return "\n".join([*lines, "}"]) + "\n"


def _rows(ensemble: Ensemble, contract: Contract) -> tuple[int, ...]:
    """The batch dimension, where the ensemble has to write out what the model leaves to Triton."""
    return (-1,) if contract.batched and not ensemble.max_batch_size else ()


def _maps(side: str, step: Step, tensors: tuple[Tensor, ...]) -> list[str]:
    return [f'    {side}_map {{ key: "{each.name}" value: "{step.tensor_name(each.name)}" }}' for each in tensors]


def _comment(lines: tuple[str, ...]) -> list[str]:
    return [f"# {line}" for line in lines]


def tensor_lines(side: str, tensors: tuple[Tensor, ...], extra: str = "") -> list[str]:
    """A config's inputs or outputs."""
    rows = [
        f'  {{ name: "{tensor.name}" data_type: {tensor.data_type} dims: [{", ".join(map(str, tensor.dims))}]{extra} }}'
        for tensor in tensors
    ]
    return [f"{side} [", *(f"{row}," for row in rows[:-1]), rows[-1], "]"]


def differing(root: Path, files: dict[Path, str]) -> list[Path]:
    """Generated paths below `root` that are missing or hold another text."""
    return [path for path, text in files.items() if not (root / path).is_file() or (root / path).read_text() != text]


def main(arguments: list[str] | None = None) -> int:
    """Write or check the configs of this checkout; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m reelscope_export.configs", description="Triton configs.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file differs")
    check = parser.parse_args(arguments).check
    root = paths.deployment_root()
    files = generate(paths.read_profiles())
    changed = differing(root, files)
    for path in changed:
        print(f"{'differs' if check else 'written'}: {path}")
        if not check:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(files[path])
    return int(check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
