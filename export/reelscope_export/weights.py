"""Weights: found in the cache, downloaded, or drawn at random; each file held to the hash first seen.

The cache (`REELSCOPE_WEIGHTS`) holds trained checkpoints under the names of `weights.toml`, seeded random ones in
`random/`, and `weights.lock.json` with the SHA-256 of each trained file: the manifest's where one is known, else that
of the first file seen. A checkpoint put into the cache by hand is used like a downloaded one. Libraries that read a
folder (configuration and vocabulary beside the network's weights) find one: each of its files is a part, held to a
hash of its own. Some files come inside a zip, some inside an installed package, which is trained weights whatever the
mode; some are downloaded only when the user has accepted their licence by name. A graph without weights stands for
itself: its source is what would be its weights, and it means what it says.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.metadata
import json
import os
import shlex
import shutil
import tomllib
import urllib.parse
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from reelscope_export.download import Offline, Silent, fetch
from reelscope_export.errors import LicenceRefused, UnknownModel, WeightsCorrupt, WeightsUnavailable

Mode = Literal["auto", "trained", "random"]
LicencePolicy = Literal["any", "commercial"]
Report = Callable[[str], None]
"""Takes one line for the person who watches."""

MANIFEST = Path(__file__).with_name("weights.toml")
LOCK_NAME = "weights.lock.json"


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a variant."""

    name: str
    """Its path in the cache."""
    url: str
    sha256: str | None
    """Known hash; None: the one first seen."""
    md5: str | None = None
    """Known by sources that tell no better one."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One variant of the manifest, with the keys of `weights.toml`."""

    file: str
    url: str
    revision: str
    licence: str
    commercial_use: bool
    sha256: str | None = None
    md5: str | None = None
    member: str = ""
    opt_in: bool = False
    package: str = ""
    weightless: bool = False
    stand_in: bool = False
    beside: dict[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every file; the last is that of the network's weights."""
        folder, address = self.file.rpartition("/")[0], self.url.rpartition("/")[0]
        beside = (Part(f"{folder}/{name}", f"{address}/{name}", sha256) for name, sha256 in self.beside.items())
        return *beside, Part(self.file, self.url, self.sha256, self.md5)


@dataclass(frozen=True, slots=True)
class Weights:
    """A file of weights that is there and whose hash was checked; the files that belong to it lie beside it."""

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
    accepted: frozenset[str] = frozenset()
    """Licences that the user has accepted, by the names of the manifest."""
    _silent: dict[str, str] = field(default_factory=dict, init=False, repr=False)
    """Hosts that did not answer in this run, and what was said of them."""

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
            write_random: writes the seeded random weights to a path, and what belongs to them beside it.
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
        if entry.weightless:
            return _itself(entry)
        if entry.stand_in and mode == "trained":
            raise WeightsUnavailable(f"{variant} of {model} is a small stand-in that nobody has trained; {entry.note}")
        if (mode != "random" and not entry.stand_in) or entry.package:
            try:
                return self._trained(entry, policy)
            except (WeightsUnavailable, LicenceRefused) as exc:
                if mode == "trained" or entry.package:
                    raise
                self.report(f"random weights for {variant}: {exc}")
        return self._random(f"{model}.{variant}", Path(entry.file).name, write_random, recipe)

    def _trained(self, entry: Entry, policy: LicencePolicy) -> Weights:
        if policy == "commercial" and not entry.commercial_use:
            raise LicenceRefused(f"{entry.file}: its licence ({entry.licence}) forbids commercial use")
        if entry.package:
            return _packaged(entry)
        if entry.opt_in and entry.licence not in self.accepted and not (self.folder / entry.file).is_file():
            raise LicenceRefused(
                f"{entry.file}: its licence has to be accepted first: --accept-licence {shlex.quote(entry.licence)}"
            )
        record = [self._held(part, entry) for part in entry.parts][-1]
        by_hand = record["source"] != entry.url
        return Weights(
            file=self.folder / entry.file,
            sha256=record["sha256"],
            trained=True,
            source=record["source"],
            revision="unknown" if by_hand else entry.revision,
            licence=entry.licence,
        )

    def _held(self, part: Part, entry: Entry) -> dict[str, str]:
        """Find the file in the cache or fetch it, and hold it to its record."""
        file = self.folder / part.name
        source = f"file {part.name}"
        if not file.is_file():
            try:
                self._download(part.url, file, entry.member)
            except Offline as exc:
                inside = f"{entry.member} of the zip " if entry.member else "the file "
                raise WeightsUnavailable(
                    f"{part.name} is not in the cache and cannot be downloaded ({exc}); "
                    f"put {inside}from {part.url} into {file.parent}, or use --weights random"
                ) from exc
            source = part.url
        return self._hold_to_record(part, file, source)

    def _download(self, url: str, file: Path, member: str) -> None:
        """Fetch the file, or the zip that holds it and everything else that the manifest takes from the same zip."""
        host = urllib.parse.urlsplit(url).netloc
        if host in self._silent:
            raise Silent(self._silent[host])
        archive = self.folder / f".{Path(url).name}" if member else file
        try:
            fetch(url, archive, report=self.report)
            if member:
                entries = [entry for variants in self.manifest.values() for entry in variants.values()]
                inside = [entry for entry in entries if entry.url == url]
                _unpack(archive, {entry.member: self.folder / entry.file for entry in inside})
                for entry in inside:
                    self._hold_to_record(entry.parts[-1], self.folder / entry.file, url)
        except Silent as exc:
            self._silent[host] = str(exc)
            raise
        finally:
            if member:
                archive.unlink(missing_ok=True)

    def _hold_to_record(self, part: Part, file: Path, source: str) -> dict[str, str]:
        """Compare the file with its record, or make the record; a file with upstream's hash is upstream's."""
        actual = file_sha256(file)
        lock = self._read_lock()
        known = lock.get(part.name)
        if part.md5 and part.md5 != (md5 := file_hash(file, "md5")):
            raise WeightsCorrupt(f"{file}: MD5 is {md5}, expected {part.md5}; delete the file to fetch it again")
        expected = part.sha256 or (known["sha256"] if known else actual)
        if actual != expected:
            accept = f"; to accept it on purpose, remove {part.name!r} from {self.folder / LOCK_NAME}"
            raise WeightsCorrupt(
                f"{file}: SHA-256 is {actual}, expected {expected}; delete the file to fetch it again"
                f"{'' if part.sha256 else accept}"
            )
        if known and known["sha256"] == actual:
            return known
        record = {"sha256": actual, "source": part.url if part.sha256 or part.md5 else source}
        write_atomically(self.folder / LOCK_NAME, json.dumps({**lock, part.name: record}, indent=2, sort_keys=True))
        self.report(f"recorded {part.name}: SHA-256 {actual[:12]}..., from {record['source']}")
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

    def _random(self, drawn: str, name: str, write_random: Callable[[Path], None], recipe: str) -> Weights:
        """Find or draw weights; `drawn` names model and variant, because models may share a variant and its file."""
        folder = self.folder / "random" / f"{drawn}-{recipe}"
        file = folder / name
        if not file.is_file():
            self.report(f"drawing seeded random weights for {drawn}")
            temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
            temporary.mkdir(parents=True)
            try:
                write_random(temporary / name)
                _place_folder(temporary, folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
            for older in folder.parent.glob(f"{drawn}-*"):
                # A variant yolov8n-pose would be another one, not an older recipe of yolov8n.
                if older != folder and older.name.rpartition("-")[0] == drawn:
                    shutil.rmtree(older, ignore_errors=True)
        return Weights(
            file=file, sha256=file_sha256(file), trained=False, source="random, seed 0", revision=recipe, licence="none"
        )


def _place_folder(temporary: Path, folder: Path) -> None:
    """Rename; another process that drew the same weights meanwhile has placed the same bytes."""
    try:
        temporary.rename(folder)
    except OSError as exc:
        if exc.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise


def _itself(entry: Entry) -> Weights:
    """The source of a graph without weights, in the place of weights."""
    file = Path(__file__).with_name(entry.file)
    revision = importlib.metadata.version("reelscope")
    return Weights(file, file_sha256(file), True, source="reelscope", revision=revision, licence=entry.licence)


def _packaged(entry: Entry) -> Weights:
    """The weights that an installed package brings; trained, and the same for every mode."""
    try:
        version = importlib.metadata.version(entry.package)
        file = Path(str(importlib.metadata.distribution(entry.package).locate_file(entry.file)))
    except importlib.metadata.PackageNotFoundError as exc:
        raise WeightsUnavailable(
            f"{entry.file} is part of {entry.package}, which is not installed: pip install 'reelscope[export]'"
        ) from exc
    if not file.is_file():
        raise WeightsUnavailable(f"{entry.package} {version} has no {entry.file}; install the version that is pinned")
    actual = file_sha256(file)
    if entry.sha256 and actual != entry.sha256:
        raise WeightsCorrupt(
            f"{file}: SHA-256 is {actual}, expected {entry.sha256}; install {entry.package} again, as it is pinned"
        )
    source = f"package {entry.package}"
    return Weights(file=file, sha256=actual, trained=True, source=source, revision=version, licence=entry.licence)


def _unpack(archive: Path, members: dict[str, Path]) -> None:
    """Place members of a zip, each complete or not at all; raises Offline when it holds another thing than wanted."""
    try:
        with zipfile.ZipFile(archive) as opened:
            for member, file in members.items():
                if file.is_file():
                    continue
                file.parent.mkdir(parents=True, exist_ok=True)
                temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
                try:
                    with opened.open(member) as source, temporary.open("wb") as target:
                        shutil.copyfileobj(source, target)
                    os.replace(temporary, file)
                finally:
                    temporary.unlink(missing_ok=True)
    except (zipfile.BadZipFile, KeyError) as exc:
        raise Offline(f"the zip is not what it was: {exc}") from exc


def file_sha256(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return file_hash(file, "sha256")


def file_hash(file: Path, algorithm: str) -> str:
    """Hash of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def write_atomically(file: Path, text: str) -> None:
    """Replace a small text file as a whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    temporary.write_text(text + "\n")
    os.replace(temporary, file)
