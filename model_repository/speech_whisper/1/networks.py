"""Asking the two networks (Triton's business logic scripting), and remembering which weights answered."""

import json

import numpy as np
import triton_python_backend_utils as pb_utils

ENCODER, DECODER = "speech_whisper_encoder", "speech_whisper_decoder"
PROVENANCE = "provenance"


class NetworkFailed(Exception):
    """A network did not answer; the message names it and quotes it."""


class NetworkMissing(NetworkFailed):
    """A network is not served."""


class Networks:
    """What a batch of requests asks of the networks.

    Attributes:
        provenance: what they report of themselves, JSON with the key "model", by model.
    """

    def __init__(self):
        """Ask on behalf of all requests."""
        self.provenance = {}

    def encode(self, waveform, sample_counts, seek_frames):
        """Ask the encoder; arrays as in its config in, `Cross` out.

        Raises:
            NetworkFailed: it did not answer.
        """
        inputs = {"waveform": waveform, "sample_counts": sample_counts, "seek_frames": seek_frames}
        return Cross(self._ask(ENCODER, inputs, ["cross"])["cross"])

    def decode(self, cross, inputs, outputs):
        """Ask the decoder.

        Args:
            cross: of `encode`.
            inputs: its other inputs, arrays by name.
            outputs: names of the outputs wanted.

        Returns:
            Arrays by name.

        Raises:
            NetworkFailed: it did not answer.
        """
        answer = self._ask(DECODER, {**inputs, "cross": cross.tensor}, outputs)
        return {name: tensor.as_numpy() for name, tensor in answer.items()}

    def _ask(self, model, inputs, outputs):
        request = pb_utils.InferenceRequest(
            model_name=model,
            inputs=[
                pb_utils.Tensor(name, value) if isinstance(value, np.ndarray) else value
                for name, value in inputs.items()
            ],
            requested_output_names=[*outputs, PROVENANCE],
            # Networks on a GPU would leave their answers there.
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
        )
        response = request.exec()
        if response.has_error():
            kind = NetworkFailed if pb_utils.is_model_ready(model) else NetworkMissing
            raise kind(f"{model}: {response.error().message()}")
        text = pb_utils.get_output_tensor_by_name(response, PROVENANCE).as_numpy().flat[0]
        self.provenance[model] = json.dumps(json.loads(text) | {"model": model}, sort_keys=True)
        return {name: pb_utils.get_output_tensor_by_name(response, name) for name in outputs}


class Cross:
    """What the decoder attends to, a row for each window: tens of megabytes, which stay where the encoder put them."""

    def __init__(self, tensor):
        """Hold the encoder's answer."""
        self.tensor = tensor

    @property
    def shape(self):
        """[N, 2L, d, 1500]."""
        return tuple(self.tensor.shape())

    def rows(self, numbers):
        """Some of the rows; all of them cost nothing."""
        if list(numbers) == list(range(self.shape[0])):
            return self
        return Cross(pb_utils.Tensor("cross", np.ascontiguousarray(self.tensor.as_numpy()[list(numbers)])))
