"""What each model and ensemble is asked in `benchmarks.perf`: a frame and the sound of the demo clip, and what the
models before make of them."""

from __future__ import annotations

from collections.abc import Iterator

import av
import cv2
import numpy as np

from benchmarks import DEMO
from reelscope.inference import InferenceClient

Inputs = dict[str, np.ndarray]

FRAME_SECONDS = (2.2, 2.6, 4.0, 4.5)
"""The first one shows a line of text, a cat, and somebody speaks."""
SOUND_RATE_HZ = 16_000
PIECE_SECONDS = 2.5
"""Of sound to be named or felt: as long as the client's short windows."""
FACE_POINTS = np.array([[0.34, 0.46], [0.66, 0.46], [0.5, 0.64], [0.37, 0.82], [0.63, 0.82]], np.float32)
"""Eyes, nose and the mouth's corners within the box of a face."""
DECODER_POSITIONS, DECODER_STEPS = 4, 16
_DEADLINE_SECONDS = 120.0


class LeftOut(Exception):
    """There is nothing to ask a model about; the message says why."""


def frames() -> np.ndarray:
    """Frames of the demo clip at FRAME_SECONDS, uint8 [n,H,W,3] RGB."""
    video, found = cv2.VideoCapture(str(DEMO)), []
    for seconds in FRAME_SECONDS:
        video.set(cv2.CAP_PROP_POS_MSEC, 1000 * seconds)
        found.append(cv2.cvtColor(video.read()[1], cv2.COLOR_BGR2RGB))
    return np.array(found)


def waveform() -> np.ndarray:
    """Sound of the demo clip, float32 [1,n], 16 kHz mono."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SOUND_RATE_HZ)
    with av.open(str(DEMO)) as container:
        pieces = [piece.to_ndarray() for frame in container.decode(audio=0) for piece in resampler.resample(frame)]
    return np.concatenate(pieces, axis=1).astype(np.float32)


class DemoInputs:
    """Inputs by model or ensemble; those that a model before makes are asked of the server."""

    def __init__(self, client: InferenceClient) -> None:
        """Decode the demo clip."""
        self._client, self._frames, self._sound = client, frames(), waveform()
        self._answers: dict[str, Inputs] = {}

    def of(self, model: str, tensors: tuple[str, ...]) -> Inputs:
        """Inputs of one request, one row where the model is batched.

        Raises:
            LeftOut: there are none.
        """
        made = getattr(self, f"_{model}", None)
        found = dict(made() if made else self._common(model))
        return {name: found[name] for name in tensors}

    def _common(self, model: str) -> Iterator[tuple[str, np.ndarray]]:
        short = self._sound[:, : round(PIECE_SECONDS * SOUND_RATE_HZ)]
        yield "frames", self._frames[:1]
        yield "waveform", short if model.startswith(("sound", "speech_emotion")) else self._sound
        yield "language", np.array([[b""]], np.object_)
        yield "canvas_px", np.array([[640]], np.int32)

    def _ask(self, model: str, *outputs: str) -> Inputs:
        if model not in self._answers:
            inputs = dict(self._common(model))
            wanted = {"frames"} if outputs[0] != "speech_probabilities" else {"waveform"}
            sent = {name: inputs[name] for name in wanted}
            self._answers[model] = self._client.ask(model, sent, outputs, _DEADLINE_SECONDS).result()
        return self._answers[model]

    def _understanding(self) -> Inputs:
        strings = {name: np.array([[text]], np.object_) for name, text in (("task", b"window"), ("context", b""))}
        return {"frames": self._frames[None], **strings}

    _video_understanding_qwen2vl = _understanding

    def _crop_embeddings(self) -> Inputs:
        found = self._ask("detections", "boxes_xyxy", "count")
        boxes = found["boxes_xyxy"][0, : min(4, found["count"][0, 0])]
        if not len(boxes):
            raise LeftOut("nothing was detected in the frame, so that there is no box to cut out")
        return {"frames": self._frames[:1], "boxes_xyxy": boxes, "frame_index": np.zeros(len(boxes), np.int32)}

    _object_crops = _crop_embeddings

    def _face_crops(self) -> Inputs:
        """The detector's own answer, or four faces given by hand: a network of random weights sees none here."""
        found = dict(self._ask("face_detection_scrfd", "boxes_xyxy", "keypoints", "scores", "count"))
        if not found["count"].any():
            corners = np.array([[0.1, 0.1], [0.6, 0.1], [0.1, 0.5], [0.6, 0.5]], np.float32)
            found = {name: np.zeros_like(array) for name, array in found.items()}
            found["boxes_xyxy"][0, :4] = np.concatenate((corners, corners + 0.3), axis=1)
            found["keypoints"][0, :4] = corners[:, None] + 0.3 * FACE_POINTS
            found["scores"][0, :4], found["count"][0] = 0.9, 4
        return {"frames": self._frames[:1], **found}

    def _cut_faces(self) -> Inputs:
        names = ("crops_96", "crops_192", "crops_224", "crop_transforms")
        if "crops" not in self._answers:
            asked = self._client.ask("face_crops", self._face_crops(), names, _DEADLINE_SECONDS)
            self._answers["crops"] = {name: array[:4] for name, array in asked.result().items()}
        return self._answers["crops"]

    _face_attributes = _face_landmarks = _face_expression = _cut_faces

    def _line(self, height: int, width: int | None) -> np.ndarray:
        """The surest line of text, uint8 [height,w,3], no wider than `width`."""
        found = self._ask("text_regions", "quads", "confidences")
        if not len(found["quads"]):
            raise LeftOut("no text was read in the frame")
        quad = found["quads"][found["confidences"].argmax()] * self._frames.shape[2:0:-1]
        (left, top), (right, bottom) = quad.min(0).astype(int).clip(0), np.ceil(quad.max(0)).astype(int)
        line = self._frames[0, top:bottom, left:right]
        scaled = round(line.shape[1] * height / line.shape[0])
        return cv2.resize(line, (min(scaled, width or scaled), height))

    def _text_orientation_ppocr(self) -> Inputs:
        return self._padded_line(192, 192)

    def _text_recognition_ppocr(self) -> Inputs:
        return self._padded_line(None, 320)

    def _text_recognition_ppocr_short(self) -> Inputs:
        return self._padded_line(320, 320)

    def _padded_line(self, most_px: int | None, least_px: int) -> Inputs:
        """A line of PP-OCR's height, no wider than the one and padded on the right to the other."""
        line = self._line(48, most_px)
        padded = np.pad(line, ((0, 0), (0, max(0, least_px - line.shape[1])), (0, 0)))
        return {"lines": padded[None], "widths": np.array([[line.shape[1]]], np.int32)}

    def _text_recognition_crnn(self) -> Inputs:
        grey = cv2.cvtColor(self._line(64, None), cv2.COLOR_RGB2GRAY)
        return {"lines": np.pad(grey, ((0, 0), (0, -grey.shape[1] % 64)), mode="edge")[None]}

    def _speech_whisper(self) -> Inputs:
        heard = self._ask("voice_activity_silero", "speech_probabilities")
        return dict(self._common("speech_whisper")) | heard

    def _speech_whisper_encoder(self) -> Inputs:
        counts = np.array([[self._sound.shape[1]]], np.int32)
        return {"waveform": self._sound, "sample_counts": counts, "seek_frames": np.zeros((1, 1), np.int32)}

    def _speech_whisper_decoder(self) -> Inputs:
        """DECODER_STEPS tokens behind DECODER_POSITIONS others, whose cache is zeros: the time is that of any other."""
        sent = self._speech_whisper_encoder()
        cross = self._client.ask("speech_whisper_encoder", sent, ("cross",), _DEADLINE_SECONDS).result()["cross"]
        return {
            "tokens": np.array([[50_364]], np.int32),
            "history": np.full((1, 3), -1, np.int32),
            "cache": np.zeros((1, cross.shape[1], DECODER_POSITIONS, cross.shape[2]), np.float32),
            "cross": cross,
            "temperatures": np.zeros(1, np.float32),
            "uniforms": np.zeros((1, DECODER_STEPS), np.float32),
        }
