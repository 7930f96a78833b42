"""Where tritonserver is, what it needs to start, and the backend folder that it is given.

The binary comes from the nvidia-pytriton wheel, whose Python API is never imported, or from TRITON_HOME.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

from reelscope import settings
from reelscope.errors import ServerStartFailed

_STUB = "triton_python_backend_stub"
_INSTALL = "pip install --no-deps nvidia-pytriton==0.7.0"
_KEPT_BACKEND_FOLDERS = 4


@dataclass(frozen=True, slots=True)
class TritonInstallation:
    """Files of one Triton that fit the running interpreter."""

    binary: Path
    python_backend: Path
    """Folder with libtriton_python.so and triton_python_backend_utils.py."""
    stub: Path
    """The process that runs Python models, linked against this interpreter's version."""
    library_folders: tuple[Path, ...]

    def environment(self) -> dict[str, str]:
        """Environment in which tritonserver and its stubs find their libraries and this interpreter's packages."""
        return settings.server_environment(Path(sys.prefix) / "bin", self.library_folders)


def find_installation() -> TritonInstallation:
    """Find tritonserver and check that everything it links to is there.

    Raises:
        ServerStartFailed: it is not installed, does not know this Python version, or lacks a shared library; the
            message says what to install.
    """
    home = settings.triton_home() or _wheel_folder()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    python_backend = home / "backends" / "python"
    stub = home / "python_backend_stubs" / version / _STUB
    if not stub.is_file():
        stub = python_backend / _STUB
    for needed in (home / "bin" / "tritonserver", python_backend / "libtriton_python.so"):
        if not needed.is_file():
            raise ServerStartFailed(
                f"{home} is no Triton installation: {needed.relative_to(home)} is missing",
                "unset TRITON_HOME" if settings.triton_home() else _INSTALL,
            )
    if not stub.is_file():
        raise ServerStartFailed(f"this Triton has no Python stub for Python {version}: use Python 3.11, 3.12 or 3.13")
    libraries = (
        Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib"),
        # Relocated interpreters report the LIBDIR of the machine that built them.
        Path(sys.base_prefix) / "lib",
        home.resolve().parent.parent / "nvidia_pytriton.libs",
        home / "lib",
    )
    existing = tuple(dict.fromkeys(folder for folder in libraries if folder.is_dir()))
    installation = TritonInstallation(home / "bin" / "tritonserver", python_backend, stub, existing)
    _refuse_missing_libraries(installation)
    return installation


def backend_folder(installation: TritonInstallation) -> Path:
    """Folder for --backend-directory: copies of Triton's Python backend, its stub, and our own backends.

    Made once per content, in the state folder. Copies, because Triton refuses links that leave the backend directory,
    and because a running server must not see half an upgrade.
    """
    files = {Path("python") / file.name: file for file in installation.python_backend.iterdir() if file.is_file()}
    files[Path("python") / _STUB] = installation.stub
    backends = settings.deployment_root() / "server" / "backends"
    files |= {file.relative_to(backends): file for file in backends.glob("*/*.py")}
    contents = {name: file.read_bytes() for name, file in files.items()}
    # pybind11 knows NumPy 2 since it looks for this name; Triton's stubs do since 24.11.
    if b"numpy._core" not in contents[Path("python") / _STUB]:
        contents[Path("python") / "triton_python_backend_utils.py"] += b"\n\nimport numpy2_stub  # noqa: E402, F401\n"
    digest = hashlib.sha256()
    for name, content in sorted(contents.items()):
        digest.update(f"{name}\0".encode() + hashlib.sha256(content).digest())
    parent = settings.state_folder() / "backends"
    folder = parent / digest.hexdigest()[:16]
    if not folder.is_dir():
        parent.mkdir(exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=parent, prefix=".new-"))
        for name, content in contents.items():
            (aside / name).parent.mkdir(exist_ok=True)
            (aside / name).write_bytes(content)
        (aside / "python" / _STUB).chmod(0o755)
        try:
            aside.rename(folder)
        except OSError:
            # Another start made it first.
            shutil.rmtree(aside)
    folder.touch()
    for old in sorted(parent.iterdir(), key=lambda path: path.stat().st_mtime)[:-_KEPT_BACKEND_FOLDERS]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def _wheel_folder() -> Path:
    package = importlib.util.find_spec("pytriton")
    if package is None or package.origin is None:
        raise ServerStartFailed("the embedded server is not installed (Linux x86_64 only)", _INSTALL)
    return Path(package.origin).parent / "tritonserver"


def _refuse_missing_libraries(installation: TritonInstallation) -> None:
    # With this variable the loader lists the libraries and exits without running the program: ldd without ldd.
    environment = installation.environment() | {"LD_TRACE_LOADED_OBJECTS": "1"}
    missing: set[str] = set()
    for program in (installation.binary, installation.stub):
        if not os.access(program, os.X_OK):
            raise ServerStartFailed(f"{program} is not executable")
        listing = subprocess.run([program], env=environment, capture_output=True, text=True, check=False)
        missing |= set(re.findall(r"^\s*(\S+) => not found", listing.stdout, re.MULTILINE))
    if not missing:
        return
    # Debian and Ubuntu put libpython3.x.so.1.0 into the package libpython3.x; python3 itself does not need it.
    packages = [re.sub(r"\.so.*", "", name) for name in sorted(missing) if name.startswith("libpython")]
    raise ServerStartFailed(
        f"Triton needs {', '.join(sorted(missing))}, which is not on this machine",
        f"apt-get install {' '.join(packages)}" if packages else "",
    )
