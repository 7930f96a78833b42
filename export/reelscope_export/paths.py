"""Folders, profiles and environment: the exporter's only module that reads or sets `os.environ`.

REELSCOPE_REPOSITORY   model repository to build into (default: the checkout's, else the user's data folder)
REELSCOPE_WEIGHTS      cache of weights (default: the user's cache folder)
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from reelscope_export.errors import UnknownModel, UnknownProfile, UsageError

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parents[1]

_PROFILES = Path("server") / "profiles.toml"


def is_checkout() -> bool:
    """True when the package runs from a source checkout, False when it was installed from a wheel."""
    return (_CHECKOUT / _PROFILES).is_file()


def deployment_root() -> Path:
    """Folder that holds `model_repository/`, `ensembles/` and `server/`: the checkout, or the wheel's copy.

    The wheel's copy lies in the client's package beside this one; it is found by path, the client is not imported.

    Raises:
        UsageError: neither is there.
    """
    wheel_copy = _PACKAGE.parent / "reelscope" / "_deployment"
    for root in (_CHECKOUT, wheel_copy):
        if (root / _PROFILES).is_file():
            return root
    raise UsageError(f"no {_PROFILES} below {_CHECKOUT} or {wheel_copy}: install the wheel, or run from a checkout")


def committed_labels(model: str) -> tuple[str, ...]:
    """The classes of a model by index, from its committed `labels.txt`, which every client reads; empty without one."""
    file = deployment_root() / "model_repository" / model / "labels.txt"
    return tuple(file.read_text(encoding="utf-8").splitlines()) if file.is_file() else ()


def repository_folder() -> Path:
    """Model repository to build into; not created here."""
    if chosen := os.environ.get("REELSCOPE_REPOSITORY"):
        return Path(chosen)
    if is_checkout():
        return _CHECKOUT / "model_repository"
    return platformdirs.user_data_path("reelscope") / "model_repository"


def weights_folder() -> Path:
    """Cache of trained and random weights; not created here."""
    return Path(os.environ.get("REELSCOPE_WEIGHTS") or platformdirs.user_cache_path("reelscope") / "weights")


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """One model as one profile wants it: a table `[<profile>.models.<model>]` with its profile's defaults."""

    profile: str
    model: str
    variant: str
    """Upstream's name of the size, e.g. yolov8n."""
    precision: str
    """fp32 or fp16, of the network; pre- and post-processing are FP32 always."""
    model_file: str
    """File of the version folder, e.g. cpu.onnx."""
    instance_kind: str
    instance_count: int
    max_batch_size: int
    config_name: str
    """Name of the Triton config; empty for config.pbtxt itself."""
    max_queue_delay_microseconds: int | None
    max_queue_size: int | None
    """Requests that wait at most; None bounds nothing."""
    queue_timeout_microseconds: int | None
    """Longest that a request waits; then it is refused."""
    slot: str | None
    """Resource of the rate limiter that an execution takes one of; None on the CPU, whose cores share themselves."""
    rate_limiter_priority: int
    """Times the executions so far: the model with the least is served first. 1 where nothing is said, as in Triton."""
    warm_up: bool
    """Whether a graph is asked once before it is ready."""
    intra_op_thread_count: int | None
    gpu_mem_limit_mib: int | None
    """Most that onnxruntime's arena of one instance may take, weights included."""
    enable_mem_pattern: bool | None
    """Onnxruntime's plan of one block per input shape: pays for fixed shapes, costs memory for others."""
    cudnn_conv_algo_search: int | None
    """How cuDNN chooses the algorithm of a convolution for a shape that is new: 0 tries all, 1 and 2 do not."""
    parameters: Mapping[str, str]
    """What a Python model is told beyond that, by name."""


def read_profiles(file: Path | None = None) -> dict[str, dict[str, Any]]:
    """Read `server/profiles.toml`, or the given file: each profile with what it extends, which comes before it."""
    with (file or deployment_root() / _PROFILES).open("rb") as stream:
        profiles = tomllib.load(stream)
    for name, own in profiles.items():
        if base := profiles.get(own.get("extends", "")):
            names = base["models"] | own.get("models", {})
            models = {each: base["models"].get(each, {}) | own.get("models", {}).get(each, {}) for each in names}
            profiles[name] = base | own | {"models": models}
    return profiles


def model_settings(profiles: dict[str, dict[str, Any]], profile: str, model: str) -> ModelSettings:
    """What `profile` says about `model`.

    Raises:
        UnknownProfile: there is no profile of that name.
        UnknownModel: the profile does not serve the model.
    """
    chosen = profile_table(profiles, profile)
    if model not in chosen["models"]:
        raise UnknownModel(f"profile {profile!r} does not serve {model!r}; it serves: {', '.join(chosen['models'])}")
    said = chosen | chosen["models"][model]
    on_gpu = said["instance_kind"] == "KIND_GPU"
    return ModelSettings(
        profile=profile,
        model=model,
        variant=said.get("variant", ""),
        precision=said["precision"],
        model_file=said["model_file"],
        instance_kind=said["instance_kind"],
        instance_count=said["instance_count"],
        max_batch_size=said.get("max_batch_size", 0),
        config_name=said["config_name"],
        max_queue_delay_microseconds=said.get("max_queue_delay_microseconds"),
        max_queue_size=said.get("max_queue_size"),
        queue_timeout_microseconds=said.get("queue_timeout_microseconds"),
        slot=said.get("slot") if on_gpu else None,
        rate_limiter_priority=said.get("rate_limiter_priority", 1),
        warm_up=on_gpu and said.get("warm_up", False),
        intra_op_thread_count=said.get("intra_op_thread_count"),
        gpu_mem_limit_mib=said.get("gpu_mem_limit_mib"),
        enable_mem_pattern=said.get("enable_mem_pattern"),
        cudnn_conv_algo_search=said.get("cudnn_conv_algo_search") if on_gpu else None,
        parameters=said.get("parameters", {}),
    )


def profile_table(profiles: dict[str, dict[str, Any]], profile: str) -> dict[str, Any]:
    """The table of one profile.

    Raises:
        UnknownProfile: there is no profile of that name.
    """
    if profile not in profiles:
        raise UnknownProfile(f"no profile {profile!r}; there are: {', '.join(profiles)}")
    return profiles[profile]


def isolate_libraries() -> None:
    """Keep the model libraries from the network and out of the user's folders; call before importing them.

    Only `weights` downloads. Ultralytics would otherwise resolve two host names at import, send an event per
    prediction, install missing packages, and write its settings to the user's config folder; its checkpoints are
    pickles, which it reads with an allow-list of classes when asked to. The hub libraries send usage statistics.
    """
    os.environ.update(
        {
            "YOLO_OFFLINE": "1",
            "YOLO_AUTOINSTALL": "false",
            "YOLO_VERBOSE": "false",
            "YOLO_CONFIG_DIR": str(weights_folder() / "settings"),
            "ULTRALYTICS_SAFE_LOAD": "1",
            "HF_HUB_OFFLINE": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "DO_NOT_TRACK": "1",
        }
    )
