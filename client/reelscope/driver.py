"""GPUs as NVIDIA's driver lists them, and whether driver and GPU are recent enough for what is served."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass

from reelscope.errors import ServerStartFailed

MIN_DRIVER = (580, 65, 6)
"""What CUDA 13 wants, which Triton 26.10 and 26.11 and PyTorch's wheels are built on (CUDA Toolkit release notes,
table 3: CUDA 13.0 GA, Linux x86_64, >= 580.65.06; later 13.x run on it by minor-version compatibility)."""
MIN_CAPABILITY = (7, 5)
"""Of the GPU: Turing, by the release notes of Triton since 25.08."""
_SECONDS = 30.0
_FIELDS = "name,driver_version,compute_cap,memory.total"


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU; the text is nvidia-smi's."""

    name: str
    driver: str
    compute_capability: str
    memory: str
    """With its unit."""

    def require_recent(self) -> None:
        """Raise what is too old.

        Raises:
            ServerStartFailed: driver or GPU are older than CUDA 13 and Triton want.
        """
        if _numbers(self.driver) < MIN_DRIVER:
            wanted = f"{MIN_DRIVER[0]}.{MIN_DRIVER[1]}.{MIN_DRIVER[2]:02d}"
            raise ServerStartFailed(
                f"the NVIDIA driver is {self.driver}; CUDA 13, which is served with, wants {wanted} or later",
                f"apt-get install nvidia-driver-{MIN_DRIVER[0]}-server  # on the host, then reboot it",
            )
        if _numbers(self.compute_capability) < MIN_CAPABILITY:
            raise ServerStartFailed(
                f"{self.name}: compute capability {self.compute_capability}; Triton wants 7.5 or later"
            )


def gpus() -> tuple[Gpu, ...] | None:
    """Ask nvidia-smi; None where there is no such program.

    Raises:
        ServerStartFailed: it fails, lists no GPU, or says something else.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    command = [program, f"--query-gpu={_FIELDS}", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        raise ServerStartFailed(f"nvidia-smi: {(done.stderr or done.stdout).strip() or 'lists no GPU'}")
    listed = [[field.strip() for field in line.split(",")] for line in lines]
    if any(len(fields) != _FIELDS.count(",") + 1 for fields in listed):
        raise ServerStartFailed(f"nvidia-smi lists no GPU, but says: {done.stdout.strip()}")
    return tuple(Gpu(*fields) for fields in listed)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text))
