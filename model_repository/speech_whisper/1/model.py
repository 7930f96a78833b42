"""Spoken words: asks Whisper's networks, and does what lies between them.

Everything that a network says depends on its own weights: the texts of its tokens come with the decoder's answer
(`tokenizer`), and its aligning heads are chosen in its graph. So a new version needs nothing beside it, is not confused
with an old one while both serve, and another backend serves it as well.

Requests are answered one by one: all windows of a request are decoded together, but windows of several requests are
not, because Triton hands a model without batches one request at a time. More instances decode side by side.

Parameters of the config:
    temperatures      of one try after the other, until a result is not doubtful
    max_tokens        sampled at most in one try
    max_passes        times that one window is decoded, each from where the last text ended
    steps_per_call    tokens that one request to the decoder asks for; a caller can give up in between
    windows_per_call  windows that are decoded together
    untrained_...     the same for networks whose weights are random: they never stop, and what they say means nothing
"""

import json

import numpy as np
import triton_python_backend_utils as pb_utils
from decoding import Settings
from networks import Cancelled, NetworkFailed, NetworkMissing, Networks
from transcript import Transcriber, UnknownLanguage, Vocabulary
from windows import windows

_CODES = {
    Cancelled: "CANCELLED",
    NetworkFailed: "INTERNAL",
    NetworkMissing: "UNAVAILABLE",
    UnknownLanguage: "INVALID_ARG",
    ValueError: "INVALID_ARG",
}
"""Names of Triton's error codes, which exist once the model is imported."""


class TritonPythonModel:
    """One instance; from request to request it keeps the texts of the tokens."""

    def initialize(self, args):
        """Read the config's parameters."""
        self.name = args["model_name"]
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        self.windows_per_call = int(parameters["windows_per_call"])
        self.settings = {trained: _settings(parameters, trained) for trained in (True, False)}
        self.vocabulary = Vocabulary()
        self.known_provenance = {}

    def execute(self, requests):
        """Answer every request, each with its own words or its own error."""
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        try:
            outputs = self._transcribe(request)
        except Exception as error:  # whatever one request meets, its neighbours are answered
            code = getattr(pb_utils.TritonError, _CODES.get(type(error), "INTERNAL"))
            message = f"{self.name}: {str(error) or type(error).__name__.lower()}"
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
        wanted = request.requested_output_names()
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(name, array) for name, array in outputs.items() if name in wanted]
        )

    def _transcribe(self, request):
        waveform, probabilities, language = (
            pb_utils.get_input_tensor_by_name(request, name).as_numpy()
            for name in ("waveform", "speech_probabilities", "language")
        )
        if len(probabilities) != -(-len(waveform) // 512):
            raise ValueError(f"{len(probabilities)} speech_probabilities for a waveform of {len(waveform)} samples")
        networks = Networks(request)
        transcriber = Transcriber(
            networks,
            self.vocabulary,
            lambda: self.settings[all(json.loads(each)["trained"] for each in networks.provenance.values())],
            language[0].decode(),
        )
        found = windows(waveform, probabilities)
        utterances = []
        for first in range(0, len(found), self.windows_per_call):
            utterances += transcriber.transcribe(found[first : first + self.windows_per_call])
        if not found:
            transcriber.language = ""
        return {**_arrays(transcriber, utterances), "provenance": _strings(self._provenance(networks))}

    def _provenance(self, networks):
        """What the networks say of themselves; where none was asked, what they said last, or when asked for that."""
        if not networks.provenance and not self.known_provenance:
            silence, one = np.zeros((1, 160), np.float32), np.full((1, 1), 160, np.int32)
            self.vocabulary.ask(networks, networks.encode(silence, one, 0 * one))
        self.known_provenance |= networks.provenance
        return [text for _, text in sorted(self.known_provenance.items())]


def _settings(parameters, trained):
    prefix = "" if trained else "untrained_"
    return Settings(
        temperatures=tuple(map(float, parameters[f"{prefix}temperatures"].split())),
        max_tokens=int(parameters[f"{prefix}max_tokens"]),
        max_passes=int(parameters[f"{prefix}max_passes"]),
        steps_per_call=int(parameters["steps_per_call"]),
    )


def _arrays(transcriber, utterances):
    words = [(number, *word) for number, utterance in enumerate(utterances) for word in utterance.words]
    scores = [
        (
            each.result.mean_log_probability,
            each.result.no_speech_probability,
            each.result.compression_ratio,
            each.result.temperature,
        )
        for each in utterances
    ]
    return {
        "detected_language": _strings([transcriber.language]),
        "language_probability": np.array([transcriber.language_probability or 0.0], np.float32),
        "word_texts": _strings([text for _, text, _, _ in words]),
        "word_times_seconds": np.array([times for _, _, times, _ in words], np.float32).reshape(-1, 2),
        "word_probabilities": np.array([chance for *_, chance in words], np.float32),
        "word_utterances": np.array([number for number, *_ in words], np.int32),
        "utterance_texts": _strings([each.text for each in utterances]),
        "utterance_times_seconds": np.array([each.times for each in utterances], np.float32).reshape(-1, 2),
        "utterance_scores": np.array(scores, np.float32).reshape(-1, 4),
    }


def _strings(texts):
    return np.array([text.encode() for text in texts], np.object_)
