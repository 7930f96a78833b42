"""What is heard in a sound: python examples/sounds.py sound.wav [localhost:8001]; 16 kHz, mono, 16 bit."""

import sys
import wave
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton

path, url, *_ = (*sys.argv[1:], "localhost:8001")

with wave.open(path) as file:
    if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (16_000, 1, 2):
        sys.exit(f"{path}: not 16 kHz, mono, 16 bit")
    pcm = np.frombuffer(file.readframes(163_840), "<i2")  # at most 10.24 s
labels = (Path(__file__).parents[1] / "model_repository/sound_events_ast/labels.txt").read_text().splitlines()
waveform = pcm.astype(np.float32)[None] / 32768  # [1,n], full scale +-1
tensor = triton.InferInput("waveform", waveform.shape, "FP32").set_data_from_numpy(waveform)
answer = triton.InferenceServerClient(url).infer("sounds", [tensor])

probabilities = answer.as_numpy("probabilities")[0]
for label_id in probabilities.argsort()[:-6:-1]:
    print(f"{labels[label_id]} {probabilities[label_id]:.2f}")
