"""The ensembles (signals): which models answer, in which order, and what of their answers goes out.

Tensors keep their names from step to step, so that a step reads what an earlier one, or the caller, calls as it does;
`renamed` is for the others. `provenance` is renamed always: it says whose it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reelscope_export.contract import PROVENANCE, Tensor

FRAMES = Tensor("frames", "TYPE_UINT8", (-1, -1, 3))
"""Input of most ensembles: RGB frames of any size, one size per request."""
WAVEFORM = Tensor("waveform", "TYPE_FP32", (-1,))
"""Input of those that hear: 16 kHz mono, full scale +-1."""
ONE_WAVEFORM = Tensor("waveform", "TYPE_FP32", (1, -1))
"""The same of requests that are batched whatever their length: each is a row, as the batching model sees it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One model of an ensemble."""

    model: str
    renamed: Mapping[str, str] = field(default_factory=dict)
    """The model's own name of a tensor to the ensemble's, where they differ."""
    inner: tuple[str, ...] = ()
    """Outputs, by the model's names, that later steps read and the caller does not get."""

    def tensor_name(self, tensor: str) -> str:
        """Name that a tensor of the model has in the ensemble."""
        return self.renamed.get(tensor, f"{self.model}_{tensor}" if tensor == PROVENANCE else tensor)


@dataclass(frozen=True, slots=True)
class Ensemble:
    """One signal: the models that answer a request for it."""

    name: str
    comment: tuple[str, ...]
    """Head comment of the config, line by line."""
    steps: tuple[Step, ...]
    inputs: tuple[Tensor, ...] = (FRAMES,)
    """What the caller sends; dims as in a contract, of batched models where `max_batch_size` is above 0."""
    max_batch_size: int = 32
    """0 where some step has rows of its own, such as faces: dims are then whole shapes."""


ENSEMBLES: tuple[Ensemble, ...] = (
    Ensemble(
        name="detections",
        comment=(
            "Detections: COCO objects in each frame. RGB frames of any size, one size per request.",
            "Tensors as in model_repository/object_yolov8; object_yolov8_provenance says which weights answered.",
        ),
        steps=(Step("object_yolov8"),),
    ),
    Ensemble(
        name="embeddings",
        comment=(
            "Embeddings: CLIP's view of each frame. RGB frames of any size, one size per request.",
            "Tensors as in model_repository/embedding_clip; embedding_clip_provenance says which weights answered.",
        ),
        steps=(Step("embedding_clip"),),
    ),
    Ensemble(
        name="text_regions",
        comment=(
            "Text regions: the lines of text in all frames of a request. RGB frames of any size, one size per request.",
            "Tensors as in model_repository/text_reader; text_reader_provenance says which networks answered.",
        ),
        steps=(Step("text_reader"),),
        inputs=(Tensor("frames", "TYPE_UINT8", (-1, -1, -1, 3)),),
        max_batch_size=0,
    ),
    Ensemble(
        name="poses",
        comment=(
            "Poses: people and their keypoints in each frame. RGB frames of any size, one size per request.",
            "Tensors as in model_repository/pose_yolov8; pose_yolov8_provenance says which weights answered.",
        ),
        steps=(Step("pose_yolov8"),),
    ),
    Ensemble(
        name="scene_labels",
        comment=(
            "Scene labels: ADE20K's label of every part of each frame. RGB frames of any size, one size per request.",
            "Tensors as in model_repository/segmentation_segformer; segmentation_segformer_provenance says which",
            "weights answered.",
        ),
        steps=(Step("segmentation_segformer"),),
    ),
    Ensemble(
        name="crop_embeddings",
        comment=(
            "Crop embeddings: CLIP's view of boxes in the frames of a request, cut out on the server: at least one, at",
            "most as many as embedding_clip's max_batch_size. Tensors as in model_repository/object_crops (inputs) and",
            "model_repository/embedding_clip (outputs), a row for each box.",
        ),
        steps=(
            Step("object_crops", inner=("crops",)),
            Step("embedding_clip", renamed={"frames": "crops"}),
        ),
        inputs=(
            Tensor("frames", "TYPE_UINT8", (-1, -1, -1, 3)),
            Tensor("boxes_xyxy", "TYPE_FP32", (-1, 4)),
            Tensor("frame_index", "TYPE_INT32", (-1,)),
        ),
        max_batch_size=0,
    ),
    Ensemble(
        name="faces",
        comment=(
            "Faces: what is seen in every face of the frames of a request, cut out on the server. RGB frames of any",
            "size, one size per request. Rows are faces, any number, also none; frame_index: the frame of each.",
            "landmarks: points of model_repository/face_landmarks; expression: probabilities of",
            "model_repository/face_expression.",
        ),
        steps=(
            Step("face_detection_scrfd", inner=("boxes_xyxy", "scores", "keypoints", "count")),
            Step("face_crops", inner=("crops_96", "crops_192", "crops_224", "crop_transforms")),
            Step("face_attributes"),
            Step("face_landmarks", renamed={"points": "landmarks"}),
            Step("face_expression", renamed={"probabilities": "expression"}),
        ),
        inputs=(Tensor("frames", "TYPE_UINT8", (-1, -1, -1, 3)),),
        max_batch_size=0,
    ),
    Ensemble(
        name="face_boxes",
        comment=(
            "Face boxes: where faces are in each frame, and nothing more of them. RGB frames of any size, one size per",
            "request. Tensors as in model_repository/face_detection_scrfd; face_detection_scrfd_provenance says which",
            "weights answered.",
        ),
        steps=(Step("face_detection_scrfd"),),
    ),
    Ensemble(
        name="speech_activity",
        comment=(
            "Speech activity: does somebody speak? waveform: one per request, 16 kHz mono, full scale +-1, any length.",
            "Tensors as in model_repository/voice_activity_silero; voice_activity_silero_provenance says which weights",
            "answered.",
        ),
        steps=(Step("voice_activity_silero"),),
        inputs=(ONE_WAVEFORM,),
        max_batch_size=0,
    ),
    Ensemble(
        name="speech",
        comment=(
            "Speech: the words that are spoken, and when. waveform: one per request, 16 kHz mono, full scale +-1, any",
            "length. language: Whisper's code, empty to detect it. Tensors as in model_repository/speech_whisper;",
            "nothing is decoded where voice_activity_silero hears no speech.",
        ),
        # Not an output as well: Triton would not run the step for a caller who does not ask for that one, and give up.
        steps=(Step("voice_activity_silero", inner=("speech_probabilities",)), Step("speech_whisper")),
        inputs=(ONE_WAVEFORM, Tensor("language", "TYPE_STRING", (1, 1))),
        max_batch_size=0,
    ),
    Ensemble(
        name="sounds",
        comment=(
            "Sounds: AudioSet's labels of windows of sound. waveform: 16 kHz mono, full scale +-1, one length per",
            "request, at most 10.24 s. Tensors as in model_repository/sound_events_ast; sound_events_ast_provenance",
            "says which weights answered.",
        ),
        steps=(Step("sound_events_ast"),),
        inputs=(WAVEFORM,),
        max_batch_size=8,
    ),
    Ensemble(
        name="speech_emotions",
        comment=(
            "Speech emotions: how the voice of a piece of speech sounds. waveform: 16 kHz mono, full scale +-1, one",
            "length per request, at most 10 s. Tensors as in model_repository/speech_emotion_wav2vec2;",
            "speech_emotion_wav2vec2_provenance says which weights answered.",
        ),
        steps=(Step("speech_emotion_wav2vec2"),),
        inputs=(WAVEFORM,),
        max_batch_size=8,
    ),
    Ensemble(
        name="understanding",
        comment=(
            "Understanding: JSON answers about a few RGB frames. Tensors as in",
            "model_repository/video_understanding_qwen2vl; video_understanding_qwen2vl_provenance says which weights",
            "answered.",
        ),
        steps=(Step("video_understanding_qwen2vl"),),
        inputs=(
            Tensor("frames", "TYPE_UINT8", (-1, -1, -1, 3)),
            Tensor("task", "TYPE_STRING", (1,)),
            Tensor("context", "TYPE_STRING", (1,)),
        ),
        max_batch_size=8,
    ),
)
"""Every ensemble; each is a folder below `ensembles/`."""
