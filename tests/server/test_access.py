"""Restricted protocols and TLS, on a real server: what is refused, what opens it, and what needs no key."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import processes
import pytest
import tiny_models
import tritonclient.grpc as triton
from typer.testing import CliRunner

from conftest import a_profile
from reelscope import embedded, settings
from reelscope.cli import app
from reelscope.embedded import EmbeddedServer
from reelscope.errors import AccessDenied, ServerUnreachable, UsageError
from reelscope.inference import InferenceClient, RepositoryClient
from reelscope.inference.connection import connect
from reelscope.inference.translation import translate

KEY = "d2f1c9a07b3e4865"
RESTRICTED = {
    "model-repository": lambda client: client.get_model_repository_index(),
    "model-config": lambda client: client.get_model_config("frame_sum"),
    "shared-memory": lambda client: client.get_system_shared_memory_status(),
    "trace": lambda client: client.get_trace_settings(),
    "logging": lambda client: client.get_log_settings(),
    "statistics": lambda client: client.get_inference_statistics(),
}


@pytest.fixture(scope="module")
def key_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("keys") / "admin"
    file.write_text(KEY + "\n")
    return file


@pytest.fixture(scope="module")
def locked(repositories, key_file):
    """A server whose administrator has a key; the tests' own environment has none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REELSCOPE_TRITON_ADMIN_KEY_FILE", str(key_file))
        server = EmbeddedServer(a_profile(), models=("frame_sum",), repositories=repositories)
        server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("protocol", RESTRICTED)
def test_restricted_protocols_refuse_without_the_key_and_answer_with_it(locked, key_file, protocol, monkeypatch):
    for wrong in (None, "x" * 20):
        if wrong:
            (other := key_file.with_name("wrong")).write_text(wrong)
            monkeypatch.setenv("REELSCOPE_TRITON_ADMIN_KEY_FILE", str(other))
        with connect(locked.grpc_url) as client, pytest.raises(triton.InferenceServerException) as refused:
            RESTRICTED[protocol](client)
        assert isinstance(translate(refused.value, None), AccessDenied)
    monkeypatch.setenv("REELSCOPE_TRITON_ADMIN_KEY_FILE", str(key_file))
    with connect(locked.grpc_url) as client:
        RESTRICTED[protocol](client)


def test_frames_travel_inline_and_models_are_named_without_the_key(locked):
    with InferenceClient(locked.grpc_url) as client:
        buffer = client.allocate(8, 8)
        assert not client.uses_shared_memory
        buffer.array[:] = 1
        answer = client.submit("frame_sum", buffer, 2, ["sums"], 30).result()
        np.testing.assert_array_equal(answer["sums"], [[64, 64, 64]] * 2)
        said = b'{"source": "s", "revision": "r", "sha256": "h", "licence": "l", "precision": "p", "trained": false}'
        assert client.provenance(said, "frame_sum", "frames").version == "1"


def test_with_the_key_frames_travel_by_shared_memory(locked, key_file, monkeypatch):
    monkeypatch.setenv("REELSCOPE_TRITON_ADMIN_KEY_FILE", str(key_file))
    with InferenceClient(locked.grpc_url) as client:
        client.allocate(8, 8).close()
        assert client.uses_shared_memory


def test_commands_say_which_key_is_wanted_and_never_tell_it(locked, key_file, monkeypatch):
    def run():
        return CliRunner().invoke(app, ["models", "list", "--url", locked.grpc_url])

    refused = run()
    assert refused.exit_code == 5
    assert "access_denied" in refused.output
    assert "export REELSCOPE_TRITON_ADMIN_KEY_FILE=" in refused.output
    monkeypatch.setenv("REELSCOPE_TRITON_ADMIN_KEY_FILE", str(key_file))
    answered = run()
    assert answered.exit_code == 0
    assert "frame_sum" in answered.output
    assert KEY not in refused.output + answered.output + locked.log_path.read_text() + repr(settings.access())


def test_a_locked_server_still_listens_on_loopback_only(locked):
    assert {host for host, _ in processes.listening(locked.pid)} == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("part", "text", "message"),
    [
        ("ADMIN_KEY_FILE", None, "there is no file that can be read"),
        ("ADMIN_KEY_FILE", "short", "at least 16 characters"),
        ("ADMIN_KEY_FILE", "two words, of which one", "at least 16 characters"),
        ("ADMIN_KEY_FILE", "comma,comma,comma,comma", "at least 16 characters"),
        ("CA", None, "there is no file that can be read"),
        ("CERT", "anything", "belong together"),
    ],
)
def test_what_cannot_open_anything_is_refused_by_name(part, text, message, tmp_path, monkeypatch):
    if text is not None:
        (tmp_path / "file").write_text(text)
    monkeypatch.setenv(f"REELSCOPE_TRITON_{part}", str(tmp_path / "file"))
    with pytest.raises(UsageError, match=f"REELSCOPE_TRITON_{part}.*{message}") as refused:
        connect("127.0.0.1:1")
    assert text is None or text not in str(refused.value)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """An authority, and certificates of a server at 127.0.0.1 and of a client, made for this test."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(*new, "-x509", "-days", "2", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    for name in ("server", "client"):
        openssl(*new, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
        openssl("x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.pem")
    return folder


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not on this machine")
@pytest.mark.parametrize(
    "is_mutual", [pytest.param(False, marks=pytest.mark.slow, id="server"), pytest.param(True, id="mutual")]
)
def test_tls(repositories, certificates, is_mutual, monkeypatch):
    options = [
        "--grpc-use-ssl-mutual=true" if is_mutual else "--grpc-use-ssl=true",
        f"--grpc-server-cert={certificates / 'server.pem'}",
        f"--grpc-server-key={certificates / 'server.key'}",
        f"--grpc-root-cert={certificates / 'ca.pem'}",
    ]
    monkeypatch.setenv("REELSCOPE_TRITON_CA", str(certificates / "ca.pem"))
    if is_mutual:
        monkeypatch.setenv("REELSCOPE_TRITON_CERT", str(certificates / "client.pem"))
        monkeypatch.setenv("REELSCOPE_TRITON_CERT_KEY", str(certificates / "client.key"))
    with EmbeddedServer(a_profile(), models=("add",), repositories=repositories, options=options) as server:
        assert server.grpc_url.startswith("grpcs://127.0.0.1:")
        listed = CliRunner().invoke(app, ["models", "list", "--url", server.grpc_url])
        assert (listed.exit_code, "add" in listed.output) == (0, True)
        with RepositoryClient(server.grpc_url) as client:
            assert client.is_model_ready("add", "1")
        for name in ("CERT", "CERT_KEY") if is_mutual else ("CA",):
            monkeypatch.delenv(f"REELSCOPE_TRITON_{name}")
        for url in (server.grpc_url, server.grpc_url.removeprefix("grpcs://")):
            with pytest.raises(ServerUnreachable):
                InferenceClient(url)


def test_a_candidate_from_elsewhere_is_refused(locked, key_file, tmp_path, monkeypatch):
    """The server answers, but what is to be rolled lies outside the repositories that it serves."""
    monkeypatch.setenv("REELSCOPE_TRITON_ADMIN_KEY_FILE", str(key_file))
    tiny_models.write_model(tmp_path, "frame_sum", tiny_models.frame_sum(), tiny_models.FRAME_SUM_CONFIG)
    (tmp_path / "frame_sum" / "candidate").mkdir()
    shutil.copy(tmp_path / "frame_sum" / "1" / "model.onnx", tmp_path / "frame_sum" / "candidate")
    command = ["models", "roll", "frame_sum", "--url", locked.grpc_url, "--repository", str(tmp_path)]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 2
    assert "the server does not serve" in refused.output
    assert sorted(path.name for path in (tmp_path / "frame_sum").iterdir()) == ["1", "candidate", "config.pbtxt"]
    assert embedded.running() is None
