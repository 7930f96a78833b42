"""Requests into jobs. Paths are taken only below the roots; the name of an upload names nothing but itself."""

from __future__ import annotations

import asyncio
import errno
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.requests import Request

from reelscope.gateway.configuration import Configuration
from reelscope.gateway.problems import Problem
from reelscope.gateway.schemas import Options, PathRequest
from reelscope.gateway.store import JobRecord

JSON_BYTES = 64 * 1024
"""Longest JSON body."""
_FIELD_BYTES = 16 * 1024
_MAX_FIELDS = 100
_NAME_CHARACTERS = 200

Model = TypeVar("Model", bound=BaseModel)


async def receive(request: Request, job_id: str, limits: Configuration) -> JobRecord:
    """Read a request into a job; an upload is kept under the job's name.

    Raises:
        Problem: the request, a path or an option is refused. Then nothing of it is kept.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        asked = _valid(PathRequest, await _json(request))
        clip = below_roots(asked.video_path, limits.roots)
        options = Options(**asked.model_dump(exclude={"video_path"}))
        check(options, limits)
        name = _shown_name(clip.name)
        return JobRecord(id=job_id, name=name, clip=clip, is_upload=False, options=options.model_dump())
    if kind == "multipart/form-data":
        return await _upload(request, job_id, limits)
    raise Problem("unsupported_media_type", f"send application/json or multipart/form-data, not {kind or 'nothing'}")


def below_roots(text: str, roots: tuple[Path, ...]) -> Path:
    """The clip that a path names, links followed; a relative one is looked for below every root.

    What lies elsewhere is not told from what is not there.

    Raises:
        Problem: there is no file of that name below the roots.
    """
    if "\0" in text:
        raise Problem("malformed_request", "video_path holds a null character")
    if not roots:
        raise Problem("input_not_found", "this gateway has no --root to read clips from: upload it")
    for root in roots:
        try:
            clip = (root / text).resolve(strict=True)
            if clip.is_relative_to(root) and clip.is_file():
                return clip
        except (OSError, RuntimeError, ValueError):  # not there, links in a circle, no name of a file
            continue
    raise Problem("input_not_found", "no such clip below the gateway's roots")


def check(options: Options, limits: Configuration) -> None:
    """Refuse what this gateway does not grant.

    Raises:
        Problem: an option asks for more than the gateway's limits.
        UsageError: there is no analyzer of that name.
    """
    from reelscope import pipeline

    pipeline.select(options.only)
    asked = (
        ("timeout_s", options.timeout_s, limits.budget_seconds),
        ("max_duration_s", options.max_duration_s, limits.max_seconds),
    )
    for name, value, limit in asked:
        if value is not None and value > limit:
            raise Problem("invalid_request", f"{name} is {value:g}; this gateway allows {limit:g}")


async def _json(request: Request) -> Any:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > JSON_BYTES:
            raise Problem("upload_too_large", f"a JSON body has at most {JSON_BYTES} bytes")
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Problem("malformed_request", "the body is not JSON") from error


async def _upload(request: Request, job_id: str, limits: Configuration) -> JobRecord:
    clip = limits.clips / job_id
    try:
        async with request.form(max_files=1, max_fields=_MAX_FIELDS, max_part_size=_FIELD_BYTES) as form:
            video = form.get("video")
            if not isinstance(video, UploadFile):
                raise Problem("invalid_request", "the form needs a field `video` that holds the file")
            options = _valid(Options, _fields([item for item in form.multi_items() if item[0] != "video"]))
            check(options, limits)
            await asyncio.to_thread(_keep, video, clip)
            name = _shown_name(video.filename or "")
    except BaseException as error:
        clip.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise Problem("disk_full", "there is no room for the clip", {"Retry-After": "60"}) from error
        raise
    return JobRecord(id=job_id, name=name, clip=clip, is_upload=True, options=options.model_dump())


def _keep(video: UploadFile, clip: Path) -> None:
    with clip.open("xb") as file:
        shutil.copyfileobj(video.file, file, 1 << 20)


def _fields(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """Options of a form: `only` may be given several times, or name several analyzers, separated by commas."""
    fields: dict[str, Any] = {}
    for name, value in items:
        if name == "only" and isinstance(value, str):
            fields.setdefault(name, []).extend(part.strip() for part in value.split(","))
        elif name in fields:
            raise Problem("invalid_request", f"{name} is given more than once")
        else:
            fields[name] = value
    return fields


def _valid(model: type[Model], values: Any) -> Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False, include_context=False, include_input=False)) from error


def invalid(errors: Sequence[Any]) -> Problem:
    """The problem of values that do not fit, which names every one of them."""
    found = [{"at": ".".join(map(str, each["loc"])), "message": each["msg"]} for each in errors]
    said = "; ".join(f"{each['at']}: {each['message']}" if each["at"] else each["message"] for each in found)
    return Problem("invalid_request", said, errors=found)


def _shown_name(name: str) -> str:
    """The last part of a name, as one short line of text."""
    last = re.split(r"[/\\]", name)[-1]
    return "".join(character for character in last if character.isprintable())[:_NAME_CHARACTERS] or "clip"
