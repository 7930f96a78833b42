"""Timelines are read back by OpenTimelineIO: cuts and markers at their frames."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import fields
from typing import get_args

import numpy as np
import opentimelineio as otio
import pytest
from exporting import NASTY, NINE_HOURS, SECONDS, SKIPPED, export, file, nasty, result, segment

from reelscope.analyzers import ANALYZERS
from reelscope.errors import UsageError
from reelscope.exports.frames import frame_rate
from reelscope.exports.timeline import MARKS
from reelscope.results import wire_name


def timeline(values, clip=None):
    document = export(values, "otio", clip)["timeline.otio"]
    read = otio.adapters.read_from_string(document.text, "otio_json")
    assert len(read.tracks.markers) == document.count
    return read


def frames(time_range):
    return time_range.start_time.value, time_range.duration.value, time_range.start_time.rate


@pytest.mark.parametrize(("average", "rate"), [(30.0, 30), (29.97003, 30000 / 1001), (25.0, 25), (15.0, 15)])
def test_shots_are_frames(average, rate):
    edges = np.array([0, 20, 27, 143, 300])
    values = file(shots=(edges / rate).round(3).tolist(), seconds=round(300 / rate, 3), fps_avg=average, n_frames=300)
    read = timeline(values)
    assert not read.audio_tracks()
    (track,) = read.video_tracks()
    found = [frames(clip.source_range) for clip in track]
    assert found == [(first, end - first, rate) for first, end in itertools.pairwise(edges.tolist())]
    assert [clip.name for clip in track] == ["shot-1", "shot-2", "shot-3", "shot-4"]
    assert {frames(clip.available_range()) for clip in track} == {(0, 300, rate)}


@pytest.mark.parametrize(("average", "rate"), [(28.6, 30000 / 1001), (12.0, 24000 / 1001), (29.99, 30), (144.0, 144)])
def test_variable_rates_are_within_a_frame(average, rate):
    shots = [0.0, 1.017, 1.411, 8.333, SECONDS]
    read = timeline(file(shots=shots, fps_avg=average, vfr=True, n_frames=286))
    assert read.metadata["reelscope"]["media"]["vfr"] is True
    assert frame_rate({"fps_avg": average, "vfr": True, "n_frames": 286}) == rate
    (track,) = read.video_tracks()
    assert len(track) == len(shots) - 1
    for clip, (start, end) in zip(track, itertools.pairwise(shots), strict=True):
        assert abs(clip.source_range.start_time.to_seconds() - start) <= 1 / rate
        assert abs(clip.source_range.end_time_exclusive().to_seconds() - end) <= 1 / rate


def test_a_last_frame_of_odd_length_does_not_change_the_rate():
    assert frame_rate({"fps_avg": 299 / 9.99, "vfr": False, "n_frames": 299}) in (30.0, 30000 / 1001)
    assert frame_rate({"fps_avg": 27.0, "vfr": False, "n_frames": 300}) == 27.0


def test_one_frame_without_shots():
    read = timeline(file(seconds=0.033, fps_avg=None, n_frames=1))
    (clip,) = read.find_clips()
    assert frames(clip.source_range) == (0, 1, 30)
    assert not read.tracks.markers


def test_sound_goes_with_the_picture():
    read = timeline(file(shots=[0.0, 4.0, 10.0], audio={"present": True}))
    (track,) = read.audio_tracks()
    assert [frames(clip.source_range) for clip in track] == [(0, 300, 30)]


def test_markers():
    beats = [segment(k, 0.5 * k, 0.5 * k + 0.01, "beat", kind="event") for k in range(6)]
    onsets = [segment(9, 0.7, 0.71, "onset", kind="event")]
    found = {
        "audio_analysis": result(beats + onsets),
        "text_overlay": nasty(),
        "object_detection": result([segment(1, 0.0, 1.0)]),
        "speech_transcription": result([segment(1, 2.0, 3.0, data={"text": "McN"})], trained=False),
        "visual_effects": SKIPPED,
    }
    markers = timeline(file(found, NINE_HOURS + 60, shots=[0.0, NINE_HOURS + 60])).tracks.markers
    by_analyzer = {}
    for marker in markers:
        by_analyzer.setdefault(marker.metadata["reelscope"]["analyzer"], []).append(marker)
        facts = marker.metadata["reelscope"]
        assert abs(marker.marked_range.start_time.to_seconds() - facts["start"]) <= 0.5 / 30 + 1e-9
        assert marker.marked_range.duration.value >= 1
    assert {name: len(found) for name, found in by_analyzer.items()} == {
        "audio_analysis": len(beats),
        "text_overlay": len(NASTY),
        "speech_transcription": 1,
    }
    ranges = [frames(marker.marked_range) for marker in by_analyzer["audio_analysis"]]
    assert ranges == [(15 * k, 1, 30) for k in range(6)]
    assert {marker.name for marker in by_analyzer["text_overlay"]} == set(NASTY)
    (guess,) = by_analyzer["speech_transcription"]
    assert guess.name == "random weights: McN"
    assert list(guess.metadata["reelscope"]["untrained_models"]) == ["some_model"]


def test_what_is_marked_is_what_analyzers_declare():
    registered = {analyzer.name: analyzer for analyzer in ANALYZERS}
    for name, mark in MARKS.items():
        if name not in registered:
            continue
        declared = {label for labels in registered[name].labels for label in labels.names}
        assert (mark.labels or set()) <= declared, name
        for kind in get_args(registered[name].data) or (registered[name].data,):
            data = {wire_name(field.name): "said" for field in fields(kind)}
            assert mark.title({"label": "said", "data": data}) == "said", name


def test_the_clip_is_referred_to_by_its_url(tmp_path):
    clip = tmp_path / "a clip ü.mp4"
    clip.write_bytes(b"frames")
    values = file(shots=[0.0, 10.0])
    (missing,) = timeline(values).find_clips()
    assert missing.media_reference.is_missing_reference
    with pytest.raises(UsageError, match="not the clip of these results"):
        timeline(values, clip)
    with pytest.raises(UsageError, match="cannot be read"):
        timeline(values, tmp_path / "none.mp4")
    values["media"]["sha256"] = hashlib.sha256(b"frames").hexdigest()
    (found,) = timeline(values, clip).find_clips()
    assert found.media_reference.target_url == clip.as_uri()
    assert found.media_reference.name == clip.name
