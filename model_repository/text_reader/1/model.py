"""Lines of text in frames: asks the networks of an OCR engine, and does what lies between them.

Parameters of the config:
    engine           auto (EasyOCR's networks where they are served and trained, which each instance asks once a minute,
                     else PP-OCR's), easyocr or ppocr; an engine whose networks are not served is replaced by the other
    frames_per_call  frames that one call of a detector holds
    fill_calls       true: calls are filled up to one number of rows, for GPUs: every new number makes cuDNN plan each
                     convolution anew; false: no row is computed for nothing, as recognition never does
    canvas_px        EasyOCR: frames are searched at this length of their longer side, or their own if that is less
"""

import json
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils
from engines import Engines, NoEngine
from lines import BadFrames
from networks import Caller, Cancelled, NetworkFailed, Networks

_CODES = {Cancelled: "CANCELLED", NoEngine: "UNAVAILABLE", NetworkFailed: "INTERNAL", BadFrames: "INVALID_ARG"}
"""Names of Triton's error codes, which exist once the model is imported."""


class TritonPythonModel:
    """One instance: its engines, and the threads that carry its questions."""

    def initialize(self, args):
        """Read the config's parameters."""
        self.name = args["model_name"]
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        self.frames_per_call = int(parameters["frames_per_call"])
        self.fill_calls = parameters["fill_calls"] == "true"
        self.engines = Engines(parameters, Path(args["model_repository"]).parent)
        self.caller = Caller()

    def execute(self, requests):
        """Answer every request, each with its own lines or its own error."""
        return [self._answer(request) for request in requests]

    def finalize(self):
        """End the threads."""
        self.caller.close()

    def _answer(self, request):
        try:
            outputs = self._read(request)
        except Exception as error:  # whatever one request meets, its neighbours are answered
            code = getattr(pb_utils.TritonError, _CODES.get(type(error), "INTERNAL"))
            message = f"{self.name}: {str(error) or type(error).__name__.lower()}"
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
        wanted = request.requested_output_names()
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(name, array) for name, array in outputs.items() if name in wanted]
        )

    def _read(self, request):
        frames = pb_utils.get_input_tensor_by_name(request, "frames").as_numpy()
        if frames.shape[3] != 3 or 0 in frames.shape[1:]:
            raise BadFrames(f"frames have shape {list(frames.shape)}, expected [frames, height, width, 3]")
        networks = Networks(self.caller, request, self.frames_per_call, self.fill_calls)
        lines = self.engines.choose(networks).read(frames, networks)
        height, width = frames.shape[1:3]
        quads = np.array([line.quad_px for line in lines], np.float64).reshape(-1, 4, 2) / (width, height)
        return {
            "frame_index": np.array([line.frame for line in lines], np.int32),
            "quads": quads.astype(np.float32),
            "texts": _strings(line.text for line in lines),
            "confidences": np.array([line.confidence for line in lines], np.float32),
            "provenance": _strings(networks.provenance),
        }


def _strings(texts):
    return np.array([text.encode() for text in texts], np.object_)
