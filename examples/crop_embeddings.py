"""What CLIP sees in two parts of a picture: python examples/crop_embeddings.py photo.jpg [localhost:8001]."""

import sys
from pathlib import Path

import cv2
import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import np_to_triton_dtype

path, url, *_ = (*sys.argv[1:], "localhost:8001")
labels = (Path(__file__).parents[1] / "model_repository/embedding_clip/labels.txt").read_text().splitlines()

frames = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)[None]  # uint8 [1,H,W,3]
inputs = {
    "frames": frames,
    "boxes_xyxy": np.array([[0, 0, 0.5, 1], [0.5, 0, 1, 1]], np.float32),  # left and right half, 0-1 of the frame
    "frame_index": np.zeros(2, np.int32),  # both in the first frame
}
tensors = [
    triton.InferInput(name, array.shape, np_to_triton_dtype(array.dtype)).set_data_from_numpy(array)
    for name, array in inputs.items()
]
answer = triton.InferenceServerClient(url).infer("crop_embeddings", tensors)

left, right = answer.as_numpy("embedding")
for side, row in zip(("left", "right"), answer.as_numpy("label_probabilities"), strict=True):
    print(f"{side}: {max(zip(row, labels, strict=True))[1]}")
print(f"cosine similarity of the two: {left @ right:.3f}")
