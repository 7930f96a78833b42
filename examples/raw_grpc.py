"""Objects in a picture, with the bare gRPC stubs of KServe v2: python examples/raw_grpc.py photo.jpg [localhost:8001].

What any language does with the two .proto files that the stubs are made of: a request of names, shapes and bytes.
"""

import sys

import cv2
import grpc
import numpy as np
from tritonclient.grpc import service_pb2 as kserve
from tritonclient.grpc import service_pb2_grpc

path, url, *_ = (*sys.argv[1:], "localhost:8001")
frames = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)[None]  # uint8 [1,H,W,3]

request = kserve.ModelInferRequest(model_name="detections")
request.inputs.add(name="frames", datatype="UINT8", shape=frames.shape)
request.raw_input_contents.append(frames.tobytes())  # one per input, in their order
for name in ("count", "class_ids", "scores"):  # what is not asked for does not travel
    request.outputs.add(name=name)
with grpc.insecure_channel(url) as channel:
    answer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request)

arrays = {}
for output, content in zip(answer.outputs, answer.raw_output_contents, strict=True):
    arrays[output.name] = np.frombuffer(content, {"FP32": "<f4", "INT32": "<i4"}[output.datatype]).reshape(output.shape)
count = arrays["count"][0, 0]
for class_id, score in zip(arrays["class_ids"][0, :count], arrays["scores"][0], strict=False):
    print(f"class {class_id} {score:.2f}")
print(f"{count} objects")
