"""What a picture consists of: python examples/scene_labels.py photo.jpg [localhost:8001]."""

import sys
from pathlib import Path

import cv2
import tritonclient.grpc as triton

path, url, *_ = (*sys.argv[1:], "localhost:8001")
labels = (Path(__file__).parents[1] / "model_repository/segmentation_segformer/labels.txt").read_text().splitlines()

frames = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)[None]  # uint8 [1,H,W,3]
tensor = triton.InferInput("frames", frames.shape, "UINT8")
tensor.set_data_from_numpy(frames)
answer = triton.InferenceServerClient(url).infer("scene_labels", [tensor])

areas = answer.as_numpy("areas")[0]
for label_id in areas.argsort()[:-6:-1]:
    print(f"{labels[label_id]} {areas[label_id]:.1%}")
print(f"in the middle: {labels[answer.as_numpy('label_map')[0, 64, 64]]}")
