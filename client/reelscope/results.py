"""The results file: one envelope for all analyzers, its JSON, its JSON Schema.

Python names follow the field's terms and carry their units; the wire names of the published schema are shorter. The
one mapping between the two is `wire_name`. `schema` and `reference` publish these types.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Generic, Literal, NotRequired, TextIO, TypeVar

import typing_extensions
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from reelscope.analyzers.base import Analyzer, Segment, Series
from reelscope.errors import ResultsError, SchemaUnsupported, UsageError
from reelscope.signals import Parameter, Shot, Track
from reelscope.types import MediaFacts, ModelProvenance

SCHEMA = "reelscope/1"
"""Name and version of the envelope; docs/results.md says when the number changes."""

Data = TypeVar("Data")
Summary = TypeVar("Summary")
Status = Literal["ok", "partial", "skipped", "failed"]
Detail = Literal["standard", "full"]

_WIRE_NAMES = {
    "age_p10_years": "p10",
    "age_p90_years": "p90",
    "arousal_slope_per_second": "arousal_slope",
    "articulation_rate_syllables_per_second": "articulation_rate_syll_s",
    "asr_confidence": "asr_conf",
    "background_change_count": "n_bg_changes",
    "background_label": "bg_label",
    "beat_count": "n_beats",
    "boxes_xyxy": "xyxy",
    "center_distance": "center_dist",
    "channel_count": "channels",
    "character_count": "n_chars",
    "character_error_rate": "cer",
    "class_name": "class",
    "clip_count": "n_clips",
    "clipped_high_percent": "clip_hi_pct",
    "clipped_low_percent": "clip_lo_pct",
    "clipped_sample_count": "n_clipped",
    "color_temperature_kelvin": "cct_k",
    "columns": "cols",
    "complete_clip_count": "n_complete_clips",
    "confidence_mean": "conf_mean",
    "contact_first_3_seconds_ratio": "contact_first3s",
    "cut_count": "n_cuts",
    "damaged_packet_count": "n_damaged",
    "dominant_background": "dominant_bg",
    "dual_mono_lufs": "lufs_i_dual_mono",
    "dynamic_range_db": "dynamic_range",
    "effect_type": "type",
    "end_seconds": "end",
    "eye_aspect_ratio": "ear",
    "false_negative_count": "fn",
    "false_positive_count": "fp",
    "first_seconds": "t0",
    "flash_count": "n_flashes",
    "foreground_ratio": "fg_ratio",
    "frame_count": "n_frames",
    "frame_rate_average": "fps_avg",
    "grade_change_count": "n_grade_changes",
    "head_yaw_pitch_roll_degrees": "head_ypr",
    "independent_count": "n",
    "inlier_ratio": "inliers",
    "integrated_lufs": "lufs_i",
    "is_contact": "contact",
    "is_present": "present",
    "is_variable_frame_rate": "vfr",
    "key_confidence": "key_conf",
    "language_probability": "p",
    "laplacian_variance": "lap_var",
    "length_seconds": "dur_s",
    "lightness_mean": "L_mean",
    "line_count": "n_lines",
    "loudness_range_lu": "lra_lu",
    "mean_run_syllables": "mlr_syll",
    "momentary_max_lufs": "lufs_m_max",
    "observation_count": "n_obs",
    "onset_count": "n_onsets",
    "pan_degrees_per_second": "pan_deg_s",
    "pan_percent_width_per_second": "pan_pct_w_s",
    "parameters": "params",
    "photosensitive_risk": "risk",
    "probabilities": "probs",
    "reading_confidence": "conf",
    "revisit_count": "revisits",
    "refused_call_count": "n_refused_calls",
    "roll_degrees_per_second": "roll_deg_s",
    "rotation_degrees": "rotation",
    "sample_count": "n",
    "sample_rate_hz": "sr",
    "sampling_fps": "fps",
    "scene_count": "n_scenes",
    "scene_length_mean_seconds": "mean_scene_s",
    "section_count": "n_sections",
    "shake_rms_percent_width": "shake_rms_pct_w",
    "short_term_max_lufs": "lufs_s_max",
    "shot_length_mean_seconds": "asl_mean_s",
    "shot_length_median_seconds": "asl_median_s",
    "shot_length_p10_seconds": "p10_s",
    "shot_length_p90_seconds": "p90_s",
    "shot_length_shortest_seconds": "shortest_s",
    "size_change_count": "n_size_changes",
    "speech_rate_syllables_per_second": "speech_rate_syll_s",
    "speed_percent_width_per_second": "speed_pct_w_s",
    "spoken_word": "w",
    "start_seconds": "start",
    "syllable_count": "n_syllables",
    "syllables_per_second": "syll_s",
    "tempo_alternatives_bpm": "tempo_alt_bpm",
    "tempo_confidence": "tempo_conf",
    "thirds_distance": "thirds_dist",
    "tilt_percent_height_per_second": "tilt_pct_h_s",
    "time_seconds": "t",
    "times_seconds": "t",
    "true_positive_count": "tp",
    "window_count": "n_windows",
    "word_count": "n_words",
    "word_error_rate": "wer",
    "word_probability": "p",
    "words_per_minute": "wpm",
}
_WIRE_SUFFIXES = {
    "_degrees": "_deg",
    "_milliseconds": "_ms",
    "_percent": "_pct",
    "_per_minute": "_per_min",
    "_per_second": "_per_s",
    "_seconds": "_s",
}


def wire_name(name: str) -> str:
    """Name of a Python field in the results file."""
    if name in _WIRE_NAMES:
        return _WIRE_NAMES[name]
    for suffix, short in _WIRE_SUFFIXES.items():
        if name.endswith(suffix):
            return name.removesuffix(suffix) + short
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What made the results; with the timings the only part in which two runs differ."""

    id: str
    """Unique per run."""
    tool: str
    """Program and version."""
    created: str
    """When the run began, ISO 8601, UTC."""
    config_sha256: str
    """SHA-256 of everything that was configured: profile, detail, analyzers, their versions and parameters."""
    profile: str
    """Profile of server/profiles.toml."""
    biometrics: bool
    """Whether people's age, expression, gaze and voice were analysed."""
    detail: Detail
    """How much was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracks:
    """Who and what was followed through the clip; shared by all analyzers."""

    person: tuple[Track, ...] = ()
    """People."""
    object: tuple[Track, ...] = ()
    """Everything else that the detector knows."""
    face: tuple[Track, ...] = ()
    """Faces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What an analyzer read."""

    sampling: str | None = None
    """Sampling of its main signal: FULL, F10, F5, F2.5, A48, A22 or A16. Null: nothing was read."""
    sampling_fps: float | None = None
    """Frames per second that this is at the profile's rate; null for every frame and for sound."""
    sample_count: int | None = None
    """Frames or samples read at that sampling, >= 0."""
    depends_on: tuple[str, ...] = ()
    """Signals read, then analyzers consulted."""
    missing_inputs: tuple[str, ...] = ()
    """Signals and analyzers that would have helped and were absent or untrained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Client-measured times of an analyzer and of the sources it alone or with others made work."""

    queue_milliseconds: float
    """Longest that a piece of the clip waited for one of its sources."""
    infer_milliseconds: float
    """Time its sources waited for the server."""
    cpu_milliseconds: float
    """CPU time of its sources and its own."""
    wall_milliseconds: float
    """From the first piece that its sources took to its result."""
    refused_call_count: int = 0
    """Calls of its sources that the server refused because it had too much to do, those of signals that it can do
    without included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyzerResult(Generic[Data, Summary]):
    """What one analyzer found, or why it did not."""

    version: str
    """Version of the analyzer."""
    status: Status
    """partial means only this: time of the clip was not covered."""
    reason: str | None = None
    """Machine-readable code; null when ok."""
    message: str | None = None
    """The reason for people; null when ok."""
    models: tuple[ModelProvenance, ...] = ()
    """Models that answered, as they report themselves."""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    """Settings of the analyzer and of its sources, by name."""
    inputs: Inputs = Inputs()
    """What it read."""
    timings: Timings
    """How long it took."""
    coverage: float | None = None
    """Share of the clip that was analysed, 0-1; null when skipped or failed."""
    segments: tuple[Segment[Data], ...] = ()
    """Sorted by start; empty when skipped or failed."""
    series: Series = field(default_factory=Series)
    """Curves over time."""
    summary: Summary | None = None
    """Null when skipped or failed."""
    warnings: tuple[str, ...] = ()
    """Codes such as untrained_model:<name>."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Everything found in one clip."""

    run: RunFacts
    media: MediaFacts
    shots: tuple[Shot, ...]
    """Shots of the clip; empty when they could not be determined."""
    tracks: Tracks
    analyzers: Mapping[str, AnalyzerResult[Any, Any]]
    """By analyzer name; the requested ones, in registry order."""


def wire_model(name: str, **members: Any) -> type[BaseModel]:
    """Pydantic model of a file of ours: strict, under wire names; the config reaches every dataclass inside."""
    config = ConfigDict(
        alias_generator=wire_name,
        extra="forbid",
        populate_by_name=True,
        strict=True,
        use_attribute_docstrings=True,
    )
    return create_model(name, __config__=config, **members)


def wire_values(model: BaseModel) -> dict[str, Any]:
    """The model as JSON values, under wire names, numbers rounded.

    Raises:
        ValueError: a number that JSON cannot hold.
    """
    values: dict[str, Any] = model.model_dump(mode="json", by_alias=True)
    _round(values, None)
    return values


def require_finite(value: object, where: str = "finding") -> None:
    """Refuse numbers that JSON cannot hold, in dataclasses, mappings and sequences at any depth.

    Raises:
        ValueError: names the first that is infinite or not a number.
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where} is {value}")
    elif isinstance(value, (tuple, list)):  # first, as most values are in long ones
        for item in value:
            require_finite(item, where)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            require_finite(item, str(name))
    elif is_dataclass(value):
        for each in fields(value):
            require_finite(getattr(value, each.name), each.name)


def to_json(results: Results, analyzers: Sequence[Analyzer]) -> dict[str, Any]:
    """Results as JSON values, under their wire names.

    Raises:
        ResultsError: an analyzer returned what its types do not allow, or a number that JSON cannot hold.
    """
    model = envelope(tuple(analyzers))
    try:
        validated = model.model_validate(
            {
                "schema_": SCHEMA,
                "run": results.run,
                "media": results.media,
                "shots": results.shots,
                "tracks": results.tracks,
                "analyzers": {name: _with_wire_parameters(found) for name, found in results.analyzers.items()},
            }
        )
        return wire_values(validated)
    except ValueError as error:
        raise ResultsError(f"results cannot be written: {error}") from error


@functools.cache
def summary_model(analyzer: Analyzer) -> type[BaseModel]:
    """A model whose one field, `summary`, is the analyzer's, under its wire names."""
    return wire_model("Found", summary=(analyzer.summary, ...))


def summary_to_json(analyzer: Analyzer, result: AnalyzerResult[Any, Any]) -> dict[str, Any] | None:
    """Summary of one analyzer as JSON values, as `to_json` writes it; None where there is none.

    Raises:
        ResultsError: see `to_json`.
    """
    if result.summary is None:
        return None
    try:
        values = wire_values(summary_model(analyzer)(summary=result.summary))
    except ValueError as error:
        raise ResultsError(f"{analyzer.name}: its summary cannot be written: {error}") from error
    summary: dict[str, Any] = values["summary"]
    return summary


def write(values: Mapping[str, Any], path: Path) -> None:
    """Write results as strict JSON; the file appears complete or not at all.

    Raises:
        UsageError: the folder cannot be written to.
    """
    with _appearing(
        path
    ) as file:  # piece by piece: as one text, the results of ten minutes would be there several times
        file.writelines(json.JSONEncoder(allow_nan=False, ensure_ascii=False, indent=1).iterencode(values))
        file.write("\n")


def write_text(text: str, path: Path) -> None:
    """Write a file that appears complete or not at all; its folder is made when missing.

    Raises:
        UsageError: the folder cannot be written to.
    """
    with _appearing(path) as file:
        file.write(text)


@contextlib.contextmanager
def _appearing(path: Path) -> Iterator[TextIO]:
    """A file to write, which takes its place when all is written and is removed when not."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("w", encoding="utf-8") as file:
            yield file
        unfinished.replace(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()


def read(path: Path) -> dict[str, Any]:
    """Read a results file.

    Raises:
        SchemaUnsupported: it follows another schema than this version reads.
        ResultsError: it is missing, or is not strict JSON of an object.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        values = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: no results file ({error})") from error
    if not isinstance(values, dict) or "analyzers" not in values:
        raise ResultsError(f"{path}: no results file (it has no analyzers)")
    if (schema := values.get("schema", SCHEMA)) != SCHEMA:
        raise SchemaUnsupported(f"{path}: schema {schema!r}, but this reelscope reads {SCHEMA!r}{_writer(values)}")
    return values


def _writer(values: Mapping[str, Any]) -> str:
    """Which program wrote the file, where it says so."""
    run = values.get("run")
    tool = run.get("tool") if isinstance(run, dict) else None
    return f"; it was written by {tool}" if isinstance(tool, str) else ""


def read_fitting(path: Path, analyzers: Sequence[Analyzer]) -> dict[str, Any]:
    """Read a results file that fits the types of these analyzers: what they promise is there.

    Raises:
        ResultsError: it is missing, is not JSON, or does not fit; names the first place.
    """
    values = read(path)
    try:
        envelope(tuple(analyzers)).model_validate_json(json.dumps(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ResultsError(f"{path}: not a results file of this version ({place}: {first['msg']})") from error
    return values


@functools.cache
def envelope(analyzers: tuple[Analyzer, ...]) -> type[BaseModel]:
    """Pydantic model of the file with these analyzers."""
    per_analyzer = {
        analyzer.name: NotRequired[AnalyzerResult[analyzer.data, analyzer.summary]]  # type: ignore[name-defined]
        for analyzer in analyzers
    }
    # Pydantic reads typing.TypedDict only from Python 3.12 on.
    found = typing_extensions.TypedDict("Analyzers", per_analyzer)  # type: ignore[misc]
    return wire_model(
        "Results",
        schema_=(str, Field(alias="schema", pattern=f"^{SCHEMA}$", description="Name and version of this format.")),
        run=(RunFacts, Field(description="What made the results.")),
        media=(MediaFacts, Field(description="What the clip is.")),
        shots=(tuple[Shot, ...], Field(description="Partition of [0, duration]; empty when not determined.")),
        tracks=(Tracks, Field(description="Who and what was followed through the clip.")),
        analyzers=(found, Field(description="One entry per requested analyzer.")),
    )


def _with_wire_parameters(found: AnalyzerResult[Any, Any]) -> AnalyzerResult[Any, Any]:
    return replace(found, parameters={wire_name(name): value for name, value in found.parameters.items()})


def _round(values: Any, key: Any) -> None:
    """Times to the millisecond, everything else to 5 decimals: finer digits are noise and double the file.

    In place: a second copy of the results would be what takes most memory in a long job.

    Raises:
        ValueError: a number that JSON cannot hold.
    """
    is_object = isinstance(values, dict)
    for place, value in values.items() if is_object else enumerate(values):
        name: Any = place if is_object else key
        if isinstance(value, float):
            if not math.isfinite(value):
                raise ValueError(f"{name} is {value}")
            is_time = name in ("start", "end", "t") or (name or "").endswith(("_s", "_ms"))
            values[place] = round(value, 3 if is_time else 5)
        elif isinstance(value, (dict, list)):
            _round(value, name)
