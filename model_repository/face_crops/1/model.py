"""The crops of all faces that the detector found in a request's frames, for the networks that judge faces."""

import cv2
import triton_python_backend_utils as pb_utils
from crops import ALIGNED_SIDE_PX, UPRIGHT_SIDES_PX, BadFaces, aligned, collect, cut, to_frame, upright

_INPUTS = ("frames", "boxes_xyxy", "keypoints", "scores", "count")


class TritonPythonModel:
    """One instance; it keeps nothing from request to request."""

    def initialize(self, args):
        """Leave the cores to the networks: crops are small."""
        self.name = args["model_name"]
        cv2.setNumThreads(1)

    def execute(self, requests):
        """Answer every request, each with its own crops or its own error."""
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        if request.is_cancelled():
            return _failed(f"{self.name}: cancelled", pb_utils.TritonError.CANCELLED)
        arrays = [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in _INPUTS]
        try:
            outputs = _outputs(*arrays, wanted=request.requested_output_names())
        except BadFaces as error:
            return _failed(f"{self.name}: {error}", pb_utils.TritonError.INVALID_ARG)
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in outputs.items()])


def _outputs(frames, boxes, keypoints, scores, count, wanted):
    """What is asked for, by name: a deployment without some network needs no crops for it."""
    if frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape[1:]:
        raise BadFaces(f"frames have shape {list(frames.shape)}, expected [frames, height, width, 3]")
    height, width = frames.shape[1:3]
    faces = collect(len(frames), boxes, keypoints, scores, count)
    outputs = {
        "frame_index": faces.frame_index,
        "face_boxes": faces.boxes,
        "face_scores": faces.scores,
        "face_keypoints": faces.keypoints,
        "crop_transforms": to_frame(upright(faces, height, width, UPRIGHT_SIDES_PX[-1]), height, width),
    }
    for side in UPRIGHT_SIDES_PX:
        if f"crops_{side}" in wanted:
            outputs[f"crops_{side}"] = cut(frames, faces.frame_index, upright(faces, height, width, side), side)
    if f"crops_{ALIGNED_SIDE_PX}" in wanted:
        outputs[f"crops_{ALIGNED_SIDE_PX}"] = cut(
            frames, faces.frame_index, aligned(faces, height, width), ALIGNED_SIDE_PX
        )
    return {name: array for name, array in outputs.items() if name in wanted}


def _failed(message, code):
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
