"""The `onnxruntime` backend of the embedded server: Triton's Python backend over the onnxruntime wheel.

It serves models whose config says `backend: "onnxruntime"`, so that one model repository runs unchanged on NVIDIA's
container (native backend, triton-inference-server/onnxruntime_backend) and on the embedded server. It reads the native
backend's settings under their native names (`default_model_filename`, `optimization.graph.level`, accelerators "cuda"
and "tensorrt", and the `parameters` that `ort_session.py` lists), and refuses the configs that the native one refuses.

Where it differs:
- nothing is completed automatically: input and output must be written in the config;
- when a batch of several requests fails, they are run again one by one, so that a bad request fails alone;
- `share_session_between_instances` and the global thread pool have no effect: every instance is a process;
- idle threads do not spin, because several instances share a few cores;
- inputs on the GPU stay there when the config sets FORCE_CPU_ONLY_INPUT_TENSORS to "no", but such requests run one by
  one; outputs are returned in CPU memory;
- refused at load: sequence batching, ragged batches, batch_input and batch_output, custom operators, OpenVINO, BF16.
"""

import json
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils
from ort_contract import disagreements, unserved


class TritonPythonModel:
    """One instance of one model: an onnxruntime session."""

    @staticmethod
    def auto_complete_config(config):
        """Refuse a config without inputs or outputs: this hook is not told where the model file lies."""
        _refuse_incomplete(config.as_dict())
        return config

    def initialize(self, args):
        """Open the session and check the config against the graph; raises with the reason when they disagree."""
        # Only here: the process that runs auto_complete_config alone need not load onnxruntime.
        from ort_session import model_path, open_session, run_options

        config = json.loads(args["model_config"])
        _refuse_incomplete(config)
        self.name = args["model_name"]
        self.batching = config["max_batch_size"] > 0
        device_id = int(args["model_instance_device_id"]) if args["model_instance_kind"] == "GPU" else None
        if problems := unserved(config):
            raise ValueError(f"{self.name}: the embedded onnxruntime backend does not serve {', '.join(problems)}")
        path = model_path(config, self.name, Path(args["model_repository"]) / args["model_version"])
        self.session = open_session(config, self.name, path, device_id)
        self.run_options = run_options(config)
        if problems := disagreements(config, self.session, path.name):
            raise ValueError(f"{self.name}: the config and {path.name} disagree: {'; '.join(problems)}")
        self.outputs = [output["name"] for output in config["output"]]
        # Triton has no rank 0: the config describes a scalar as dims of ones (only without batching).
        self.scalar_inputs = {node.name for node in self.session.get_inputs() if not node.shape and not self.batching}
        self.output_dims = {output["name"]: [int(dim) for dim in output["dims"]] for output in config["output"]}

    def execute(self, requests):
        """Answer every request, each with its own tensors or its own error."""
        responses = [None] * len(requests)
        groups = {}
        for index, request in enumerate(requests):
            tensors = {tensor.name(): tensor for tensor in request.inputs()}
            groups.setdefault(self._group_key(index, tensors), []).append((index, request, tensors))
        for group in groups.values():
            live = []
            for index, request, tensors in group:
                if request.is_cancelled():
                    error = pb_utils.TritonError(f"{self.name}: cancelled", pb_utils.TritonError.CANCELLED)
                    responses[index] = pb_utils.InferenceResponse(error=error)
                else:
                    live.append((index, request, tensors))
            if live:
                self._answer(live, responses)
        return responses

    def finalize(self):
        """Free the session's memory before the process ends."""
        self.session = None

    def _group_key(self, index, tensors):
        # Joining tensors on the GPU would need a second GPU library, so such requests run alone.
        if not self.batching or not all(tensor.is_cpu() for tensor in tensors.values()):
            return index
        return tuple(sorted((name, tuple(tensor.shape()[1:])) for name, tensor in tensors.items()))

    def _answer(self, group, responses):
        try:
            for (index, _, _), response in zip(group, self._run(group), strict=True):
                responses[index] = response
        except Exception as error:
            if len(group) > 1:
                for member in group:
                    self._answer([member], responses)
                return
            invalid = type(error).__name__ in ("InvalidArgument", "ValueError", "UnicodeDecodeError")
            code = pb_utils.TritonError.INVALID_ARG if invalid else pb_utils.TritonError.INTERNAL
            reply = pb_utils.InferenceResponse(error=pb_utils.TritonError(f"{self.name}: {error}", code))
            responses[group[0][0]] = reply

    def _run(self, group):
        wanted = [set(request.requested_output_names()) for _, request, _ in group]
        outputs = [name for name in self.outputs if any(name in names for names in wanted)]
        if len(group) == 1:
            feeds = {name: self._feed(name, tensor) for name, tensor in group[0][2].items()}
        else:
            feeds = {
                name: np.concatenate([self._feed(name, tensors[name]) for _, _, tensors in group])
                for name in group[0][2]
            }
        arrays = dict(zip(outputs, self._session_run(outputs, feeds), strict=True))
        if not self.batching:
            return [self._response(wanted[0], arrays)]
        rows = [next(iter(tensors.values())).shape()[0] for _, _, tensors in group]
        ends = np.cumsum(rows)
        for name, array in arrays.items():
            if array.shape[:1] != (ends[-1],):
                raise RuntimeError(f"output {name} has shape {list(array.shape)}, expected {ends[-1]} rows")
        return [
            self._response(names, {name: array[end - count : end] for name, array in arrays.items()})
            for names, count, end in zip(wanted, rows, ends, strict=True)
        ]

    def _feed(self, name, tensor):
        if not tensor.is_cpu():
            import onnxruntime

            return onnxruntime.OrtValue.from_dlpack(tensor.to_dlpack())
        array = tensor.as_numpy()
        if array.dtype == np.object_:
            array = np.array([text.decode("utf-8") for text in array.flat], dtype=np.object_).reshape(array.shape)
        return array.reshape(()) if name in self.scalar_inputs else array

    def _session_run(self, outputs, feeds):
        if all(isinstance(value, np.ndarray) for value in feeds.values()):
            return self.session.run(outputs, feeds, self.run_options)
        binding = self.session.io_binding()
        for name, value in feeds.items():
            bind = binding.bind_cpu_input if isinstance(value, np.ndarray) else binding.bind_ortvalue_input
            bind(name, value)
        for name in outputs:
            binding.bind_output(name, "cpu")
        self.session.run_with_iobinding(binding, self.run_options)
        return binding.copy_outputs_to_cpu()

    def _response(self, wanted, arrays):
        tensors = []
        for name, array in arrays.items():
            if name not in wanted:
                continue
            if array.dtype == np.object_:
                flat = [text.encode("utf-8") if isinstance(text, str) else text for text in array.flat]
                array = np.array(flat, dtype=np.object_).reshape(array.shape)
            if array.ndim == 0:
                array = array.reshape([1] * len(self.output_dims[name]))
            tensors.append(pb_utils.Tensor(name, array))
        return pb_utils.InferenceResponse(tensors)


def _refuse_incomplete(config):
    if not config.get("input") or not config.get("output"):
        raise ValueError(
            f"{config['name']}: the config must list input and output; config.pbtxt and every configs/*.pbtxt are "
            "full copies, nothing is merged or completed"
        )
