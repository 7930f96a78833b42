"""Has anything changed since a file was built? Answered without importing torch or onnx.

A built file carries, in its ONNX or safetensors metadata, the hash of everything it was made from: weights, profile,
library versions, and the source of each module of this package that the model's module imports, directly or not.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import BinaryIO

from reelscope_export.errors import LibraryMissing
from reelscope_export.paths import ModelSettings
from reelscope_export.weights import Weights

METADATA_KEY = "reelscope.fingerprint"
PROVENANCE_KEY = "reelscope.provenance"
"""What the graph's `provenance` output says, as JSON, where it can be read without running the graph."""

CHECKPOINT_SUFFIX = ".safetensors"
"""Of files that Python models read; other built files are graphs."""

_PACKAGE = Path(__file__).resolve().parent
_LIBRARIES = (
    "easyocr",
    "insightface",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "openai-whisper",
    "rapidocr",
    "silero-vad",
    "torch",
    "transformers",
    "ultralytics",
)

_METADATA_FIELD = 14
"""Field number of ModelProto.metadata_props (onnx.proto)."""


def fingerprint(settings: ModelSettings, weights: Weights) -> str:
    """Hash of all that decides the bytes of a built graph, 64 hexadecimal digits."""
    parts = {
        "model": settings.model,
        "variant": settings.variant,
        "precision": settings.precision,
        "weights": [weights.sha256, weights.trained, weights.source, weights.revision, weights.licence],
        "recipe": recipe(settings.model),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def recipe(model: str) -> str:
    """Hash of the code that builds a model: library versions and sources, 64 hexadecimal digits.

    Raises:
        LibraryMissing: the extra `export` is not installed.
    """
    sources = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in source_files(model)}
    try:
        libraries = {library: version(library) for library in _LIBRARIES}
    except PackageNotFoundError as exc:
        raise LibraryMissing(f"{exc.name} is not installed: pip install 'reelscope[export]'") from exc
    return hashlib.sha256(json.dumps([sources, libraries], sort_keys=True).encode()).hexdigest()


def source_files(module: str) -> list[Path]:
    """Files of this package that `module` consists of: its own and those it imports, sorted."""
    found: set[Path] = set()
    pending = [module]
    while pending:
        file = _PACKAGE / f"{pending.pop()}.py"
        if file not in found and file.is_file():
            found.add(file)
            pending.extend(_imported_modules(file))
    return sorted(found)


def _imported_modules(file: Path) -> Iterator[str]:
    package = _PACKAGE.name
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == package:
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(f"{package}."):
            yield node.module.removeprefix(f"{package}.")


def recorded_weights(file: Path, metadata: dict[str, str]) -> Weights | None:
    """The weights that a built graph says it was made from; None when it says nothing."""
    try:
        provenance = json.loads(metadata[PROVENANCE_KEY])
        return Weights(
            file=file,
            sha256=provenance["sha256"],
            trained=provenance["trained"],
            source=provenance["source"],
            revision=provenance["revision"],
            licence=provenance["licence"],
        )
    except (KeyError, TypeError, ValueError):
        return None


def read_metadata(file: Path) -> dict[str, str]:
    """Metadata of a built file; empty when there is no file, or it is not one of ours.

    The protobuf of a graph is walked field by field: the graph, which may be hundreds of megabytes, is skipped unread.
    """
    if not file.is_file():
        return {}
    if file.suffix == CHECKPOINT_SUFFIX:
        return _read_checkpoint_metadata(file)
    found = {}
    with file.open("rb") as stream:
        try:
            for entry in _fields(stream, file.stat().st_size, _METADATA_FIELD):
                key, value = _fields(io.BytesIO(entry), len(entry), None)
                found[key.decode()] = value.decode()
        except (EOFError, ValueError):
            return {}
    return found


def _read_checkpoint_metadata(file: Path) -> dict[str, str]:
    """Metadata of safetensors: JSON behind its length, 8 bytes of little endian."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > file.stat().st_size:
            return {}
        try:
            metadata = json.loads(stream.read(length))["__metadata__"]
        except (KeyError, TypeError, ValueError):
            return {}
    return {str(key): str(text) for key, text in metadata.items()}


def _fields(stream: BinaryIO, size: int, wanted: int | None) -> Iterator[bytes]:
    """Length-delimited fields of a protobuf message: those of one number, or all."""
    while stream.tell() < size:
        tag = _varint(stream)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 0:
            _varint(stream)
        elif wire_type == 2:
            length = _varint(stream)
            if length > size - stream.tell():
                raise EOFError
            if wanted in (None, number):
                yield stream.read(length)
            else:
                stream.seek(length, os.SEEK_CUR)
        else:
            raise ValueError(f"wire type {wire_type} does not occur in ModelProto")


def _varint(stream: BinaryIO) -> int:
    value = shift = 0
    while True:
        byte = stream.read(1)
        if not byte:
            raise EOFError
        if shift > 63:
            raise ValueError("no integer of protobuf is longer than 64 bits")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
        shift += 7
