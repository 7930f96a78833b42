"""What only trained weights can show. Without them these tests are skipped, and named in tests/not_run.txt.

The weights are taken from the user's own cache, where `reelscope-export` left them; nothing is downloaded for a test.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import SequenceMatcher
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
import torch

import clips
import speech
from masks import decoded, iou
from places import CHECKOUT, USER_WEIGHTS
from reelscope import pipeline, settings
from reelscope.analyzers.disfluencies import plain
from reelscope.analyzers.edit_distance import edit_distance
from reelscope.embedded import EmbeddedServer
from reelscope.inference import InferenceClient
from reelscope.results import Results
from reelscope.signals import KEYPOINTS
from reelscope_export import paths, weights
from reelscope_export.download import Offline
from reelscope_export.errors import LicenceRefused, WeightsUnavailable
from reelscope_export.export import Exporter

HEIGHT, WIDTH, RATE = 720, 1280, 30
STEP_PX = 4
"""How far a pasted picture moves per frame."""

FACE_MODELS = ("face_detection_scrfd", "face_crops", "face_attributes", "face_landmarks", "face_expression")
SPEECH_MODELS = ("voice_activity_silero", "speech_whisper_encoder", "speech_whisper_decoder", "speech_whisper")
VIDEO_MODELS = ("video_understanding_qwen2vl",)
"""Served on a GPU only; a CPU has a stand-in that nobody has trained."""
MODELS = {
    "age_estimation": FACE_MODELS,
    "audio_environment": ("voice_activity_silero", "sound_events_ast"),
    "background_segmentation": ("segmentation_segformer",),
    "body_pose": ("pose_yolov8", "object_yolov8"),
    "face_emotion": FACE_MODELS,
    "object_detection": ("object_yolov8",),
    "product_detection": ("object_yolov8", "object_crops", "embedding_clip"),
    "qwen2_vl_temporal": VIDEO_MODELS,
    "scene_segmentation": ("embedding_clip",),
    "speech_emotion": ("voice_activity_silero", "speech_emotion_wav2vec2"),
    "speech_rate": SPEECH_MODELS,
    "speech_transcription": SPEECH_MODELS,
}
LIVELY = (
    "I can not believe that we won the game today",
    "Come over here and look at this right now",
    "That was the best concert of my whole life",
    "Nobody told me that you were coming home",
    "We are going to the beach with all our friends",
)
SEEN = ("nose", "left_shoulder", "right_shoulder")
Analyze = Callable[[Path, str], Results]


@pytest.fixture(scope="module")
def analyze(environment: None) -> Analyze:
    """Run one analyzer on a clip, with the trained models that it needs; skips the test where there are none."""

    def run(clip: Path, analyzer: str) -> Results:
        models = MODELS[analyzer]
        repository = CHECKOUT / "out" / "test" / "trained_repository"
        cache = weights.Cache(USER_WEIGHTS, weights.read_manifest())
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("REELSCOPE_REPOSITORY", str(repository))
            patch.setattr(weights, "fetch", _refuse)
            profile = settings.profile("h200" if models == VIDEO_MODELS else "cpu")
            if profile.needs_gpu and not torch.cuda.is_available():
                pytest.skip(f"profile {profile.name} needs a GPU")
            try:
                exporter = Exporter(settings.model_repository(), cache, mode="trained")
                for model in models:
                    exporter.export(paths.model_settings(paths.read_profiles(), profile.name, model))
            except (WeightsUnavailable, LicenceRefused) as error:
                pytest.skip(str(error))
            with EmbeddedServer(profile, models=models) as server, InferenceClient(server.grpc_url) as client:
                return pipeline.analyze(clip, analyzers=pipeline.select([analyzer]), profile=profile, client=client)

    return run


def _refuse(url: str, *_: object, **__: object) -> None:
    raise Offline(f"tests do not download {url}")


@pytest.mark.parametrize(("photograph", "crop", "label"), [("chelsea", None, "cat"), ("coffee", (18, 173), "cup")])
def test_a_moving_cat_and_cup_are_one_track_each(analyze, tmp_path, photograph, crop, label):
    """ANALYZERS.md 2: class in 95 % of the frames, speed of the centre +-5 %, no identity switched."""
    top, left = crop or (0, 0)
    picture = getattr(skimage.data, photograph)()[top : top + 300, left : left + 400]
    background = cv2.GaussianBlur(clips.texture(3, HEIGHT, WIDTH), (0, 0), 9)
    frames = []
    for k in range(2 * RATE):
        frame = background.copy()
        x, y = 60 + STEP_PX * k, (HEIGHT - picture.shape[0]) // 2
        frame[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
        frames.append(frame)
    results = analyze(clips.write(tmp_path / "moving.mp4", frames, rate=RATE, crf=18), "object_detection")
    (segment,) = [found for found in results.analyzers["object_detection"].segments if found.label == label]
    assert segment.data.screen_time_seconds >= 0.95 * results.media.duration_seconds
    assert segment.data.speed_percent_width_per_second == pytest.approx(100 * STEP_PX * RATE / WIDTH, rel=0.05)


def test_texture_holds_no_objects(analyze, tmp_path):
    """ANALYZERS.md 2: at most 0.1 detections per frame."""
    clip = clips.write(tmp_path / "texture.mp4", clips.pan(5, 60, height=HEIGHT, width=WIDTH))
    found = analyze(clip, "object_detection").analyzers["object_detection"]
    boxes = sum(len(segment.data.boxes.times_seconds) for segment in found.segments)
    assert boxes <= 0.1 * found.inputs.sample_count


def test_photographs_of_two_places_are_three_scenes(analyze, tmp_path):
    """ANALYZERS.md 11: A A' B B' A'' has exactly two boundaries."""
    first, second = skimage.data.astronaut(), skimage.data.coffee()
    views = [(first, 0), (first, 60), (second, 0), (second, 80), (first, 110)]
    frames: list[np.ndarray] = []
    for photograph, x in views:
        view = cv2.resize(photograph[:380, x : x + 400], (640, 608), interpolation=cv2.INTER_AREA)
        frames += [view] * (2 * RATE)
    found = analyze(clips.write(tmp_path / "places.mp4", frames, rate=RATE), "scene_segmentation")
    assert len(found.shots) == len(views)
    scenes = found.analyzers["scene_segmentation"].segments
    assert [len(scene.data.shot_ids) for scene in scenes] == [2, 2, 1]


def test_a_cup_of_coffee_is_a_product(analyze, tmp_path):
    """ANALYZERS.md 22: cup or mug among the first three."""
    view = cv2.resize(skimage.data.coffee(), (960, 640), interpolation=cv2.INTER_AREA)
    clip = clips.write(tmp_path / "coffee.mp4", [view] * (2 * RATE), rate=RATE, crf=18)
    found = analyze(clip, "product_detection").analyzers["product_detection"]
    (cup,) = [each for each in found.segments if each.data.category.label in ("cup", "cup or mug", "coffee or tea")]
    assert {"cup or mug", "coffee or tea"} & {candidate.label for candidate in cup.data.candidates}
    assert found.summary.in_first_3s is True


def test_texture_holds_no_products(analyze, tmp_path):
    """ANALYZERS.md 22."""
    clip = clips.write(tmp_path / "texture.mp4", clips.pan(5, 60, height=HEIGHT, width=WIDTH))
    found = analyze(clip, "product_detection").analyzers["product_detection"]
    assert found.segments == ()
    assert found.summary.products == ()


def _portrait(size: int, x: int = 400) -> np.ndarray:
    """A photograph of a woman to the waist, `size` px wide, on grey."""
    frame = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    y = (HEIGHT - size) // 2
    frame[y : y + size, x : x + size] = cv2.resize(skimage.data.astronaut(), (size, size), interpolation=cv2.INTER_AREA)
    return frame


def test_the_pose_of_a_photograph(analyze, tmp_path):
    """ANALYZERS.md 5: nose and shoulders with more than 0.5; the photograph 5 px further, the keypoints 5 +-1 px."""
    keypoints = []
    for x in (400, 405):
        clip = clips.write(tmp_path / f"{x}.mp4", [_portrait(512, x)] * RATE, rate=RATE, crf=18)
        found = analyze(clip, "body_pose").analyzers["body_pose"]
        assert found.summary.persons_max == 1
        assert found.summary.framing in ("half", "head")
        (person,) = [segment for segment in found.segments if segment.label == "person"]
        assert person.track_id is not None
        keypoints.append(np.array(person.data.keypoints[-1])[[KEYPOINTS.index(name) for name in SEEN]])
    assert (np.array(keypoints)[..., 2] > 0.5).all()
    moved = (keypoints[1] - keypoints[0])[:, :2] * (WIDTH, HEIGHT)
    assert np.allclose(moved, (5, 0), atol=1)


def test_a_persons_area_and_a_still_mask(analyze, tmp_path):
    """ANALYZERS.md 4: the person's area grows with the square of its size, +-10 %; a still clip's mask is still."""
    areas = {}
    for size in (350, 500, 700):
        clip = clips.write(tmp_path / f"{size}.mp4", [_portrait(size)] * (2 * RATE), rate=RATE, crf=18)
        found = analyze(clip, "background_segmentation").analyzers["background_segmentation"]
        (segment,) = found.segments
        areas[size] = segment.data.class_areas["person"]
        first, *others = map(decoded, segment.data.foreground.rle)
        assert min(iou(first, mask) for mask in others) >= 0.95
        assert found.summary.background_change_count == 0
    for size, area in areas.items():
        assert area == pytest.approx(areas[500] * (size / 500) ** 2, rel=0.1)


def test_a_background_is_swapped(analyze, tmp_path):
    """ANALYZERS.md 4: a photograph of a cafe's table becomes one of a rocket after 3.1 s, +-0.5 s."""
    views = [
        cv2.resize(picture, (960, 640), interpolation=cv2.INTER_AREA)
        for picture in (skimage.data.coffee(), skimage.data.rocket())
    ]
    frames = [views[k >= 93] for k in range(6 * RATE)]
    clip = clips.write(tmp_path / "swap.mp4", frames, rate=RATE, crf=18)
    found = analyze(clip, "background_segmentation").analyzers["background_segmentation"]
    assert found.summary.background_change_count == 1
    assert found.segments[1].start_seconds == pytest.approx(3.1, abs=0.5)


def _face(size: int, *, flipped: bool = False) -> np.ndarray:
    """Head and shoulders of a smiling woman, `size` px wide, on grey: her face is a third of that, at one place."""
    head = skimage.data.astronaut()[:320, 70:390]
    head = cv2.resize(head, (size, size), interpolation=cv2.INTER_AREA if size < 320 else cv2.INTER_CUBIC)
    frame = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    x, y = WIDTH // 2 - round(0.48 * size), HEIGHT // 2 - round(0.4 * size)
    left, top, bottom = x, max(0, y), min(HEIGHT, y + size)
    frame[top:bottom, left : left + size] = head[top - y : bottom - y]
    return np.ascontiguousarray(frame[:, ::-1]) if flipped else frame


def test_the_age_of_a_photograph(analyze, tmp_path):
    """ANALYZERS.md 6: one track; a standard deviation of 3 years at most from full to half size; flipped +-2 years."""
    ages = []
    for flipped in (False, True):
        frames = [_face(round(size), flipped=flipped) for size in np.linspace(700, 350, 4 * RATE)]
        clip = clips.write(tmp_path / f"flipped_{flipped}.mp4", frames, rate=RATE, crf=18)
        found = analyze(clip, "age_estimation").analyzers["age_estimation"]
        (face,) = found.segments
        assert face.data.observation_count == found.inputs.sample_count
        # Of a normal distribution, P10 and P90 are 2.56 standard deviations apart.
        assert face.data.age_p90_years - face.data.age_p10_years <= 2.56 * 3
        assert (found.summary.persons, found.summary.sensitive) == (1, True)
        ages.append(face.data.age_years)
    assert abs(ages[0] - ages[1]) <= 2


def test_the_expression_of_a_photograph(analyze, tmp_path):
    """ANALYZERS.md 20: happy in 90 % of the frames; flipped, the probabilities differ by 0.2 in sum at most."""
    probabilities = []
    for flipped in (False, True):
        frames = [_face(560, flipped=flipped)] * (2 * RATE)
        clip = clips.write(tmp_path / f"flipped_{flipped}.mp4", frames, rate=RATE, crf=18)
        found = analyze(clip, "face_emotion").analyzers["face_emotion"]
        assert found.summary.time_share["happy"] >= 0.9
        assert found.summary.face_screen_time_seconds >= 0.9 * 2
        (happy,) = [segment for segment in found.segments if segment.label == "happy"]
        probabilities.append(np.array(happy.data.probabilities))
    assert np.abs(probabilities[0] - probabilities[1]).sum() <= 0.2


def test_texture_holds_no_faces(analyze, tmp_path):
    """ANALYZERS.md 20: no faces, no segments."""
    clip = clips.write(tmp_path / "texture.mp4", clips.pan(5, 60, height=HEIGHT, width=WIDTH))
    found = analyze(clip, "face_emotion").analyzers["face_emotion"]
    assert (found.status, found.segments, found.summary.time_share) == ("ok", (), None)


SENTENCES = {
    "en-us": "Today I will show you how to bake a simple chocolate cake with three basic ingredients at home",
    "de": "Heute zeige ich euch wie man mit drei einfachen Zutaten einen Kuchen backt",
}


def _said(results: Results) -> list[tuple[str, float]]:
    """Words without case and punctuation, and when each begins."""
    words = [word for segment in results.analyzers["speech_transcription"].segments for word in segment.data.words]
    return [(plain(word.spoken_word), word.start_seconds) for word in words]


@pytest.mark.parametrize("voice", SENTENCES)
def test_speech_is_transcribed(analyze, tmp_path, voice):
    """ANALYZERS.md 18: word error rate at most 0.15, median word start within 0.15 s."""
    spoken = speech.joined([speech.say(SENTENCES[voice], voice)], [])
    found = _said(analyze(clips.sounding(tmp_path / "said.mkv", spoken.waveform, speech.RATE), "speech_transcription"))
    said = [(plain(word), start) for word, start, _ in spoken.words]
    heard, expected = ([word for word, _ in words] for words in (found, said))
    assert edit_distance(heard, expected) <= 0.15 * len(expected)
    blocks = SequenceMatcher(None, heard, expected, autojunk=False).get_matching_blocks()
    late = [found[b.a + k][1] - said[b.b + k][1] for b in blocks for k in range(b.size)]
    assert np.median(np.abs(late)) <= 0.15


def test_silence_noise_and_music_have_no_words(analyze, tmp_path):
    """ANALYZERS.md 18."""
    times = np.arange(5 * speech.RATE) / speech.RATE
    chords = sum(0.1 * np.sin(2 * np.pi * hz * times) for hz in (220.0, 277.2, 329.6))
    quiet = np.zeros(2 * speech.RATE)
    sound = np.concatenate([quiet, speech.noise(5, -30), quiet, chords, quiet]).astype(np.float32)
    clip = clips.sounding(tmp_path / "wordless.mkv", sound, speech.RATE)
    assert analyze(clip, "speech_transcription").analyzers["speech_transcription"].summary.word_count == 0


def test_a_window_seam_repeats_nothing(analyze, tmp_path):
    """ANALYZERS.md 18: 35 s of speech, longer than a window of Whisper, say every sentence once."""
    numbers = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    pieces = [speech.say(f"This is sentence number {number} of the story") for number in numbers]
    spoken = speech.joined(pieces, [0.5] * (len(pieces) - 1))
    assert spoken.seconds > 32
    found = _said(analyze(clips.sounding(tmp_path / "long.mkv", spoken.waveform, speech.RATE), "speech_transcription"))
    assert sum(word == "sentence" for word, _ in found) == len(numbers)


@pytest.mark.parametrize("speed", [130, 180])
def test_the_rate_of_speech(analyze, tmp_path, speed):
    """ANALYZERS.md 19: words per minute within 10 % end to end."""
    sentence = speech.say(SENTENCES["en-us"], speed=speed)
    spoken = speech.joined([sentence], [])
    clip = clips.sounding(tmp_path / "said.mkv", spoken.waveform, speech.RATE)
    found = analyze(clip, "speech_rate").analyzers["speech_rate"].summary.words_per_minute
    assert found == pytest.approx(60 * len(sentence.words) / sentence.seconds, rel=0.1)


@pytest.mark.parametrize("label", ["White noise", "Sine wave", "Speech"])
def test_sounds_are_named(analyze, tmp_path, label):
    """ANALYZERS.md 15: white noise, a sine and espeak-ng's speech have their own label among the first five."""
    times = np.arange(10 * speech.RATE) / speech.RATE
    sounds = {
        "White noise": lambda: speech.noise(10, -25),
        "Sine wave": lambda: (0.3 * np.sin(2 * np.pi * 1000 * times)).astype(np.float32),
        "Speech": lambda: speech.joined([speech.say(SENTENCES["en-us"])] * 2, [0.5]).waveform,
    }
    found = analyze(clips.sounding(tmp_path / "sound.mkv", sounds[label](), speech.RATE), "audio_environment")
    assert label in {tag.tag for tag in found.analyzers["audio_environment"].summary.top_tags}


def _arousal(analyze: Analyze, path: Path, spoken: speech.Spoken, gain_db: float = 0.0) -> float:
    sound = spoken.waveform * np.float32(10 ** (gain_db / 20))
    summary = analyze(clips.sounding(path, sound, speech.RATE), "speech_emotion").analyzers["speech_emotion"].summary
    return summary.arousal.mean


def test_gain_changes_no_emotion(analyze, tmp_path):
    """ANALYZERS.md 16: +-6 dB change arousal by at most 0.1."""
    spoken = speech.joined([speech.say(SENTENCES["en-us"])], [])
    plainly = _arousal(analyze, tmp_path / "plain.mkv", spoken)
    for gain_db in (-6.0, 6.0):
        assert abs(_arousal(analyze, tmp_path / f"{gain_db}.mkv", spoken, gain_db) - plainly) <= 0.1


def test_louder_faster_higher_speech_is_more_aroused(analyze, tmp_path):
    """ANALYZERS.md 16: five of five sentences."""
    for number, text in enumerate(LIVELY):
        calm, lively = (speech.joined([speech.say(text, speed=s, pitch=p)], []) for s, p in ((120, 35), (210, 80)))
        before = _arousal(analyze, tmp_path / f"calm-{number}.mkv", calm, -6.0)
        assert _arousal(analyze, tmp_path / f"lively-{number}.mkv", lively, 6.0) > before


def _slide(text: str = "", *, circle: bool = False, square: bool = False) -> np.ndarray:
    """A white slide with a red circle, a blue square or a word."""
    slide = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    if circle:
        cv2.circle(slide, (WIDTH // 2, HEIGHT // 2), 200, (255, 0, 0), -1)
    if square:
        cv2.rectangle(
            slide, (WIDTH // 2 - 200, HEIGHT // 2 - 200), (WIDTH // 2 + 200, HEIGHT // 2 + 200), (0, 0, 255), -1
        )
    if text:
        cv2.putText(slide, text, (WIDTH // 2 - 260, HEIGHT // 2 + 60), cv2.FONT_HERSHEY_SIMPLEX, 7, (0, 0, 0), 20)
    return slide


def test_slides_are_described_in_their_windows(analyze, tmp_path):
    """ANALYZERS.md 1: red circle, blue square, WAIT; three seconds each, each in its own windows."""
    slides = (_slide(circle=True), _slide(square=True), _slide("WAIT"))
    frames = [slide for slide in slides for _ in range(3 * RATE)]
    found = analyze(clips.write(tmp_path / "slides.mp4", frames, rate=RATE), "qwen2_vl_temporal")
    segments = found.analyzers["qwen2_vl_temporal"].segments
    for number, words in enumerate((("red", "circle"), ("blue", "square"), ("wait",))):
        own = [each.data for each in segments if 3 * number <= each.start_seconds < 3 * number + 3]
        said = " ".join(f"{each.caption} {' '.join(each.subjects)}" for each in own).lower()
        assert own
        assert all(word in said for word in words), said


def test_a_black_clip_mentions_no_person(analyze, tmp_path):
    """ANALYZERS.md 1."""
    frames = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * (2 * RATE)
    found = analyze(clips.write(tmp_path / "black.mp4", frames, rate=RATE), "qwen2_vl_temporal")
    result = found.analyzers["qwen2_vl_temporal"]
    said = " ".join(f"{each.data.caption} {' '.join(each.data.subjects)}" for each in result.segments).lower()
    assert not {"person", "people", "man", "woman", "child", "girl", "boy", "face"} & set(
        said.replace(".", " ").split()
    )
