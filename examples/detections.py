"""Objects in a picture: python examples/detections.py photo.jpg [localhost:8001]."""

import sys
from pathlib import Path

import cv2
import tritonclient.grpc as triton

path, url, *_ = (*sys.argv[1:], "localhost:8001")
labels = (Path(__file__).parents[1] / "model_repository/object_yolov8/labels.txt").read_text().splitlines()

frames = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)[None]  # uint8 [1,H,W,3]
tensor = triton.InferInput("frames", frames.shape, "UINT8")
tensor.set_data_from_numpy(frames)
answer = triton.InferenceServerClient(url).infer("detections", [tensor])

count = answer.as_numpy("count")[0, 0]
boxes, scores, class_ids = (answer.as_numpy(name)[0, :count] for name in ("boxes_xyxy", "scores", "class_ids"))
for box, score, class_id in zip(boxes, scores, class_ids, strict=True):
    print(f"{labels[class_id]} {score:.2f} at {box.round(3)}")
print(f"{count} objects, found by {answer.as_numpy('object_yolov8_provenance')[0, 0].decode()}")
