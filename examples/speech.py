"""Words that are spoken, and when: python examples/speech.py sound.wav [localhost:8001]; 16 kHz, mono, 16 bit."""

import sys
import wave

import numpy as np
import tritonclient.grpc as triton

path, url, *_ = (*sys.argv[1:], "localhost:8001")

with wave.open(path) as file:
    if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (16_000, 1, 2):
        sys.exit(f"{path}: not 16 kHz, mono, 16 bit")
    waveform = np.frombuffer(file.readframes(-1), "<i2").astype(np.float32)[None] / 32768  # [1,n], full scale +-1
language = np.array([[b""]], np.object_)  # empty: it is detected
tensors = [
    triton.InferInput("waveform", waveform.shape, "FP32").set_data_from_numpy(waveform),
    triton.InferInput("language", language.shape, "BYTES").set_data_from_numpy(language),
]
answer = triton.InferenceServerClient(url).infer("speech", tensors)

words, times = answer.as_numpy("word_texts")[0], answer.as_numpy("word_times_seconds")[0]
for word, (start, end) in zip(words, times, strict=True):
    print(f"{start:.2f}-{end:.2f} s: {word.decode()}")
print(f"{len(words)} words, language {answer.as_numpy('detected_language')[0, 0].decode() or 'unknown'}")
