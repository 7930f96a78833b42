"""The same readings by a plain script: upstream libraries, each of which opens and decodes the clip itself.

What a user without this project would write: OpenCV reads the frames, at the rates of the profile, and each library is
used as its documentation shows it, frame by frame. Weights are those of the served models, loaded beforehand. It does
less than the sources here: no tracking, no flash veto, no label probabilities, no exact time stamps.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import scenedetect
import torch
from numpy.typing import NDArray
from skimage.color import rgb2lab

from reelscope.signals import (
    Faces,
    FrameColors,
    FrameEmbeddings,
    FrameQuality,
    ObjectTracks,
    PointFlow,
    Poses,
    SceneLabels,
    Shots,
    Signal,
    TextRegions,
)
from reelscope.types import fitted_size
from reelscope_export import embedding_clip
from reelscope_export.registry import load_module

Task = Callable[[], object]
Frame = NDArray[np.uint8]

IMMERKAER = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


def shown(clip: Path, rate: Fraction) -> Iterator[Frame]:
    """BGR frames of a clip of constant frame rate at k/rate seconds; those between are not converted."""
    capture = cv2.VideoCapture(str(clip))
    frame_rate = Fraction(capture.get(cv2.CAP_PROP_FPS)).limit_denominator(1001)
    wanted = 0
    for index in itertools.count():
        if not capture.grab():
            break
        if Fraction(index) / frame_rate >= wanted / rate:
            wanted += 1
            yield capture.retrieve()[1]
    capture.release()


def tasks(clip: Path, base_rate: Fraction, weights: Mapping[str, Path], threads: int) -> dict[type[Signal], Task]:
    """One task per signal that a plain script can read, ready to be timed.

    Args:
        clip: a clip of constant frame rate.
        base_rate: frames per second of the detector; the others follow as the sources' rates do.
        weights: file of weights of every model that answered, by its name in the repository.
        threads: of torch.
    """
    found: dict[type[Signal], Task] = {
        Shots: lambda: scenedetect.detect(str(clip), scenedetect.AdaptiveDetector()),
        FrameColors: lambda: [_palette(frame) for frame in shown(clip, base_rate / 2)],
        FrameQuality: lambda: [_quality(frame) for frame in shown(clip, base_rate / 2)],
        PointFlow: lambda: _camera(clip),
    }
    for signal, make, model, divisor in (
        (ObjectTracks, _detector, "object_yolov8", 1),
        (Poses, _detector, "pose_yolov8", 1),
        (FrameEmbeddings, _embedder, "embedding_clip", 4),
        (SceneLabels, _segmenter, "segmentation_segformer", 4),
        (Faces, _face_analysis, "face_detection_scrfd", 1),
        (TextRegions, _reader, "text_detection_ppocr", 2),
    ):
        if model in weights:
            look = make(weights, model)

            def run(look: Callable[[Frame], object] = look, rate: Fraction = base_rate / divisor) -> object:
                torch.set_num_threads(threads)  # ultralytics takes one thread less than there are cores
                with torch.no_grad():
                    return [look(frame) for frame in shown(clip, rate)]

            found[signal] = run
    return found


def _detector(weights: Mapping[str, Path], model: str) -> Callable[[Frame], object]:
    detector = load_module(model).load(weights[model])  # type: ignore[attr-defined]
    options = {"imgsz": 640, "rect": False, "device": "cpu", "verbose": False}
    return lambda frame: detector.predict(frame, **options)


def _embedder(weights: Mapping[str, Path], model: str) -> Callable[[Frame], object]:
    checkpoint = embedding_clip.load(weights[model])
    return lambda frame: _embedding(checkpoint, frame)


def _segmenter(weights: Mapping[str, Path], model: str) -> Callable[[Frame], object]:
    from transformers import SegformerForSemanticSegmentation, SegformerImageProcessor

    folder = weights[model].parent
    network = SegformerForSemanticSegmentation.from_pretrained(folder).eval()
    processor = SegformerImageProcessor.from_pretrained(folder)
    return lambda frame: network(**processor(images=_picture(frame), return_tensors="pt")).logits.argmax(1)


def _face_analysis(weights: Mapping[str, Path], model: str) -> Callable[[Frame], object]:
    """InsightFace's own pipeline, and the expression of every face's aligned crop."""
    import onnxruntime
    from insightface.app import FaceAnalysis
    from insightface.utils import face_align

    root = Path(tempfile.mkdtemp())
    pack = root / "models" / "pack"
    pack.mkdir(parents=True)
    for name in (model, "face_attributes", "face_landmarks"):
        (pack / weights[name].name).symlink_to(weights[name])
    analysis = FaceAnalysis(name="pack", root=str(root), providers=["CPUExecutionProvider"])
    analysis.prepare(ctx_id=-1, det_size=(640, 640))
    expression = onnxruntime.InferenceSession(str(weights["face_expression"]), providers=["CPUExecutionProvider"])

    def look(frame: Frame) -> object:
        faces = analysis.get(frame)
        for face in faces:
            crop = face_align.norm_crop(frame, face.kps, image_size=224)[..., ::-1]
            pixels = (crop / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
            expression.run(None, {expression.get_inputs()[0].name: pixels.transpose(2, 0, 1)[None].astype(np.float32)})
        return faces

    return look


def _reader(weights: Mapping[str, Path], model: str) -> Callable[[Frame], object]:
    from rapidocr import RapidOCR

    return RapidOCR(params={"Global.log_level": "critical"})


def _picture(frame: Frame) -> Any:
    from PIL import Image

    return Image.fromarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))


def _embedding(checkpoint: embedding_clip.Checkpoint, frame: Frame) -> object:
    return checkpoint.network.get_image_features(**checkpoint.processor(images=_picture(frame), return_tensors="pt"))


def _fitted(frame: Frame, long_side_px: int) -> Frame:
    size = fitted_size((frame.shape[1], frame.shape[0]), long_side_px)
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)


def _palette(frame: Frame) -> object:
    """Five colours by k-means in CIELAB."""
    pixels = rgb2lab(_fitted(frame, 128)[..., ::-1]).reshape(-1, 3).astype(np.float32)
    return cv2.kmeans(pixels, 5, None, (3, 30, 0.1), 3, cv2.KMEANS_PP_CENTERS)


def _quality(frame: Frame) -> object:
    """Sharpness, noise, clipping, contrast."""
    gray = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    sharpness = cv2.Laplacian(_fitted(gray, 640), cv2.CV_64F).var()
    noise = np.abs(cv2.filter2D(gray, cv2.CV_32F, IMMERKAER)).mean()
    return sharpness, noise, (gray >= 253).mean(), (gray <= 2).mean(), gray.std()


def _camera(clip: Path) -> object:
    """Points followed from frame to frame, forth and back, and a similarity fitted to them."""
    flow = {"winSize": (21, 21), "maxLevel": 4}
    motions = []
    frames = (cv2.cvtColor(_fitted(frame, 320), cv2.COLOR_BGR2GRAY) for frame in shown(clip, Fraction(1000)))
    for before, after in itertools.pairwise(frames):
        points = cv2.goodFeaturesToTrack(before, 400, 0.01, 8)
        if points is None:
            continue
        there, forth, _ = cv2.calcOpticalFlowPyrLK(before, after, points, None, **flow)
        back, back_found, _ = cv2.calcOpticalFlowPyrLK(after, before, there, None, **flow)
        error = np.abs(back - points).reshape(-1, 2).max(1)
        kept = (forth.ravel() == 1) & (back_found.ravel() == 1) & (error < 1)
        if kept.sum() >= 8:
            motions.append(
                cv2.estimateAffinePartial2D(points[kept], there[kept], method=cv2.RANSAC, ransacReprojThreshold=1.5)
            )
    return motions
