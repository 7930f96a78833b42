"""What an operator of the gateway chooses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reelscope.settings import Profile

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Names by which a gateway is asked that listens on this machine only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One gateway."""

    folder: Path
    """Where jobs, results and uploaded clips are kept."""
    profile: Profile
    """What the server serves, and whether people are judged."""
    url: str
    """HOST:PORT of Triton's gRPC endpoint."""
    roots: tuple[Path, ...] = ()
    """Folders below which `video_path` may name clips, resolved."""
    api_keys: tuple[str, ...] = ()
    """Any of them opens the gateway; none: it is open."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names it may be asked by; none: any. They keep out web pages whose own name was made to point here."""
    max_upload_bytes: int = 512_000_000
    """Largest request body."""
    max_seconds: float = 900.0
    """Longest clip."""
    budget_seconds: float = 900.0
    """Most time for one clip."""
    queue_length: int = 32
    """Jobs that may wait, those included that are being uploaded."""
    parallel_jobs: int = 1
    """Jobs that are analysed at the same time."""
    keep_days: float = 7.0
    """How long a job that has ended is kept."""

    @property
    def database(self) -> Path:
        """The file of jobs and results."""
        return self.folder / "jobs.sqlite"

    @property
    def clips(self) -> Path:
        """Folder of uploaded clips, named after their jobs."""
        return self.folder / "clips"

    @property
    def scratch(self) -> Path:
        """Folder of what running jobs write; empty when none runs."""
        return self.folder / "scratch"
