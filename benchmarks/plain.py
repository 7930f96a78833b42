"""What needs no network, as a plain script measures it with OpenCV, scikit-image and librosa."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.upstream import Frame, Sound, shown
from reelscope.types import fitted_size

IMMERKAER = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


def fitted(frame: Frame, long_side_px: int) -> Frame:
    """A frame scaled down to a longer side."""
    size = fitted_size((frame.shape[1], frame.shape[0]), long_side_px)
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def palette(frame: Frame) -> object:
    """Five colours by k-means in CIELAB."""
    from skimage.color import rgb2lab

    pixels = rgb2lab(fitted(frame, 128)[..., ::-1]).reshape(-1, 3).astype(np.float32)
    labels = np.empty((len(pixels), 1), np.int32)
    return cv2.kmeans(pixels, 5, labels, (3, 30, 0.1), 3, cv2.KMEANS_PP_CENTERS)


def quality(frame: Frame) -> object:
    """Sharpness, noise, clipping, contrast."""
    gray = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), np.uint8)
    sharpness = cv2.Laplacian(fitted(gray, 640), cv2.CV_64F).var()
    noise = np.abs(cv2.filter2D(gray, cv2.CV_32F, IMMERKAER)).mean()
    return sharpness, noise, (gray >= 253).mean(), (gray <= 2).mean(), gray.std()


def composition(frame: Frame) -> object:
    """Edges, straight lines, symmetry, and where the eye is drawn (spectral residual)."""
    gray = cv2.cvtColor(fitted(frame, 320), cv2.COLOR_BGR2GRAY)
    lines = cv2.HoughLinesP(cv2.Canny(gray, 80, 160), 1, np.pi / 180, 60, minLineLength=60, maxLineGap=5)
    mirrored = np.abs(gray.astype(np.int16) - gray[:, ::-1]).mean()
    spectrum = np.fft.fft2(cv2.resize(gray, (64, 64)).astype(np.float32))
    logarithm = np.log(np.abs(spectrum) + 1e-6).astype(np.float32)
    residual = logarithm - cv2.blur(logarithm, (3, 3))
    return lines, mirrored, np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2


def effects(clip: Path) -> object:
    """Brightness, histograms, and differences from frame to frame."""
    grays = (cv2.cvtColor(fitted(frame, 320), cv2.COLOR_BGR2GRAY) for frame in shown(clip, Fraction(1000)))
    return [
        (before.mean(), cv2.calcHist([after], [0], None, [64], [0, 256]), cv2.absdiff(before, after).mean())
        for before, after in itertools.pairwise(grays)
    ]


def camera(clip: Path) -> object:
    """Points followed from frame to frame, forth and back, and a similarity fitted to them."""
    flow: Any = {"winSize": (21, 21), "maxLevel": 4, "nextPts": None}
    motions = []
    frames = (cv2.cvtColor(fitted(frame, 320), cv2.COLOR_BGR2GRAY) for frame in shown(clip, Fraction(1000)))
    for before, after in itertools.pairwise(frames):
        points = cv2.goodFeaturesToTrack(before, 400, 0.01, 8)
        if points is None:
            continue
        there, forth, _ = cv2.calcOpticalFlowPyrLK(before, after, points, **flow)
        back, _, _ = cv2.calcOpticalFlowPyrLK(after, before, there, **flow)
        error = np.abs(back - points).reshape(-1, 2).max(1)
        kept = (forth.ravel() == 1) & (error < 1)
        if kept.sum() >= 8:
            motions.append(
                cv2.estimateAffinePartial2D(points[kept], there[kept], method=cv2.RANSAC, ransacReprojThreshold=1.5)
            )
    return motions


def music(sound: Sound, rate_hz: int) -> object:
    """librosa's features: beats, key, timbre, loudness."""
    import librosa

    return (
        librosa.beat.beat_track(y=sound, sr=rate_hz),
        librosa.feature.chroma_cqt(y=sound, sr=rate_hz),
        librosa.feature.mfcc(y=sound, sr=rate_hz),
        librosa.feature.spectral_centroid(y=sound, sr=rate_hz),
        librosa.feature.spectral_rolloff(y=sound, sr=rate_hz),
        librosa.feature.zero_crossing_rate(sound),
        librosa.feature.rms(y=sound),
    )
