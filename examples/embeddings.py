"""What CLIP sees in a picture: python examples/embeddings.py photo.jpg [localhost:8001]."""

import sys
from itertools import groupby
from pathlib import Path

import cv2
import tritonclient.grpc as triton

path, url, *_ = (*sys.argv[1:], "localhost:8001")
labels = (Path(__file__).parents[1] / "model_repository/embedding_clip/labels.txt").read_text().splitlines()

frames = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)[None]  # uint8 [1,H,W,3]
tensor = triton.InferInput("frames", frames.shape, "UINT8")
tensor.set_data_from_numpy(frames)
answer = triton.InferenceServerClient(url).infer("embeddings", [tensor])

rows = zip(labels, answer.as_numpy("label_probabilities")[0], strict=True)
for group, members in groupby(rows, key=lambda row: row[0].split("/")[0]):
    label, probability = max(members, key=lambda row: row[1])
    print(f"{group}: {label.split('/')[1]} {probability:.2f}")
print(f"embedding, unit length: {answer.as_numpy('embedding')[0, :4].round(3)} ...")
