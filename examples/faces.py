"""What is seen in the faces of a picture: python examples/faces.py photo.jpg [localhost:8001]."""

import sys
from pathlib import Path

import cv2
import tritonclient.grpc as triton

path, url, *_ = (*sys.argv[1:], "localhost:8001")
labels = (Path(__file__).parents[1] / "model_repository/face_expression/labels.txt").read_text().splitlines()

frames = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)[None]  # uint8 [1,H,W,3]
tensor = triton.InferInput("frames", frames.shape, "UINT8")
tensor.set_data_from_numpy(frames)
answer = triton.InferenceServerClient(url).infer("faces", [tensor])

wanted = ("face_boxes", "age_years", "is_male", "expression")
faces = list(zip(*(answer.as_numpy(name) for name in wanted), strict=True))
for box, age, is_male, expression in faces:
    looks = f"{'man' if is_male else 'woman'} of about {age:.0f}, {labels[expression.argmax()]}"
    print(f"at {box.round(3)}: looks like a {looks}")
print(f"{len(faces)} faces")
