"""Audio environment: speech over noise, echo, tags by windows; music, silence, missing and untrained tags."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import speaking
from envelope import violations, written
from feeding import PROVENANCE
from speaking import RATE, acoustics, activity, joined, reverberant, say

from reelscope.analyzers import audio_environment
from reelscope.analyzers.sound_labels import SOUND_LABELS
from reelscope.signals import SoundTags

NETWORK = replace(PROVENANCE, name="sound_events_ast", ensemble="sounds")
INDEX = {label.name: index for index, label in enumerate(SOUND_LABELS)}
SENTENCES = (
    "The quick brown fox jumps over the lazy dog",
    "Today I will show you how to bake a cake",
    "Please subscribe and turn on notifications",
    "Coffee makes mornings better",
)


def windows(seconds, length, hop):
    starts = np.arange(0, max(seconds - length, 0) + 1e-9, hop)
    return [(float(start), float(min(start + length, seconds))) for start in starts]


def tagged(seconds, **heard):
    """Tags: name to a list of (start, end, probability); a window hears what overlaps half of it or of the sound."""
    spans = [
        (*span, is_long)
        for is_long, size in ((True, (10.24, 5)), (False, (2.56, 1)))
        for span in windows(seconds, *size)
    ]
    spans.sort()
    probabilities = np.full((len(spans), len(SOUND_LABELS)), 0.01, np.float32)
    for name, times in heard.items():
        for row, (first, last, _) in enumerate(spans):
            for start, end, probability in times:
                shared = min(last, end) - max(first, start)
                if shared >= 0.5 * min(last - first, end - start):
                    probabilities[row, INDEX[name.replace("_", " ")]] = probability
    return SoundTags(
        sampling="A16",
        sample_count=round(seconds * RATE),
        models=(NETWORK,),
        duration_seconds=seconds,
        windows_seconds=np.array([span[:2] for span in spans]).reshape(-1, 2),
        is_long=np.array([span[2] for span in spans], bool),
        probabilities=probabilities,
    )


def environment(waveform, spans, tags=None, *, pad=0.0, trained=True):
    seconds = len(waveform) / RATE
    return audio_environment.analyze(
        acoustics(waveform), activity(spans, seconds, pad_seconds=pad, trained=trained), tags
    )


def noisy(spoken, snr_db):
    """Speech with noise at this ratio, by its power while it is spoken."""
    parts = [spoken.waveform[round(start * RATE) : round(end * RATE)] for start, end in spoken.spans]
    level_db = 10 * np.log10(np.mean(np.concatenate(parts) ** 2)) - snr_db
    return spoken.waveform + speaking.noise(spoken.seconds, level_db)[: len(spoken.waveform)], level_db


@pytest.mark.parametrize("pad", [0.0, 0.1])
@pytest.mark.parametrize("snr_db", [0, 5, 10, 20, 30, 40])
def test_speech_over_noise(snr_db, pad):
    """ANALYZERS.md 15: 0-40 dB within 1.5 dB."""
    spoken = joined([say(text) for text in SENTENCES], [0.9] * 3, around_seconds=1.0)
    waveform, level_db = noisy(spoken, snr_db)
    summary = environment(waveform, spoken.spans, pad=pad).summary
    assert summary.snr_db == pytest.approx(snr_db, abs=1.5)
    assert summary.noise_floor_dbfs == pytest.approx(level_db, abs=1)
    assert summary.speech_ratio == pytest.approx(
        sum(end - start + 2 * pad for start, end in spoken.spans) / spoken.seconds, abs=0.01
    )


@pytest.mark.parametrize(("pad", "gap"), [(0.0, 1.2), (0.15, 1.2), (0.2, 1.5)])
@pytest.mark.parametrize("rt60", [0.2, 0.4, 0.8, 1.2])
def test_reverberation_time(rt60, pad, gap):
    """ANALYZERS.md 15: 0.2, 0.4, 0.8, 1.2 s within 15 %, with gaps of at least 1.2 s."""
    spoken = joined([say(text) for text in SENTENCES], [gap] * 3, around_seconds=gap)
    waveform = reverberant(spoken.waveform, rt60)
    found = environment(waveform, spoken.spans, pad=pad).summary.rt60_seconds
    assert found == pytest.approx(rt60, rel=0.15)


@pytest.mark.parametrize("rt60", [0.4, 0.8, 1.2])
def test_reverberation_time_in_quiet_noise(rt60):
    spoken = joined([say(text) for text in SENTENCES], [1.5] * 3, around_seconds=1.5)
    waveform, _ = noisy(replace(spoken, waveform=reverberant(spoken.waveform, rt60)), 45)
    assert environment(waveform, spoken.spans).summary.rt60_seconds == pytest.approx(rt60, rel=0.2)


def test_short_gaps_tell_no_reverberation_time():
    spoken = joined([say(text) for text in SENTENCES], [0.5] * 3, around_seconds=0.5)
    assert environment(reverberant(spoken.waveform, 0.4), spoken.spans).summary.rt60_seconds is None


def test_noise_hides_the_echo():
    spoken = joined([say(text) for text in SENTENCES], [1.5] * 3, around_seconds=1.5)
    waveform, _ = noisy(replace(spoken, waveform=reverberant(spoken.waveform, 0.4)), 20)
    assert environment(waveform, spoken.spans).summary.rt60_seconds is None


def chord(seconds, level_db=-30.0):
    times = np.arange(round(seconds * RATE)) / RATE
    return (10 ** (level_db / 20) * sum(np.sin(2 * np.pi * hz * times) for hz in (220, 277, 330))).astype(np.float32)


def test_music_under_speech_hides_the_echo():
    spoken = joined([say(text) for text in SENTENCES], [1.5] * 3, around_seconds=1.5)
    dry = reverberant(spoken.waveform, 0.4)
    assert environment(dry + chord(spoken.seconds)[: len(dry)], spoken.spans).summary.rt60_seconds is None, (
        "by its level"
    )
    tags = tagged(spoken.seconds, Music=[(0, spoken.seconds, 0.8)])
    finding = environment(dry, spoken.spans, tags)
    assert finding.summary.rt60_seconds is None, "by its tag"
    assert finding.summary.music_ratio == pytest.approx(1, abs=0.1)
    quiet = tagged(spoken.seconds, Speech=[(0, spoken.seconds, 0.8)])
    assert environment(dry, spoken.spans, quiet).summary.rt60_seconds == pytest.approx(0.4, rel=0.15)


def test_digital_silence_is_no_background():
    spoken = joined([say(text) for text in SENTENCES], [0.9] * 3, around_seconds=1.0)
    summary = environment(spoken.waveform, spoken.spans).summary
    assert (summary.snr_db, summary.noise_floor_dbfs) == (None, None)


@pytest.mark.parametrize("seconds", [0.05, 1.0, 12.0])
@pytest.mark.parametrize("level_db", [None, -40.0, 0.0])
def test_nobody_speaks(seconds, level_db):
    waveform = np.zeros(round(seconds * RATE), np.float32) if level_db is None else speaking.noise(seconds, level_db)
    summary = environment(waveform, [], tagged(seconds)).summary
    assert (summary.snr_db, summary.rt60_seconds, summary.speech_ratio) == (None, None, 0)
    is_known = level_db is not None and seconds >= 1
    assert summary.noise_floor_dbfs == (pytest.approx(level_db, abs=1) if is_known else None)
    assert summary.music_ratio == 0


def test_speech_without_a_pause_has_no_background():
    waveform = speaking.noise(3, -20)
    summary = environment(waveform, [(0, 3)]).summary
    assert (summary.snr_db, summary.rt60_seconds, summary.noise_floor_dbfs, summary.speech_ratio) == (
        None,
        None,
        None,
        1,
    )


def test_a_full_scale_square_wave():
    waveform = np.sign(np.sin(2 * np.pi * 100 * np.arange(5 * RATE) / RATE)).astype(np.float32)
    summary = environment(waveform, [(1, 2)]).summary
    assert summary.noise_floor_dbfs == pytest.approx(0, abs=0.2)
    assert summary.snr_db == pytest.approx(-20, abs=1), "it does not stand out"


def labelled(finding, name):
    return [segment for segment in finding.segments if segment.label == name]


def test_tags_are_timed_by_short_windows():
    tags = tagged(30.0, Speech=[(0, 30, 0.9)], Dog=[(12, 18, 0.6)], Bell=[(4, 5.4, 0.5)])
    finding = environment(speaking.noise(30, -40), [(0, 30)], tags)
    (dog,) = labelled(finding, "Dog")
    assert (dog.start_seconds, dog.end_seconds) == pytest.approx((12, 18), abs=1)
    assert (dog.score, dog.data.tag, dog.data.group, dog.data.timing) == (pytest.approx(0.6), "Dog", "animal", "coarse")
    assert dog.data.mid.startswith("/")
    (speech,) = labelled(finding, "Speech")
    assert (speech.start_seconds, speech.data.group) == (0, "speech")
    assert speech.end_seconds == pytest.approx(30, abs=0.5)
    assert finding.summary.top_tags[0].tag == "Speech"
    assert len(finding.summary.top_tags) == 5
    assert finding.summary.music_ratio == 0


def test_what_only_long_windows_hear_is_presence():
    tags = tagged(30.0, Speech=[(0, 30, 0.9)])
    quiet = tags.probabilities.copy()
    quiet[tags.is_long & (tags.windows_seconds[:, 0] < 1), INDEX["Rain"]] = 0.4
    finding = environment(speaking.noise(30, -40), [], replace(tags, probabilities=quiet))
    (rain,) = labelled(finding, "Rain")
    assert (rain.start_seconds, rain.data.timing, rain.data.group) == (0, "presence", "nature")
    assert rain.end_seconds == pytest.approx(7.6, abs=0.1), "half-way to the next window's middle"


def test_without_short_windows_the_long_ones_tell_all():
    tags = tagged(30.0, Music=[(0, 30, 0.9)])
    rows = tags.is_long
    long = replace(
        tags, is_long=rows[rows], windows_seconds=tags.windows_seconds[rows], probabilities=tags.probabilities[rows]
    )
    finding = environment(speaking.noise(30, -40), [], long)
    (music,) = labelled(finding, "Music")
    assert music.data.timing == "presence"
    assert finding.summary.music_ratio == pytest.approx(1, abs=0.05)
    assert len(finding.series.columns["t"]) == rows.sum()


def test_a_sound_that_comes_back_is_two_segments():
    tags = tagged(30.0, Dog=[(3, 7, 0.6), (20, 24, 0.5)])
    segments = labelled(environment(speaking.noise(30, -40), [], tags), "Dog")
    assert [round(segment.start_seconds) for segment in segments] == [3, 20]


def test_series_by_group():
    tags = tagged(20.0, Music=[(0, 10, 0.9)], Dog=[(10, 20, 0.7)])
    columns = environment(speaking.noise(20, -40), [], tags).series.columns
    assert set(columns) == {"t", *audio_environment.GROUPS}
    times, music, animal = (np.array(columns[name]) for name in ("t", "music", "animal"))
    assert music[times < 8].min() == pytest.approx(0.9)
    assert animal[times > 12].min() == pytest.approx(0.7)
    assert all(later > earlier for earlier, later in itertools.pairwise(times))


def test_probabilities_that_are_no_numbers_are_nothing_heard():
    tags = tagged(12.0)
    finding = environment(speaking.noise(12, -40), [], replace(tags, probabilities=tags.probabilities * np.nan))
    assert finding.segments == ()
    assert finding.summary.music_ratio == 0


def test_without_tags_levels_are_told():
    spoken = joined([say(text) for text in SENTENCES], [0.9] * 3, around_seconds=1.0)
    waveform, _ = noisy(spoken, 20)
    finding = environment(waveform, spoken.spans)
    assert finding.segments == ()
    assert (finding.summary.top_tags, finding.summary.music_ratio) == (None, None)
    assert finding.summary.snr_db == pytest.approx(20, abs=1.5)
    assert "dB over its background" in audio_environment.headline(finding.summary)


def test_an_untrained_detector_claims_nothing():
    summary = environment(speaking.noise(5, -20), [(1, 2)], trained=False).summary
    assert all(getattr(summary, name) is None for name in summary.__slots__)
    assert audio_environment.headline(summary) == "nothing is claimed"


def test_what_is_written(monkeypatch):
    spoken = joined([say(text) for text in SENTENCES], [1.2] * 3, around_seconds=1.2)
    tags = tagged(spoken.seconds, Speech=[(0, spoken.seconds, 0.9)])
    finding = environment(reverberant(spoken.waveform, 0.4), spoken.spans, tags)
    values = written(audio_environment.ANALYZER, finding, tags, spoken.seconds)
    found = values["analyzers"]["audio_environment"]
    assert set(found["segments"][0]["data"]) == {"tag", "mid", "group", "timing"}
    assert set(found["summary"]) == {
        *("top_tags", "speech_ratio", "music_ratio", "snr_db", "rt60_s", "noise_floor_dbfs"),
    }
    assert violations(values, audio_environment.ANALYZER, monkeypatch) == []
    found["summary"]["music_ratio"] = 1.2
    assert [each.invariant for each in violations(values, audio_environment.ANALYZER, monkeypatch)] == ["I3"]
