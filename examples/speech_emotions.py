"""How a voice sounds: python examples/speech_emotions.py sound.wav [localhost:8001]; 16 kHz, mono, 16 bit."""

import sys
import wave

import numpy as np
import tritonclient.grpc as triton

path, url, *_ = (*sys.argv[1:], "localhost:8001")

with wave.open(path) as file:
    if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (16_000, 1, 2):
        sys.exit(f"{path}: not 16 kHz, mono, 16 bit")
    pcm = np.frombuffer(file.readframes(160_000), "<i2")  # at most 10 s
waveform = pcm.astype(np.float32)[None] / 32768  # [1,n], full scale +-1
tensor = triton.InferInput("waveform", waveform.shape, "FP32").set_data_from_numpy(waveform)
answer = triton.InferenceServerClient(url).infer("speech_emotions", [tensor])

for name in ("arousal", "dominance", "valence"):
    print(f"{name} {answer.as_numpy(name)[0, 0]:.2f}")
