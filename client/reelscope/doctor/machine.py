"""The doctor's look at the machine: disks, memory, processors, GPU."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from reelscope import driver, settings
from reelscope.doctor.checks import Check, in_words, missing, ok, warning
from reelscope.errors import ReelscopeError
from reelscope.settings import Profile
from reelscope.types import WINDOW_FRAMES

_SHARED_MEMORY = Path("/dev/shm")
_WINDOW_BYTES = WINDOW_FRAMES * 1280 * 720 * 3
_WINDOWS = 9
"""Windows of one clip that wait, are asked about or are being filled at once; measured while the server was busy."""
_COPIES = 2
"""Windows that Triton holds in shared memory for each Python process that serves a model; measured likewise."""
_SCARCE_DISK_BYTES = 1e9
"""A built profile, ten logs and the temporary files of an export stay below it."""
_SCARCE_MEMORY_BYTES = 4e9
"""The cpu profile's detector takes 0.6 GB for a window, the client about as much; other models are of its kind."""
_FEW_FILES = 1024
_CGROUP = Path("/sys/fs/cgroup")


def disk(profile: Profile) -> Iterator[Check]:
    """Free space where models, logs and temporary files go, one line per file system."""
    folders: dict[str, Path] = {"temp": Path(tempfile.gettempdir())}
    with contextlib.suppress(ReelscopeError):  # reported where they are looked at
        folders["state"] = settings.state_folder()
    with contextlib.suppress(ReelscopeError):
        folders["models"] = settings.model_repository()
    shared: dict[int, list[str]] = {}
    for name, folder in folders.items():
        shared.setdefault(folder.stat().st_dev, []).append(name)
    for names in shared.values():
        folder = folders[names[0]]
        free = shutil.disk_usage(folder).free
        said = f"{in_words(free)} free for {', '.join(names)} ({folder})"
        if free < _SCARCE_DISK_BYTES:
            yield warning("disk", said, f"make room on the file system of {folder}")
        else:
            yield ok("disk", said)


def shared_memory(profile: Profile) -> Iterator[Check]:
    """Room in /dev/shm: for the copies that Triton hands to its Python processes, then for the client's windows."""
    room = shutil.disk_usage(_SHARED_MEMORY)
    said = f"{in_words(room.free)} free of {in_words(room.total)} in {_SHARED_MEMORY}"
    wanted = (_WINDOWS + _COPIES * len(profile.models)) * _WINDOW_BYTES
    size = f"{-(-wanted // 10**9)}g"
    remedy = f"mount -o remount,size={size} {_SHARED_MEMORY}  # in Docker: docker run --shm-size={size}"
    if room.free < _COPIES * _WINDOW_BYTES:
        yield missing("shared memory", f"{said}: too little to hand frames of 1280x720 to one model", remedy)
    elif room.free < wanted:
        yield warning("shared memory", f"{said}, {in_words(wanted)} wanted: large clips may be slow or fail", remedy)
    else:
        yield ok("shared memory", said)


def memory(profile: Profile) -> Iterator[Check]:
    """Memory that is left for the server's models and the client, of the machine or of the control group."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    fields = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    total, available = fields["MemTotal"], fields["MemAvailable"]
    limit, used = _cgroup_text("memory.max"), _cgroup_text("memory.current")
    if limit.isdigit() and used.isdigit():
        cache = re.search(r"^inactive_file (\d+)$", _cgroup_text("memory.stat"), re.MULTILINE)
        free = int(limit) - int(used) + (int(cache[1]) if cache else 0)
        total, available = min(total, int(limit)), min(available, free)
    said = f"{in_words(available)} available of {in_words(total)}"
    if available < _SCARCE_MEMORY_BYTES:
        yield warning("memory", said, "end what else runs, or take a larger machine")
    else:
        yield ok("memory", said)


def processors(profile: Profile) -> Iterator[Check]:
    """Processors that this process may use; the cpu profile is made for two."""
    count = float(len(os.sched_getaffinity(0)))
    quota, _, period = _cgroup_text("cpu.max").partition(" ")
    if quota.isdigit() and period.isdigit():
        count = min(count, int(quota) / int(period))
    if count < 2:
        yield warning("processors", f"{count:g}; the cpu profile is made for 2", "take a larger machine")
    else:
        yield ok("processors", f"{count:g}")


def open_files(profile: Profile) -> Iterator[Check]:
    """The limit on open files, which the server inherits."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _FEW_FILES:
        yield warning("open files", f"at most {soft}", f"ulimit -n {_FEW_FILES}")
    else:
        yield ok("open files", f"at most {'any number' if soft == resource.RLIM_INFINITY else soft}")


def gpu(profile: Profile) -> Iterator[Check]:
    """GPUs as the driver lists them; only a profile that serves on one needs one."""
    judge = missing if profile.needs_gpu else warning
    try:
        found = driver.gpus()
    except ReelscopeError as error:
        yield judge("GPU", error.finding, "mend NVIDIA's driver, or --profile cpu")
        return
    if found is None and profile.needs_gpu:
        yield missing("GPU", "no nvidia-smi: no driver, or no GPU", "install NVIDIA's driver, or --profile cpu")
    elif found is None:
        yield ok("GPU", "none; the profile needs none")
    for each in found or ():
        said = f"{each.name}, {each.memory}, compute capability {each.compute_capability}, driver {each.driver}"
        try:
            each.require_recent()
        except ReelscopeError as error:
            yield judge("GPU", f"{said}: {error.finding}", error.remedy)
        else:
            yield ok("GPU", said)


def _cgroup_text(name: str) -> str:
    """A value of the control group's root as this process sees it; empty without control groups v2."""
    file = _CGROUP / name
    return file.read_text(encoding="ascii").strip() if file.is_file() else ""
