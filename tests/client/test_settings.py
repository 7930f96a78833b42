"""Profiles as they are read: what a deployment states of biometrics decides which models there are."""

from __future__ import annotations

import pytest

from reelscope import settings
from reelscope.errors import UsageError

BIOMETRIC = {"face_attributes", "face_crops", "face_expression", "face_landmarks", "speech_emotion_wav2vec2"}


def stating(monkeypatch, value):
    """The cpu profile of a deployment that states this."""
    profiles = settings._profiles()
    profiles["cpu"]["biometrics"] = value
    monkeypatch.setattr(settings, "_profiles", lambda: profiles)


@pytest.mark.parametrize("name", settings.profile_names())
def test_without_biometrics_exactly_the_judging_models_are_left_out(name):
    everything, few = settings.profile(name), settings.profile(name, biometrics=False)
    assert set(everything.models) - set(few.models) == BIOMETRIC
    assert "face_detection_scrfd" in few.models
    assert (everything.biometrics, few.biometrics) == (True, False)


def test_a_deployment_that_states_off_stays_off(monkeypatch):
    stating(monkeypatch, "off")
    assert not settings.profile("cpu").biometrics
    assert not BIOMETRIC & set(settings.profile("cpu").models)
    with pytest.raises(UsageError, match='states biometrics = "off"'):
        settings.profile("cpu", biometrics=True)


def test_another_word_is_refused(monkeypatch):
    stating(monkeypatch, "maybe")
    with pytest.raises(UsageError, match='\'maybe\'; it must be "on" or "off"'):
        settings.profile("cpu")


def test_keys_of_a_file_and_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("REELSCOPE_API_KEYS", raising=False)
    assert settings.api_keys(None) == ()
    monkeypatch.setenv("REELSCOPE_API_KEYS", " first-key-of-two-0, second-key-of-two ,")
    assert settings.api_keys(None) == ("first-key-of-two-0", "second-key-of-two")
    file = tmp_path / "keys"
    file.write_text("# of the page\nkey-of-the-page-00\n\nkey-of-the-cron-00 # nightly\n", encoding="utf-8")
    assert settings.api_keys(file) == ("key-of-the-page-00", "key-of-the-cron-00")


@pytest.mark.parametrize("text", ["", "# nothing\n", "short\n", "a-key-with-an-é-in-it\n"])
def test_keys_that_are_none_are_refused(tmp_path, text):
    (tmp_path / "keys").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="key"):
        settings.api_keys(tmp_path / "keys")
    with pytest.raises(UsageError, match="cannot be read"):
        settings.api_keys(tmp_path / "absent")
