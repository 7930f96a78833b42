"""Which models a server is to serve, checked on disk before anything starts.

Triton itself falls back silently to config.pbtxt when `configs/<name>.pbtxt` is missing, so that is refused here, and
what the loaded models run with is compared afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reelscope import settings
from reelscope.errors import ModelNotBuilt, ServerStartFailed, UsageError

CANDIDATE_SUFFIX = ".candidate"
"""End of the name that a model has while its candidate is checked; never part of a deployment."""

_DEFAULT_FILES = {"onnxruntime": "model.onnx", "python": "model.py"}


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model or ensemble that a server is to load."""

    name: str
    folder: Path
    config: dict[str, Any] = field(repr=False)
    """The variant to be loaded, as `RepositoryClient.parse_config` returns it."""
    versions: tuple[str, ...]
    """Versions that Triton must serve, by the config's version policy."""

    @property
    def file_name(self) -> str:
        """Built file of a version folder, or the code of a model that has none; empty for an ensemble."""
        if read := self.config.get("parameters", {}).get("model_file"):
            return str(read["string_value"])
        default = _DEFAULT_FILES.get(self.config.get("backend", ""), "")
        return self.config.get("default_model_filename") or default

    @property
    def size_bytes(self) -> int:
        """Of its built files; 0 where there is none."""
        files = (self.folder / version / self.file_name for version in self.versions)
        return sum(file.stat().st_size for file in files if self.file_name and file.is_file())

    @property
    def is_built(self) -> bool:
        """Whether it consists of more than committed files: weights, which the exporter places."""
        return not self.steps and self.file_name != _DEFAULT_FILES["python"]

    @property
    def steps(self) -> frozenset[str]:
        """Models that an ensemble consists of; empty for a model."""
        return frozenset(step["model_name"] for step in self.config.get("ensemble_scheduling", {}).get("step", ()))


def default_repositories() -> tuple[Path, ...]:
    """Model repositories of a deployment: the models, and the ensembles over them."""
    folders = (settings.model_repository(), settings.deployment_root() / "ensembles")
    return tuple(folder for folder in folders if folder.is_dir())


def plan(profile: settings.Profile, models: Sequence[str], repositories: Iterable[Path]) -> tuple[ServedModel, ...]:
    """Choose what to load, in order: the models, then every ensemble whose steps are all among them.

    Raises:
        UsageError: no such model, or a config that does not parse.
        ServerStartFailed: a model has no variant for the profile.
    """
    found = {
        folder.name: folder
        for repository in repositories
        for folder in sorted(repository.iterdir())
        if (folder / "config.pbtxt").is_file() and not folder.name.endswith(CANDIDATE_SUFFIX)
    }
    if unknown := [name for name in models if name not in found]:
        raise UsageError(f"no model {', '.join(unknown)} in the repository; there are: {', '.join(found) or 'none'}")
    entries = {name: _read(name, folder, profile.config_name) for name, folder in found.items()}
    if ensembles := [name for name in models if entries[name].steps]:
        raise UsageError(f"{', '.join(ensembles)}: name the models, their ensembles are served with them")
    served = {name: entries[name] for name in models}
    _refuse_missing_variants(served.values(), profile.config_name)
    while added := {
        name: entry
        for name, entry in entries.items()
        if name not in served and entry.steps and entry.steps <= served.keys()
    }:
        served |= added
    return tuple(served.values())


def expected_versions(
    models: Iterable[str], repositories: Sequence[Path], config_name: str
) -> dict[str, tuple[str, ...]]:
    """Versions that must be ready, by model, as the repositories are now: they follow a roll and a rollback.

    Where they do not say (no version, or a config that cannot be read any more) it is "", whichever is served.
    """
    expected: dict[str, tuple[str, ...]] = {}
    for name in models:
        folder = next((each / name for each in repositories if (each / name).is_dir()), None)
        try:
            expected[name] = (_read(name, folder, config_name).versions if folder else ()) or ("",)
        except (UsageError, OSError):
            expected[name] = ("",)
    return expected


def expected_models(profile: settings.Profile) -> dict[str, tuple[str, ...]]:
    """Models and ensembles that a server of the profile must serve, with their versions; see `expected_versions`.

    Raises:
        UsageError, ServerStartFailed: see `plan`.
    """
    served = plan(profile, profile.models, default_repositories())
    return {model.name: model.versions or ("",) for model in served}


def differences(expected: dict[str, Any], loaded: dict[str, Any]) -> list[str]:
    """Say how the config that a model runs with differs from the variant on disk, in what variants may choose."""
    found = []
    for key, default in (("default_model_filename", ""), ("max_batch_size", 0)):
        # A config without a file name is completed by Triton with the backend's default.
        if expected.get(key) and expected[key] != loaded.get(key, default):
            found.append(f"{key} is {loaded.get(key, default)!r} instead of {expected[key]!r}")
    wanted = {
        group["kind"] for group in expected.get("instance_group", ()) if group.get("kind", "KIND_AUTO") != "KIND_AUTO"
    }
    running = {group.get("kind", "KIND_AUTO") for group in loaded.get("instance_group", ())}
    if wanted and wanted != running:
        found.append(f"instances are {', '.join(sorted(running))} instead of {', '.join(sorted(wanted))}")
    return found


def _read(name: str, folder: Path, config_name: str) -> ServedModel:
    from reelscope.inference import RepositoryClient

    variant = folder / "configs" / f"{config_name}.pbtxt"
    path = variant if config_name and variant.is_file() else folder / "config.pbtxt"
    try:
        config = RepositoryClient.parse_config(path.read_text(encoding="utf-8"))
    except UsageError as error:
        raise UsageError(f"{name}/{path.relative_to(folder)}: {error}") from error
    return ServedModel(name, folder, config, _versions(folder, config.get("version_policy", {})))


def _versions(folder: Path, policy: dict[str, Any]) -> tuple[str, ...]:
    present = sorted((path.name for path in folder.iterdir() if path.is_dir() and path.name.isdigit()), key=int)
    if "specific" in policy:
        return tuple(str(version) for version in policy["specific"].get("versions", ()))
    if "all" in policy:
        return tuple(present)
    return tuple(present[-int(policy.get("latest", {}).get("num_versions", 1)) :])


def _refuse_missing_variants(models: Iterable[ServedModel], config_name: str) -> None:
    missing = [
        model.name
        for model in models
        if config_name and not (model.folder / "configs" / f"{config_name}.pbtxt").is_file()
    ]
    if missing:
        raise ServerStartFailed(
            f"{', '.join(missing)}: configs/{config_name}.pbtxt is missing; Triton would serve config.pbtxt instead",
            "python -m reelscope_export.configs",
        )


def unbuilt(models: Iterable[ServedModel], profile_name: str) -> dict[str, ModelNotBuilt]:
    """Models whose file is missing, each with what is missing and the command that builds it."""
    missing = {}
    for model in models:
        file_name = model.file_name
        absent = [
            version for version in model.versions if file_name and not (model.folder / version / file_name).exists()
        ]
        if absent or not model.versions:
            path = f"{(absent or ['1'])[0]}/{file_name}"
            command = f"reelscope-export {model.name} --profile {profile_name}"
            missing[model.name] = ModelNotBuilt(f"{model.name}: {path} is not built", command)
    return missing
