"""Crops of faces: what the networks that judge faces see, cut where the frames are.

A Python model (model_repository/face_crops): OpenCV's `warpAffine` is what InsightFace itself calls, so that a graph
could only be slower and less exact. Oracle: `insightface.utils.face_align.transform` (rotation 0, one and a half times
the box's longer side) and `norm_crop` with image_size=224.

Input   frames           uint8 [N,H,W,3] RGB.
        boxes_xyxy, keypoints, scores, count   as face_detection_scrfd gives them, for the same frames.
Output  frame_index      int32 [F], 0 to N-1, sorted: the frame of each face; F is any number, also 0.
        face_boxes       float32 [F,4], 0-1 of the frame, not clipped.
        face_scores      float32 [F].
        face_keypoints   float32 [F,5,2], 0-1 of the frame.
        crops_96         uint8 [F,96,96,3] RGB, upright; black beyond the frame, as in all crops.
        crops_192        uint8 [F,192,192,3] RGB, upright.
        crops_224        uint8 [F,224,224,3] RGB, aligned to ArcFace's template.
        crop_transforms  float32 [F,2,3], from pixels of crops_192 to 0-1 of the frame.
"""

from __future__ import annotations

from reelscope_export.contract import Contract, Tensor
from reelscope_export.face_detection_scrfd import MAX_COUNT

CONTRACT = Contract(
    name="face_crops",
    comment=(
        "Crops of faces, with OpenCV: no network. frames: RGB, one size; boxes to count: of face_detection_scrfd.",
        "Rows are the faces of all frames. crops_96, crops_192: upright, 1.5 times the box's longer side. crops_224:",
        "aligned to ArcFace's template. crop_transforms: pixels of crops_192 to 0-1 of the frame.",
    ),
    inputs=(
        Tensor("frames", "TYPE_UINT8", (-1, -1, -1, 3)),
        Tensor("boxes_xyxy", "TYPE_FP32", (-1, MAX_COUNT, 4)),
        Tensor("keypoints", "TYPE_FP32", (-1, MAX_COUNT, 5, 2)),
        Tensor("scores", "TYPE_FP32", (-1, MAX_COUNT)),
        Tensor("count", "TYPE_INT32", (-1, 1)),
    ),
    outputs=(
        Tensor("frame_index", "TYPE_INT32", (-1,)),
        Tensor("face_boxes", "TYPE_FP32", (-1, 4)),
        Tensor("face_scores", "TYPE_FP32", (-1,)),
        Tensor("face_keypoints", "TYPE_FP32", (-1, 5, 2)),
        Tensor("crops_96", "TYPE_UINT8", (-1, 96, 96, 3)),
        Tensor("crops_192", "TYPE_UINT8", (-1, 192, 192, 3)),
        Tensor("crops_224", "TYPE_UINT8", (-1, 224, 224, 3)),
        Tensor("crop_transforms", "TYPE_FP32", (-1, 2, 3)),
    ),
    batched=False,
    backend="python",
    provenance_count=0,
)
