"""Asking other models of this server (Triton's business logic scripting), and remembering which weights answered."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import triton_python_backend_utils as pb_utils

PROVENANCE = "provenance"
# Requests under way at once: an engine asks for the next frames while it works on the last ones.
_CALLS = 4


class NetworkFailed(Exception):
    """A network did not answer; the message names it and quotes it."""


class Cancelled(Exception):
    """Nobody waits for the answer any more."""


class Caller:
    """Carries requests to other models, in the background; one for the whole process."""

    def __init__(self):
        """Start without threads; they come with the first requests."""
        self._threads = ThreadPoolExecutor(_CALLS)
        # Networks on a GPU would leave their answers there.
        self._on_cpu = pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0)

    def call(self, model, inputs, outputs):
        """Send a request; returns the future of Triton's response."""
        tensors = [pb_utils.Tensor(name, array) for name, array in inputs.items()]
        request = pb_utils.InferenceRequest(
            model_name=model, inputs=tensors, requested_output_names=list(outputs), preferred_memory=self._on_cpu
        )
        return self._threads.submit(request.exec)

    def close(self):
        """End the threads."""
        self._threads.shutdown()


class Networks:
    """What one request may ask of the networks.

    Attributes:
        frames_per_call: frames that one call of a detector may hold.
        provenance: what the networks that answered report of themselves, JSON with the key "model", in order.
    """

    def __init__(self, caller, request, frames_per_call, fill_calls=False):
        """Ask on behalf of `request`."""
        self.frames_per_call = frames_per_call
        self.provenance = []
        self._caller, self._request, self._fill_calls = caller, request, fill_calls

    def submit(self, model, inputs, *outputs, most=0):
        """Ask a network, in the background.

        Args:
            model: its name in the repository.
            inputs: arrays by name, rows first.
            outputs: names of the outputs wanted.
            most: rows that such a call holds at most. Where calls are filled up, empty rows are added until there are
                so many, and what is answered about them is dropped.

        Raises:
            Cancelled: nobody waits for the answer any more.
        """
        self._refuse_cancelled()
        (rows,) = {len(array) for array in inputs.values()}
        if self._fill_calls and rows < most:
            inputs = {name: _filled(array, most) for name, array in inputs.items()}
        return Pending(self, model, self._caller.call(model, inputs, (*outputs, PROVENANCE)), outputs, rows)

    def ask(self, model, inputs, *outputs, most=0):
        """Ask a network and wait; as `submit` and `Pending.result`."""
        return self.submit(model, inputs, *outputs, most=most).result()

    @staticmethod
    def serves(model):
        """Whether a network is loaded."""
        return pb_utils.is_model_ready(model)

    def is_trained(self, model, probe):
        """Whether a network says that its weights are trained; `probe` are small inputs for it."""
        reported = _tensors(model, self._caller.call(model, probe, [PROVENANCE]).result(), [PROVENANCE])
        return json.loads(reported[PROVENANCE].flat[0])["trained"]

    def _received(self, model, response, outputs, rows):
        self._refuse_cancelled()
        arrays = {name: array[:rows] for name, array in _tensors(model, response, (*outputs, PROVENANCE)).items()}
        for text in set(arrays.pop(PROVENANCE).flat):
            named = json.dumps(json.loads(text) | {"model": model}, sort_keys=True)
            if named not in self.provenance:
                self.provenance.append(named)
        return arrays

    def _refuse_cancelled(self):
        if self._request.is_cancelled():
            raise Cancelled


class Pending:
    """An answer that is under way."""

    def __init__(self, networks, model, future, outputs, rows):
        """Wait for `future`, the response of `model`, of which the first rows were asked for."""
        self._networks, self._model, self._future, self._outputs, self._rows = networks, model, future, outputs, rows

    def result(self):
        """Wait for the arrays by name, rows first.

        Raises:
            NetworkFailed: the network did not answer.
            Cancelled: nobody waits for the answer any more.
        """
        return self._networks._received(self._model, self._future.result(), self._outputs, self._rows)


def _filled(array, rows):
    """An array with empty rows added."""
    return np.concatenate((array, np.zeros((rows - len(array), *array.shape[1:]), array.dtype)))


def _tensors(model, response, names):
    if response.has_error():
        raise NetworkFailed(f"{model}: {response.error().message()}")
    return {name: pb_utils.get_output_tensor_by_name(response, name).as_numpy() for name in names}
