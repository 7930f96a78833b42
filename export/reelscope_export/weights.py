"""Weights: found in the cache, downloaded, or drawn at random; each file held to the hash first seen.

The cache (`REELSCOPE_WEIGHTS`) holds trained checkpoints under the names of `weights.toml`, seeded random ones in
`random/`, and `weights.lock.json` with the SHA-256 of each trained file: the manifest's where upstream publishes
one, else that of the first file seen. A checkpoint put into the cache by hand is used like a downloaded one.
"""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from reelscope_export.download import Offline, fetch
from reelscope_export.errors import LicenceRefused, UnknownModel, WeightsCorrupt, WeightsUnavailable

Mode = Literal["auto", "trained", "random"]
LicencePolicy = Literal["any", "commercial"]
Report = Callable[[str], None]
"""Takes one line for the person who watches."""

MANIFEST = Path(__file__).with_name("weights.toml")
LOCK_NAME = "weights.lock.json"


@dataclass(frozen=True, slots=True)
class Entry:
    """One variant of the manifest."""

    file: str
    url: str
    revision: str
    licence: str
    commercial_use: bool
    sha256: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Weights:
    """A file of weights that is there and whose hash was checked."""

    file: Path
    sha256: str
    trained: bool
    source: str
    """Where the file came from: an address, `file <name>` for one put there by hand, or how it was drawn."""
    revision: str
    licence: str


def read_manifest(file: Path = MANIFEST) -> dict[str, dict[str, Entry]]:
    """Read the manifest: model name to variant to entry."""
    with file.open("rb") as stream:
        tables = tomllib.load(stream)
    return {
        model: {variant: Entry(**table) for variant, table in variants.items()} for model, variants in tables.items()
    }


@dataclass(frozen=True, slots=True)
class Cache:
    """The cache folder and the rules for taking weights from it."""

    folder: Path
    manifest: dict[str, dict[str, Entry]]
    report: Report = print

    def resolve(
        self,
        model: str,
        variant: str,
        *,
        mode: Mode,
        policy: LicencePolicy,
        write_random: Callable[[Path], None],
        recipe: str,
    ) -> Weights:
        """Find the weights of one variant, as `mode` and `policy` allow, and say which were taken.

        Args:
            model: model name of the manifest.
            variant: variant of the manifest.
            mode: trained only, random only, or trained where they can be had (auto).
            policy: `commercial` takes no trained weights whose licence forbids commercial use.
            write_random: writes the seeded random weights to a path.
            recipe: short name of how random weights are drawn; another recipe, another file.

        Raises:
            UnknownModel: the manifest does not know the variant.
            WeightsUnavailable: trained weights were asked for and cannot be had.
            WeightsCorrupt: a file is not the one recorded.
            LicenceRefused: trained weights were asked for and the policy forbids them.
        """
        try:
            entry = self.manifest[model][variant]
        except KeyError:
            raise UnknownModel(f"{MANIFEST.name} has no weights for {model}, variant {variant!r}") from None
        if mode != "random":
            try:
                return self._trained(entry, policy)
            except (WeightsUnavailable, LicenceRefused) as exc:
                if mode == "trained":
                    raise
                self.report(f"random weights for {variant}: {exc}")
        return self._random(variant, write_random, recipe)

    def _trained(self, entry: Entry, policy: LicencePolicy) -> Weights:
        if policy == "commercial" and not entry.commercial_use:
            raise LicenceRefused(f"{entry.file}: its licence ({entry.licence}) forbids commercial use")
        file = self.folder / entry.file
        source = f"file {entry.file}"
        if not file.is_file():
            try:
                fetch(entry.url, file, report=self.report)
            except Offline as exc:
                raise WeightsUnavailable(
                    f"{entry.file} is not in the cache and cannot be downloaded ({exc}); "
                    f"put the file from {entry.url} into {self.folder}, or use --weights random"
                ) from exc
            source = entry.url
        record = self._hold_to_record(entry, file, source)
        by_hand = record["source"] != entry.url
        return Weights(
            file=file,
            sha256=record["sha256"],
            trained=True,
            source=record["source"],
            revision="unknown" if by_hand else entry.revision,
            licence=entry.licence,
        )

    def _hold_to_record(self, entry: Entry, file: Path, source: str) -> dict[str, str]:
        """Compare the file with its record, or make the record; a file with upstream's hash is upstream's."""
        actual = file_sha256(file)
        lock = self._read_lock()
        known = lock.get(entry.file)
        expected = entry.sha256 or (known["sha256"] if known else actual)
        if actual != expected:
            raise WeightsCorrupt(
                f"{file}: SHA-256 is {actual}, expected {expected}; delete the file to fetch it again, or, to accept "
                f"a new one on purpose, remove {entry.file!r} from {self.folder / LOCK_NAME}"
            )
        if known and known["sha256"] == actual:
            return known
        record = {"sha256": actual, "source": entry.url if entry.sha256 else source}
        write_atomically(self.folder / LOCK_NAME, json.dumps({**lock, entry.file: record}, indent=2, sort_keys=True))
        self.report(f"recorded {entry.file}: SHA-256 {actual[:12]}..., from {record['source']}")
        return record

    def _read_lock(self) -> dict[str, dict[str, str]]:
        file = self.folder / LOCK_NAME
        if not file.is_file():
            return {}
        try:
            lock: dict[str, dict[str, str]] = json.loads(file.read_text())
        except ValueError as exc:
            raise WeightsCorrupt(
                f"{file} is no JSON ({exc}); restore it, or delete it to record all hashes anew"
            ) from exc
        return lock

    def _random(self, variant: str, write_random: Callable[[Path], None], recipe: str) -> Weights:
        folder = self.folder / "random"
        file = folder / f"{variant}-{recipe}.pt"
        if not file.is_file():
            self.report(f"drawing seeded random weights for {variant}")
            folder.mkdir(parents=True, exist_ok=True)
            temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
            try:
                write_random(temporary)
                os.replace(temporary, file)
            finally:
                temporary.unlink(missing_ok=True)
            for older in folder.glob(f"{variant}-*.pt"):
                if older != file:
                    older.unlink(missing_ok=True)
        return Weights(
            file=file, sha256=file_sha256(file), trained=False, source="random, seed 0", revision=recipe, licence="none"
        )


def file_sha256(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomically(file: Path, text: str) -> None:
    """Replace a small text file as a whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    temporary.write_text(text + "\n")
    os.replace(temporary, file)
