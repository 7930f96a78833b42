"""The models of a deployment without Triton: the same graphs, in sessions opened as the server opens them.

What a request costs here is what the networks, and the code between them, cost; what it costs more on a server is
transport and scheduling. Ensembles run step by step; Python models run in this process, on a stand-in for the few
things of `triton_python_backend_utils` that they use.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from reelscope import settings
from reelscope.embedded.deployment import ServedModel

Arrays = Mapping[str, np.ndarray]
Infer = Callable[[Arrays, Iterable[str]], dict[str, np.ndarray]]
"""Inputs by name, and the outputs wanted, to the outputs by name."""


class BareModels:
    """Answers as a server does that serves these models, one request at a time."""

    def __init__(self, models: Iterable[ServedModel]) -> None:
        """Open nothing yet: a model is opened when it is first asked."""
        self._models = {model.name: model for model in models}
        self._opened: dict[str, Infer] = {}

    def infer(self, name: str, inputs: Arrays, outputs: Iterable[str]) -> dict[str, np.ndarray]:
        """Answer a request: the wanted outputs by name."""
        if name not in self._opened:
            self._opened[name] = self._open(self._models[name])
        return self._opened[name](inputs, outputs)

    def _open(self, model: ServedModel) -> Infer:
        if model.steps:
            return self._ensemble(model)
        return self._python(model) if model.config["backend"] == "python" else _graph(model)

    def _ensemble(self, model: ServedModel) -> Infer:
        steps = model.config["ensemble_scheduling"]["step"]

        def run(inputs: Arrays, outputs: Iterable[str]) -> dict[str, np.ndarray]:
            known = dict(inputs)
            for step in steps:
                given = {name: known[tensor] for name, tensor in step["input_map"].items()}
                found = self.infer(step["model_name"], given, step["output_map"])
                known |= {tensor: found[name] for name, tensor in step["output_map"].items()}
            return {name: known[name] for name in outputs}

        return run

    def _python(self, model: ServedModel) -> Infer:
        sys.modules["triton_python_backend_utils"] = self._backend_utils()
        with _importing_from(model.folder / model.versions[-1]):
            served = importlib.import_module("model").TritonPythonModel()
            served.initialize(  # which may import more of the folder
                {
                    "model_name": model.name,
                    "model_config": json.dumps(_as_triton_writes_it(model.config)),
                    "model_repository": str(model.folder),
                    "model_version": model.versions[-1],
                    "model_instance_kind": "GPU" if _is_on_gpu(model) else "CPU",
                    "model_instance_device_id": "0",
                }
            )

        def run(inputs: Arrays, outputs: Iterable[str]) -> dict[str, np.ndarray]:
            tensors = [_Tensor(name, array) for name, array in inputs.items()]
            (response,) = served.execute([_Request(model.name, tensors, list(outputs))])
            if response.has_error():
                raise RuntimeError(response.error().message())
            return {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}

        return run

    def _backend_utils(self) -> Any:
        """A `triton_python_backend_utils` whose requests are answered here."""
        models = self

        class Request(_Request):
            def exec(self) -> _Response:
                inputs = {tensor.name(): tensor.as_numpy() for tensor in self.inputs()}
                found = models.infer(self.model, inputs, self.requested_output_names())
                return _Response([_Tensor(name, array) for name, array in found.items()])

        module: Any = ModuleType("triton_python_backend_utils")
        module.Tensor, module.InferenceRequest, module.InferenceResponse = _Tensor, Request, _Response
        module.TritonError = _Error
        module.PreferredMemory = lambda *_: None
        module.TRITONSERVER_MEMORY_CPU = 0
        module.is_model_ready = lambda name: name in self._models
        module.get_input_tensor_by_name = lambda request, name: _named(request.inputs(), name)
        module.get_output_tensor_by_name = lambda response, name: _named(response.output_tensors(), name)
        return module


def _as_triton_writes_it(config: dict[str, Any]) -> dict[str, Any]:
    """A config whose parameters all have their string: an empty one is left out of what protobuf makes JSON of."""
    parameters = {name: {"string_value": ""} | value for name, value in config.get("parameters", {}).items()}
    return config | {"parameters": parameters}


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Import from a model's folder alone: on a server each has a process of its own, and with it its own `decoding`."""
    names = {file.stem for file in folder.glob("*.py")}
    aside = {name: sys.modules.pop(name) for name in names & sys.modules.keys()}
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in names & sys.modules.keys():
            del sys.modules[name]
        sys.modules.update(aside)


def _is_on_gpu(model: ServedModel) -> bool:
    return any(group["kind"] == "KIND_GPU" for group in model.config["instance_group"])


def _graph(model: ServedModel) -> Infer:
    """A session as the server's backend opens it."""
    backend = str(settings.deployment_root() / "server" / "backends" / "onnxruntime")
    if backend not in sys.path:
        sys.path.append(backend)
    from ort_session import open_session, run_options

    file = model.folder / model.versions[-1] / model.file_name
    device_id = 0 if _is_on_gpu(model) else None
    session, options = open_session(model.config, model.name, file, device_id), run_options(model.config)

    def run(inputs: Arrays, outputs: Iterable[str]) -> dict[str, np.ndarray]:
        names = list(outputs)
        return dict(zip(names, session.run(names, dict(inputs), options), strict=True))

    return run


class _Tensor:
    def __init__(self, name: str, array: np.ndarray) -> None:
        self._name, self._array = name, array

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> np.ndarray:
        return self._array

    def shape(self) -> list[int]:
        return list(self._array.shape)

    def is_cpu(self) -> bool:
        return True


class _Request:
    def __init__(
        self, model_name: str, inputs: list[_Tensor], requested_output_names: list[str], preferred_memory: object = None
    ) -> None:
        self.model, self._inputs, self._outputs = model_name, inputs, requested_output_names

    def inputs(self) -> list[_Tensor]:
        return self._inputs

    def requested_output_names(self) -> list[str]:
        return self._outputs

    def is_cancelled(self) -> bool:
        return False

    def timeout(self) -> int:
        return 0


class _Error(SimpleNamespace):
    CANCELLED, UNAVAILABLE, INTERNAL, INVALID_ARG = range(4)

    def __init__(self, text: str, code: int = INTERNAL) -> None:
        super().__init__(text=text, code=code)

    def message(self) -> str:
        return str(self.text)


class _Response:
    def __init__(self, output_tensors: list[_Tensor] | None = None, error: _Error | None = None) -> None:
        self._tensors, self._error = output_tensors or [], error

    def has_error(self) -> bool:
        return self._error is not None

    def error(self) -> _Error | None:
        return self._error

    def output_tensors(self) -> list[_Tensor]:
        return self._tensors


def _named(tensors: list[_Tensor], name: str) -> _Tensor | None:
    return next((tensor for tensor in tensors if tensor.name() == name), None)
