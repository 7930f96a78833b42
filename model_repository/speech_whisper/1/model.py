"""Spoken words: asks Whisper's networks, and does what lies between them.

Everything that a network says depends on its own weights: the texts of its tokens come with the decoder's answer
(`tokenizer`), and its aligning heads are chosen in its graph. So a new version needs nothing beside it, is not confused
with an old one while both serve, and another backend serves it as well.

A request has one waveform, as a batch of one. Requests that wait are answered together: their windows are decoded
side by side, whosever they are, and each request has its own language, its own error, and its own end when nobody waits
for it any more.

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
from networks import NetworkFailed, NetworkMissing, Networks
from transcript import Cancelled, Clip, Transcriber, UnknownLanguage, Vocabulary
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
        networks, clips = Networks(), [self._clip(request) for request in requests]
        Transcriber(
            networks,
            self.vocabulary,
            lambda: self.settings[all(json.loads(each)["trained"] for each in networks.provenance.values())],
            self.windows_per_call,
        ).transcribe(clips)
        return [self._answer(networks, *pair) for pair in zip(requests, clips, strict=True)]

    def _clip(self, request):
        """What a request asks, or what is wrong with it."""
        try:
            waveform, probabilities, language = (
                pb_utils.get_input_tensor_by_name(request, name).as_numpy()
                for name in ("waveform", "speech_probabilities", "language")
            )
            if len(waveform) != 1:
                raise ValueError(f"{len(waveform)} waveforms in one request; a request has one")
            waveform, probabilities = waveform[0], probabilities[0]
            if len(probabilities) != -(-len(waveform) // 512):
                raise ValueError(f"{len(probabilities)} speech_probabilities for a waveform of {len(waveform)} samples")
            return Clip(windows(waveform, probabilities), language[0, 0].decode(), request.is_cancelled)
        except ValueError as error:
            return Clip([], "", request.is_cancelled, error=ValueError(str(error)))

    def _answer(self, networks, request, clip):
        if clip.error:
            return self._refusal(clip.error)
        try:
            outputs = {**_arrays(clip), "provenance": _strings(self._provenance(networks))}
        except Exception as error:  # whatever one request meets, its neighbours are answered
            return self._refusal(error)
        wanted = request.requested_output_names()
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(name, array[None]) for name, array in outputs.items() if name in wanted]
        )

    def _refusal(self, error):
        code = getattr(pb_utils.TritonError, _CODES.get(type(error), "INTERNAL"))
        message = f"{self.name}: {str(error) or type(error).__name__.lower()}"
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))

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


def _arrays(clip):
    utterances = clip.utterances
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
        "detected_language": _strings([clip.language if clip.windows else ""]),
        "language_probability": np.array([clip.language_probability or 0.0], np.float32),
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
