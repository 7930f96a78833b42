"""People and their keypoints in a picture: python examples/poses.py photo.jpg [localhost:8001]."""

import sys

import cv2
import tritonclient.grpc as triton

KEYPOINTS = (
    "nose leye reye lear rear lshoulder rshoulder lelbow relbow lwrist rwrist lhip rhip lknee rknee lankle rankle"
)
path, url, *_ = (*sys.argv[1:], "localhost:8001")

frames = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)[None]  # uint8 [1,H,W,3]
tensor = triton.InferInput("frames", frames.shape, "UINT8")
tensor.set_data_from_numpy(frames)
answer = triton.InferenceServerClient(url).infer("poses", [tensor])

count = answer.as_numpy("count")[0, 0]
for score, person in zip(answer.as_numpy("scores")[0, :count], answer.as_numpy("keypoints")[0], strict=False):
    points = zip(KEYPOINTS.split(), person, strict=True)
    seen = [f"{name} {x:.2f} {y:.2f}" for name, (x, y, visible) in points if visible > 0.5]
    print(f"person {score:.2f}: {', '.join(seen) or 'no keypoint is visible'}")
print(f"{count} people")
