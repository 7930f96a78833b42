"""Video understanding: JSON answers about a few frames, by Qwen2-VL.

Parameters of the config:
    model_file             built file beside this one
    max_frames             frames of a question that are looked at; of more, these are an even sample
    max_prompt_tokens      longer prompts, with their frames, are refused
    intra_op_thread_count  threads of a CPU
    compile_cache          GPU: folder that keeps compiled kernels between loads; "" is the user's cache folder
"""

import json
import os
import time
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils
from questions import Answer, BadQuestion, Cancelled, NotFinite, OutOfMemory, Question

DEFAULT_TASK = "window"
"""Of an empty string, as made-up requests hold it."""
_CODES = {Cancelled: "CANCELLED", BadQuestion: "INVALID_ARG", NotFinite: "INTERNAL", OutOfMemory: "UNAVAILABLE"}
"""Names of Triton's error codes, which exist once the model is imported."""


class TritonPythonModel:
    """One instance: the network and what it may say."""

    def initialize(self, args):
        """Load the network."""
        self.name = args["model_name"]
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        on_gpu = args["model_instance_kind"] == "GPU"
        _set_environment(parameters.get("compile_cache", ""))
        import loading  # only now: torch reads the environment when it is imported

        file = Path(args["model_repository"]) / args["model_version"] / parameters["model_file"]
        self.answerer, self.provenance = loading.load(
            self.name,
            file,
            device=f"cuda:{args['model_instance_device_id']}" if on_gpu else "cpu",
            thread_count=int(parameters.get("intra_op_thread_count", 0)),
            max_frames=int(parameters["max_frames"]),
            max_prompt_tokens=int(parameters["max_prompt_tokens"]),
            max_rows=config["max_batch_size"],
        )

    def execute(self, requests):
        """Answer all requests in one batch, each with its own answers or its own error."""
        asked = [self._questions(request) for request in requests]
        questions = [each for one in asked if isinstance(one, list) for each in one]
        answers = iter(self.answerer.answer(questions))
        responses = []
        for request, one in zip(requests, asked, strict=True):
            found = [next(answers) for _ in one] if isinstance(one, list) else [one]
            responses.append(self._response(request, found))
        return responses

    def _questions(self, request):
        """One question for each row of the request, or what is wrong with it."""
        try:
            frames, tasks, contexts = (
                pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in ("frames", "task", "context")
            )
            return [
                Question(
                    frames[row],
                    tasks[row, 0].decode() or DEFAULT_TASK,
                    contexts[row, 0].decode(),
                    _cancellation(request),
                )
                for row in range(len(frames))
            ]
        except (UnicodeDecodeError, IndexError) as error:
            return BadQuestion(str(error))

    def _response(self, request, found):
        if error := next((each for each in found if not isinstance(each, Answer)), None):
            code = getattr(pb_utils.TritonError, _CODES.get(type(error), "INTERNAL"))
            message = f"{self.name}: {str(error) or type(error).__name__.lower()}"
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
        outputs = {
            "answer": np.array([[each.text.encode()] for each in found], np.object_),
            "frame_count": np.array([[each.frame_count] for each in found], np.int32),
            "token_counts": np.array([[each.prompt_tokens, each.answer_tokens] for each in found], np.int32),
            "seconds": np.array(
                [[each.prepared_seconds, each.first_token_seconds, each.seconds] for each in found], np.float32
            ),
            "provenance": np.array([[self.provenance.encode()]] * len(found), np.object_),
        }
        wanted = request.requested_output_names()
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(name, array) for name, array in outputs.items() if name in wanted]
        )


def _cancellation(request):
    """Whether the request was cancelled or its own timeout is over; a gRPC deadline cancels it."""
    seconds = request.timeout() / 1e6
    until = time.monotonic() + seconds if seconds else float("inf")
    return lambda: request.is_cancelled() or time.monotonic() > until


def _set_environment(compile_cache):
    folder = Path(compile_cache or Path.home() / ".cache" / "reelscope" / "kernels")
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    os.environ.update({"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"})
