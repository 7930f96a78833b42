"""The application: what a gateway consists of, who may use it, and how errors are answered."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBasic, HTTPBasicCredentials, HTTPBearer
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from reelscope import __version__
from reelscope.errors import ReelscopeError, UsageError
from reelscope.gateway import description, intake, routes
from reelscope.gateway.configuration import Configuration
from reelscope.gateway.health import Watch
from reelscope.gateway.jobs import Jobs
from reelscope.gateway.observability import Frame, Metrics, problem_response
from reelscope.gateway.problems import Problem
from reelscope.gateway.routes import Gateway
from reelscope.gateway.runner import ProcessRunner, ReportBuilder, Runner, report_by_process

PAGE = Path(__file__).parent / "page"
"""What is served at /, with its files below /page: a page that uses these routes."""


def create_app(
    configuration: Configuration, *, runner: Runner | None = None, build_report: ReportBuilder = report_by_process
) -> FastAPI:
    """Make the application of one gateway.

    Args:
        configuration: what the operator chose; its folders are made when missing.
        runner: analyses clips; by default each in a process of its own.
        build_report: makes reports; by default `reelscope.report.build`, in a process of its own as well.

    Raises:
        UsageError: the jobs cannot be kept in the folder.
    """
    try:
        for folder in (configuration.folder, configuration.clips, configuration.scratch):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{configuration.folder}: the jobs cannot be kept there ({error.strerror})") from error
    metrics = Metrics(configuration.queue_length)
    jobs = Jobs(configuration, runner or ProcessRunner(configuration.scratch), metrics)
    watch = Watch(configuration)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(watch.run())
        await jobs.start()
        yield
        await jobs.close()
        watching.cancel()
        await asyncio.wait([watching])

    app = FastAPI(
        title="reelscope",
        version=__version__,
        description=description.ABOUT,
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.gateway = Gateway(configuration, jobs, watch, metrics, build_report)
    app.add_middleware(
        Frame,
        metrics=metrics,
        allowed_hosts=configuration.allowed_hosts,
        max_body_bytes=configuration.max_upload_bytes,
    )
    for kind, answer in (
        (Problem, problem_response),
        (ReelscopeError, lambda error: problem_response(Problem.of(error))),
        (RequestValidationError, lambda error: problem_response(intake.invalid(error.errors()))),
        (HTTPException, _refused),
    ):
        app.add_exception_handler(kind, lambda request, error, answer=answer: answer(error))
    keys = [Depends(Keys(configuration.api_keys))]
    app.include_router(routes.probes)
    app.include_router(routes.state, dependencies=keys)
    app.include_router(routes.analyses, dependencies=keys)
    app.add_api_route("/", lambda: FileResponse(PAGE / "index.html"), include_in_schema=False, response_model=None)
    app.mount("/page", StaticFiles(directory=PAGE))
    return app


class Keys:
    """Lets in who has a key: as a bearer token, or as the password of HTTP's basic authentication, as browsers ask."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        """Accept any of these keys; without any, everybody."""
        self._keys = [key.encode() for key in keys]

    async def __call__(
        self,
        bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))],
        basic: Annotated[HTTPBasicCredentials | None, Depends(HTTPBasic(auto_error=False))],
    ) -> None:
        """Refuse who has none.

        Raises:
            Problem: no key, or a wrong one.
        """
        given = (bearer.credentials if bearer else basic.password if basic else "").encode()
        # Every key is compared, whichever fits: the time tells nothing.
        if self._keys and not sum(hmac.compare_digest(given, key) for key in self._keys):
            headers = {"WWW-Authenticate": 'Basic realm="reelscope", charset="UTF-8"'}
            raise Problem("unauthorized", "send a key: Authorization: Bearer KEY", headers)


def _refused(error: HTTPException) -> Response:
    if error.status_code == 204:
        return Response(status_code=204)
    return problem_response(Problem.of_status(error.status_code, str(error.detail), error.headers))
