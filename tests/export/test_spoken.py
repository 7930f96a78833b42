"""Speech in a process of its own."""

from __future__ import annotations

import signal
import subprocess

import numpy as np
import pytest

from reelscope_export import spoken

SENTENCE = "Das ist ein kurzer Test."


def test_a_sentence_sounds_alike_whatever_was_said_before():
    first = spoken.say(SENTENCE, "de")
    spoken.say("Something else.", words_per_minute=260)
    again = spoken.say(SENTENCE, "de")
    assert first.dtype == np.float32
    assert 0.05 < np.abs(first).max() <= 1
    np.testing.assert_array_equal(first, again)
    assert len(spoken.say(SENTENCE, "de", words_per_minute=260)) < len(first)


def test_a_voice_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="no voice 'xx-none'"):
        spoken.say(SENTENCE, "xx-none")


@pytest.mark.parametrize("crashes", [1, 2])
def test_a_crash_costs_an_attempt(monkeypatch, tmp_path, crashes):
    kill_then_speak(monkeypatch, tmp_path, crashes)
    assert len(spoken.say(SENTENCE, "de")) > spoken.SAMPLE_RATE_HZ / 2


def test_what_crashes_each_time_is_an_error(monkeypatch, tmp_path):
    kill_then_speak(monkeypatch, tmp_path, 99)
    with pytest.raises(subprocess.CalledProcessError, match="SIGSEGV"):
        spoken.say(SENTENCE, "de")


def kill_then_speak(monkeypatch, folder, crashes):
    """A speaker that crashes so many times before it speaks."""
    speaker = folder / "speaker.py"
    speaker.write_text(
        "import os, runpy\n"
        f"with open({str(folder / 'count')!r}, 'a+') as file:\n"
        "    file.write('.')\n"
        "    count = file.tell()\n"
        f"if count <= {crashes}:\n"
        f"    os.kill(os.getpid(), {int(signal.SIGSEGV)})\n"
        f"runpy.run_path({str(spoken._SPEAKER)!r}, run_name='__main__')\n"
    )
    monkeypatch.setattr(spoken, "_SPEAKER", speaker)
