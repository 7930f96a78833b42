"""When somebody speaks: python examples/speech_activity.py sound.wav [localhost:8001]; 16 kHz, mono, 16 bit."""

import sys
import wave

import numpy as np
import tritonclient.grpc as triton

path, url, *_ = (*sys.argv[1:], "localhost:8001")

with wave.open(path) as file:
    if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (16_000, 1, 2):
        sys.exit(f"{path}: not 16 kHz, mono, 16 bit")
    waveform = np.frombuffer(file.readframes(-1), "<i2").astype(np.float32)[None] / 32768  # [1,n], full scale +-1
tensor = triton.InferInput("waveform", waveform.shape, "FP32").set_data_from_numpy(waveform)
answer = triton.InferenceServerClient(url).infer("speech_activity", [tensor])

speaks = answer.as_numpy("speech_probabilities")[0] > 0.5  # one for each 512 samples, 32 ms
edges = np.flatnonzero(np.diff(speaks, prepend=False, append=False)) * 0.032
for start, end in edges.reshape(-1, 2):
    print(f"{start:.2f}-{end:.2f} s")
print(f"speech in {speaks.mean():.0%} of {waveform.size / 16_000:.2f} s")
