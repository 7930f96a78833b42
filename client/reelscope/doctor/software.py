"""The doctor's look at Python, its packages, and Triton."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from reelscope import settings
from reelscope.doctor.checks import Check, missing, ok, warning
from reelscope.settings import Profile

_OPENCV = (
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python-headless",
    "opencv-contrib-python",
)
"""Distributions of the same package cv2, the preferred one first."""
_ONNXRUNTIME = ("onnxruntime", "onnxruntime-gpu")
_BUILDS = {"opencv-python": _OPENCV, "onnxruntime": _ONNXRUNTIME}
"""What serves for a requirement, besides itself."""


def python(profile: Profile) -> Iterator[Check]:
    """Version and platform: Triton's binary is one for Linux x86_64, with stubs for three versions of Python."""
    found = f"{platform.python_version()}, {platform.system()} {platform.machine()}"
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        yield missing("Python", f"{found}: the local server is for Linux x86_64", "reelscope analyze --url HOST:PORT")
    elif not (3, 11) <= sys.version_info[:2] <= (3, 13):
        yield missing("Python", f"{found}: Triton has stubs for 3.11, 3.12 and 3.13", "install Python 3.13")
    else:
        yield ok("Python", found)


def packages(profile: Profile) -> Iterator[Check]:
    """The distributions that the client and the extras for serving and exporting ask for."""
    try:
        wanted = [Requirement(text) for text in requires("reelscope") or ()]
    except PackageNotFoundError:
        yield warning("packages", "reelscope runs without being installed: nothing says which it needs", _setup(""))
        return
    server = "server-gpu" if profile.needs_gpu else "server"
    for extra, purpose in (("", ""), (server, ""), ("export", "needed to build models only: ")):
        chosen = [each for each in wanted if _belongs(each, extra)]
        subject = f"packages, {extra or 'client'}"
        found = {str(each): _installed(each.name) for each in chosen}
        absent = [name for name, installed in found.items() if installed is None]
        other = [
            f"{each.name} {installed}, not {each.specifier}"
            for each in chosen
            if (installed := found[str(each)]) and not each.specifier.contains(installed, prereleases=True)
        ]
        said = "; ".join([*(f"{name.partition(';')[0].strip()} is absent" for name in absent), *other])
        if absent and not purpose:
            yield missing(subject, said, _setup(extra))
        elif said:
            yield warning(subject, purpose + said, _setup(extra))
        else:
            yield ok(subject, f"{len(chosen)} at the versions wanted")
    yield from _one_build("onnxruntime", _ONNXRUNTIME, "onnxruntime-gpu" if profile.needs_gpu else "onnxruntime")


def opencv(profile: Profile) -> Iterator[Check]:
    """Exactly one distribution may bring cv2."""
    found = [name for name in _OPENCV if _version(name)]
    if found:
        yield from (
            _one_build("OpenCV", _OPENCV, _OPENCV[0])
            if len(found) > 1
            else [ok("OpenCV", f"{found[0]} {_version(found[0])}")]
        )
    else:
        yield missing("OpenCV", "no distribution of cv2", f"pip install {_OPENCV[0]}")


def triton(profile: Profile) -> Iterator[Check]:
    """The tritonserver binary, its Python stub, and the libraries that both link to."""
    from reelscope.embedded.installation import find_installation

    installation = find_installation()
    yield ok("tritonserver", f"{installation.binary}, with a stub for this Python")


def _one_build(subject: str, names: Iterable[str], kept: str) -> Iterator[Check]:
    """Two builds of one package overwrite each other's files, and removing either breaks both."""
    found = [name for name in names if _version(name)]
    if len(found) > 1:
        remedy = f"pip uninstall -y {' '.join(found)} && pip install --no-deps {kept}=={_version(found[0])}"
        yield warning(subject, f"{', '.join(found)} overwrite each other", remedy)


def _belongs(requirement: Requirement, extra: str) -> bool:
    """Whether an extra (or, for "", the plain install) brings a requirement."""
    if requirement.marker is None:
        return not extra
    plain = requirement.marker.evaluate({"extra": ""})
    return plain if not extra else not plain and requirement.marker.evaluate({"extra": extra})


def _installed(name: str) -> str | None:
    """Version of the first build that serves for a requirement."""
    return next((found for build in _BUILDS.get(name, (name,)) if (found := _version(build))), None)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _setup(extra: str) -> str:
    """How the packages are installed: a checkout's own environment, else pip."""
    if settings.is_checkout() and extra != "server-gpu":
        return "make setup"
    return f"pip install 'reelscope[{extra}]'" if extra else "pip install reelscope"
