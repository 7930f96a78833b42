"""The OpenAPI document is kept: schemathesis makes requests of it, good and bad ones, and holds the answers to it."""

from __future__ import annotations

import socket
import threading

import httpx2
import pytest
import schemathesis
import uvicorn
from exporting import file as results_file
from gateways import ROUTES, Conducted, configured, until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from reelscope.gateway.app import create_app

CHECKS = [
    not_a_server_error,
    checks.allow_header_conformance,
    checks.content_type_conformance,
    checks.negative_data_rejection,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.status_code_conformance,
    checks.unsupported_method,
]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A gateway at a real socket, which knows three jobs: completed, failed and one that runs."""
    folder = tmp_path_factory.mktemp("gateway")
    runner = Conducted(results=results_file())

    async def report(results, clip, name):
        return "<!doctype html>"

    app = create_app(configured(folder, queue_length=10_000), runner=runner, build_report=report)
    (folder / "root" / "test1.mp4").write_bytes(b"clip")
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def jobs(address):
    with httpx2.Client(base_url=address) as client:
        form = {"files": {"video": ("a.mp4", b"clip")}}
        done = client.post("/analyze", **form).headers["location"].rpartition("/")[2]
        until(lambda: client.get(f"/jobs/{done}").json()["state"] == "completed")
    return ["no-such-job", done]


@pytest.fixture(scope="module")
def document(address):
    return schemathesis.openapi.from_url(f"{address}/openapi.json")


GOOD, BAD = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
PROBES = ("/livez", "/readyz")  # they take nothing that could be wrong
ASKED = [(*route, mode) for route in ROUTES for mode in (GOOD, BAD) if mode is GOOD or route[1] not in PROBES]


@pytest.mark.parametrize("count", [8, pytest.param(150, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("method", "path", "mode"), ASKED)
def test_the_document_is_kept(document, jobs, method, path, mode, count):
    operation = document[path][method]

    @given(case=operation.as_strategy(generation_mode=mode), job=st.sampled_from([None, *jobs]))
    @settings(
        max_examples=count, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
    )
    def ask(case, job):
        if job and "job_id" in case.path_parameters and method != "DELETE":
            case.path_parameters["job_id"] = job
        response = case.call(timeout=20)
        # There is no Triton server here, and that is what these two say.
        is_expected = response.status_code == 503 and path in ("/health", "/readyz")
        case.validate_response(response, checks=CHECKS[1:] if is_expected else CHECKS)

    ask()
