"""Text in a picture: python examples/text_regions.py photo.jpg [localhost:8001]."""

import sys

import cv2
import tritonclient.grpc as triton

path, url, *_ = (*sys.argv[1:], "localhost:8001")

frames = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)[None]  # uint8 [1,H,W,3]
tensor = triton.InferInput("frames", frames.shape, "UINT8")
tensor.set_data_from_numpy(frames)
answer = triton.InferenceServerClient(url).infer("text_regions", [tensor])

lines = list(zip(*(answer.as_numpy(name) for name in ("texts", "confidences", "quads")), strict=True))
for text, confidence, quad in lines:
    print(f"{text.decode()} {confidence:.2f}, top left at {quad[0].round(3)}")
print(f"{len(lines)} lines")
