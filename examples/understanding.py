"""What happens in a video, as JSON: python examples/understanding.py clip.mp4 [localhost:8001]."""

import sys

import cv2
import numpy as np
import tritonclient.grpc as triton

path, url, *_ = (*sys.argv[1:], "localhost:8001")

video, frames = cv2.VideoCapture(path), []
for number in np.linspace(0, video.get(cv2.CAP_PROP_FRAME_COUNT) - 1, 4).astype(int):
    video.set(cv2.CAP_PROP_POS_FRAMES, number)
    frames.append(cv2.cvtColor(video.read()[1], cv2.COLOR_BGR2RGB))

tensors = [triton.InferInput("frames", (1, len(frames), *frames[0].shape), "UINT8")]  # one video of some frames
tensors[0].set_data_from_numpy(np.array(frames)[None])
for name, text in (("task", b"window"), ("context", b"")):
    tensors.append(triton.InferInput(name, (1, 1), "BYTES").set_data_from_numpy(np.array([[text]], np.object_)))
answer = triton.InferenceServerClient(url).infer("understanding", tensors)

print(answer.as_numpy("answer")[0, 0].decode())
