"""Spoken words: what is said in a waveform and when, by Whisper's networks, where Silero hears speech.

A Python model (model_repository/speech_whisper/1) that asks speech_whisper_encoder and speech_whisper_decoder and does
what lies between them; it has no weights of its own. A request has one waveform; several requests are decoded
together. Oracle: `whisper.transcribe` with condition_on_previous_text=False and word_timestamps=True.

Input   waveform              float32 [1,n], 16 kHz mono, full scale +-1, any length.
        speech_probabilities  float32 [1,ceil(n / 512)], as voice_activity_silero gives them.
        language              STRING [1,1], Whisper's code, e.g. en; empty to detect it.
Output  detected_language        STRING [1,1], what was asked for, or detected; empty where nobody speaks.
        language_probability     float32 [1,1], of that language; 0 where nobody speaks.
        word_texts               STRING [1,w], UTF-8, without white space around them; w is any number, also 0.
        word_times_seconds       float32 [1,w,2], start and end, 0.2 s beyond the speech at most.
        word_probabilities       float32 [1,w], 0-1.
        word_utterances          int32 [1,w], the utterance of each word, sorted.
        utterance_texts          STRING [1,u].
        utterance_times_seconds  float32 [1,u,2].
        utterance_scores         float32 [1,u,4]: mean log-probability of the tokens; probability that nobody speaks;
                                 length over compressed length; temperature of the sampling.
"""

from __future__ import annotations

from reelscope_export.contract import Contract, Tensor

CONTRACT = Contract(
    name="speech_whisper",
    comment=(
        "Spoken words, by Whisper's networks, where Silero hears speech. waveform: one per request, 16 kHz mono, full",
        "scale +-1, any length. speech_probabilities: of voice_activity_silero. language: Whisper's code, or empty.",
        "word_utterances: the utterance of each word. utterance_scores: mean log-probability, no-speech probability,",
        "compression ratio, temperature. provenance: one JSON per network that answered; its key model names it.",
    ),
    inputs=(
        Tensor("waveform", "TYPE_FP32", (-1,)),
        Tensor("speech_probabilities", "TYPE_FP32", (-1,)),
        Tensor("language", "TYPE_STRING", (1,)),
    ),
    outputs=(
        Tensor("detected_language", "TYPE_STRING", (1,)),
        Tensor("language_probability", "TYPE_FP32", (1,)),
        Tensor("word_texts", "TYPE_STRING", (-1,)),
        Tensor("word_times_seconds", "TYPE_FP32", (-1, 2)),
        Tensor("word_probabilities", "TYPE_FP32", (-1,)),
        Tensor("word_utterances", "TYPE_INT32", (-1,)),
        Tensor("utterance_texts", "TYPE_STRING", (-1,)),
        Tensor("utterance_times_seconds", "TYPE_FP32", (-1, 2)),
        Tensor("utterance_scores", "TYPE_FP32", (-1, 4)),
    ),
    backend="python",
    provenance_count=-1,
)
