"""Errors over HTTP: one table from code to status, and bodies after RFC 9457 (application/problem+json).

Codes are those of `reelscope.errors`, and the gateway's own. The OpenAPI document is written from the table, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from reelscope.errors import ReelscopeError

MEDIA_TYPE = "application/problem+json"

STATUSES: Mapping[str, int] = {
    "malformed_request": 400,
    "unauthorized": 401,
    "foreign_host": 403,
    "cross_site": 403,
    "not_found": 404,
    "job_not_found": 404,
    "input_not_found": 404,
    "method_not_allowed": 405,
    "not_finished": 409,
    "no_results": 409,
    "no_captions": 409,
    "job_erased": 409,
    "upload_too_large": 413,
    "unsupported_media_type": 415,
    "invalid_request": 422,
    "usage": 422,
    "input_invalid": 422,
    "input_unreadable": 422,
    "input_too_long": 422,
    "no_video_stream": 422,
    "queue_full": 429,
    "internal_error": 500,
    "job_crashed": 500,
    "disk_full": 503,
    "interrupted": 503,
    "client_disconnected": 503,
    "server_error": 503,
    "server_unreachable": 503,
    "deadline_exceeded": 504,
}
"""HTTP status of every code. 409: the job is there, but not (or not any more) what is asked of it."""

TITLES: Mapping[str, str] = {
    "malformed_request": "The request cannot be read",
    "unauthorized": "A key is needed",
    "foreign_host": "This gateway is not known by that name",
    "cross_site": "Another web site asked",
    "not_found": "There is nothing at this address",
    "job_not_found": "There is no such job",
    "input_not_found": "There is no such clip below the roots",
    "method_not_allowed": "This address does not know the method",
    "not_finished": "The job has not ended yet",
    "no_results": "The job ended without results",
    "no_captions": "There are no captions to write",
    "job_erased": "The job was deleted while it was waited for",
    "upload_too_large": "The request is larger than is allowed",
    "unsupported_media_type": "Neither JSON nor a multipart form",
    "invalid_request": "The request does not fit",
    "usage": "An option makes no sense",
    "input_invalid": "The clip cannot be analysed",
    "input_unreadable": "The clip cannot be read",
    "input_too_long": "The clip is longer than is allowed",
    "no_video_stream": "The file holds no moving pictures",
    "queue_full": "Too many jobs are waiting",
    "internal_error": "Something is wrong with this program",
    "job_crashed": "The process that analysed the clip ended without a word",
    "disk_full": "There is no room for the clip",
    "interrupted": "The gateway ended while the job ran",
    "client_disconnected": "Nobody waited for the answer any more",
    "server_error": "The Triton server cannot be used",
    "server_unreachable": "No Triton server answers",
    "deadline_exceeded": "The job took longer than it was allowed to",
}


class Problem(Exception):
    """A request, or a job, that ends with an error of the table."""

    def __init__(self, code: str, detail: str, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        """Say what is wrong; `members` are added to the body."""
        super().__init__(detail)
        self.code = code if code in STATUSES else "internal_error"
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members

    @property
    def status(self) -> int:
        """HTTP status."""
        return STATUSES[self.code]

    def body(self) -> dict[str, Any]:
        """The members of RFC 9457, and `code`."""
        return {
            "type": f"urn:reelscope:problem:{self.code}",
            "title": TITLES[self.code],
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            **self.members,
        }

    @classmethod
    def of(cls, error: ReelscopeError) -> Problem:
        """The problem that one of our errors is."""
        return cls(code_of(error), str(error))

    @classmethod
    def of_status(cls, status: int, detail: str, headers: Mapping[str, str] | None = None) -> Problem:
        """The problem that an error of the framework is; of those without a code of ours, the nearest."""
        general = {
            401: "unauthorized",
            404: "not_found",
            405: "method_not_allowed",
            413: "upload_too_large",
        }
        return cls(general.get(status, "malformed_request" if status < 500 else "internal_error"), detail, headers)


def code_of(error: ReelscopeError) -> str:
    """Code of the table for one of our errors: its own, or that of the nearest kind of error that is in the table."""
    codes = (getattr(kind, "code", "") for kind in type(error).__mro__)
    return next((code for code in codes if code in STATUSES), "internal_error")


def example(code: str) -> dict[str, Any]:
    """A body as the OpenAPI document shows it."""
    return {"summary": HTTPStatus(STATUSES[code]).phrase, "value": Problem(code, TITLES[code].lower()).body()}
