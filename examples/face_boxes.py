"""Where faces are in a picture: python examples/face_boxes.py photo.jpg [localhost:8001]."""

import sys

import cv2
import tritonclient.grpc as triton

path, url, *_ = (*sys.argv[1:], "localhost:8001")

frames = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)[None]  # uint8 [1,H,W,3]
tensor = triton.InferInput("frames", frames.shape, "UINT8")
tensor.set_data_from_numpy(frames)
answer = triton.InferenceServerClient(url).infer("face_boxes", [tensor])

count = answer.as_numpy("count")[0, 0]
boxes, scores = (answer.as_numpy(name)[0, :count] for name in ("boxes_xyxy", "scores"))
for box, score in zip(boxes, scores, strict=True):
    print(f"face {score:.2f} at {box.round(3)}")
print(f"{count} faces")
