"""The doctor's look at Triton servers: the local one and its folder, the one at an address, and how they are opened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from reelscope import settings
from reelscope.doctor.checks import Check, folder_bytes, in_words, ok, warning
from reelscope.settings import Profile


def local(profile: Profile) -> Iterator[Check]:
    """The state folder, and the server that `reelscope server up` left running."""
    from reelscope import embedded

    folder = settings.state_folder()
    logs = list((folder / "logs").glob("*.log"))
    size = sum(log.stat().st_size for log in logs)
    said = f"{folder}, {in_words(folder_bytes(folder))}, of it {in_words(size)} in logs ({len(logs)})"
    yield ok("state folder", said)
    status = embedded.status()
    if status is None:
        yield ok("local server", "none is running; analyze starts one for the job")
        return
    log = Path(status.record.log_path)
    said = f"{status.record.grpc_url}, profile {status.record.profile}"
    logged = f"log {in_words(log.stat().st_size) if log.is_file() else 'is gone'}"
    ready = f"{sum(status.models.values())} of {len(status.models)} models ready"
    again = f"reelscope server down && reelscope server up --profile {profile.name}"
    if not status.is_live:
        yield warning("local server", f"{said}: does not answer; {logged}: {log}", again)
    elif not status.is_ready:
        yield warning("local server", f"{said}: {ready}; {logged}: {log}", again)
    elif mismatch := status.record.lacks(profile):
        yield warning("local server", f"{said}: one {mismatch}; analyze starts another for each job", again)
    else:
        yield ok("local server", f"{said}: {ready}; {logged}")


def remote(url: str, profile: Profile) -> Iterator[Check]:
    """The server at an address, and the model versions that the profile expects of it."""
    from reelscope.container import not_ready
    from reelscope.embedded.deployment import default_repositories, expected_models

    count = sum(len(versions) for versions in expected_models(profile).values())
    if waiting := not_ready(url, profile, default_repositories()):
        said = f"{url}: {count - len(waiting)} of {count} models and ensembles ready; not {', '.join(waiting)}"
        yield warning("server", said, f"reelscope models stats --url {url}")
    else:
        yield ok("server", f"{url}: all {count} models and ensembles of profile {profile.name} ready")


def access(profile: Profile) -> Iterator[Check]:
    """What the environment says of certificates and keys; a file that cannot be used is missing."""
    found = settings.access()
    parts = {
        "CA": found.ca,
        "certificate": found.certificate,
        "key of the administrator": found.admin_key and "set",
    }
    said = ", ".join(f"{name} {value}" for name, value in parts.items() if value)
    yield ok("access", said or "nothing is set: neither TLS with a CA of its own nor a restricted server")
