"""The same readings by a plain script: upstream libraries, each of which opens and decodes the clip itself.

What a user without this project would write: OpenCV reads the frames, at the rates of the profile, and each library is
used as its documentation shows it, frame by frame. Weights are those of the served models, loaded beforehand. It does
less than the sources here: no tracking, no flash veto, no label probabilities, no exact time stamps.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import scenedetect
import torch
from numpy.typing import NDArray
from skimage.color import rgb2lab

from reelscope.signals import FrameColors, FrameEmbeddings, FrameQuality, ObjectTracks, PointFlow, Shots, Signal
from reelscope.types import fitted_size
from reelscope_export import embedding_clip, object_yolov8

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


def tasks(
    clip: Path, base_rate: Fraction, weights: Mapping[type[Signal], Path], threads: int
) -> dict[type[Signal], Task]:
    """One task per signal that a plain script can read, ready to be timed.

    Args:
        clip: a clip of constant frame rate.
        base_rate: frames per second of the detector; the others follow as the sources' rates do.
        weights: file of weights of every signal that comes from a model.
        threads: of torch.
    """
    found: dict[type[Signal], Task] = {
        Shots: lambda: scenedetect.detect(str(clip), scenedetect.AdaptiveDetector()),
        FrameColors: lambda: [_palette(frame) for frame in shown(clip, base_rate / 2)],
        FrameQuality: lambda: [_quality(frame) for frame in shown(clip, base_rate / 2)],
        PointFlow: lambda: _camera(clip),
    }
    if ObjectTracks in weights:
        detector = object_yolov8.load(weights[ObjectTracks])

        def detect() -> object:
            torch.set_num_threads(threads)  # ultralytics takes one thread less than there are cores
            options = {"imgsz": object_yolov8.SIDE_PX, "rect": False, "device": "cpu", "verbose": False}
            return [detector.predict(frame, **options) for frame in shown(clip, base_rate)]

        found[ObjectTracks] = detect
    if FrameEmbeddings in weights:
        checkpoint = embedding_clip.load(weights[FrameEmbeddings])

        def embed() -> object:
            torch.set_num_threads(threads)
            with torch.no_grad():
                return [_embedding(checkpoint, frame) for frame in shown(clip, base_rate / 4)]

        found[FrameEmbeddings] = embed
    return found


def _embedding(checkpoint: embedding_clip.Checkpoint, frame: Frame) -> object:
    from PIL import Image

    picture = Image.fromarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
    return checkpoint.network.get_image_features(**checkpoint.processor(images=picture, return_tensors="pt"))


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
