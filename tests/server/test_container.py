"""Production's Triton: what it is started with, what stops it before it starts, when it is ready; and compose's file.

The server is real (the embedded one's binary) with production's command; the container around it is not run here.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from conftest import a_profile
from places import CHECKOUT
from reelscope import container, settings
from reelscope.embedded.installation import backend_folder, find_installation
from reelscope.embedded.options import RESTRICTED
from reelscope.errors import ServerStartFailed, ServerUnreachable, UsageError

REPOSITORIES = (CHECKOUT / "model_repository", CHECKOUT / "ensembles")
KEY = "0123456789abcdef0123456789abcdef"


def program(folder: Path, name: str, output: str, status: int = 0) -> Path:
    """A program that prints something."""
    file = folder / name
    file.write_text(f"#!/bin/sh\ncat <<'END'\n{output}\nEND\nexit {status}\n")
    file.chmod(0o755)
    return file


@pytest.fixture
def new_triton(tmp_path):
    return program(tmp_path, "tritonserver", "Usage: tritonserver [options]\n  --allow-client-shm <boolean>")


def test_the_command_loads_the_whole_profile_and_ensembles_last(new_triton):
    profile = settings.profile("rtx8000")
    line, models = container.command(profile, REPOSITORIES, binary=new_triton)
    loaded = [option.partition("=")[2] for option in line if option.startswith("--load-model=")]
    ensembles = {folder.name for folder in REPOSITORIES[1].iterdir() if folder.is_dir()}
    assert loaded == [model.name for model in models]
    assert set(loaded) == {*profile.models, *ensembles}
    assert set(loaded[: len(profile.models)]) == set(profile.models)
    assert "--model-control-mode=explicit" in line
    assert "--exit-on-error=false" in line
    assert "--allow-http=false" in line
    assert not [option for option in line if option.startswith("--model-config-name")], "config.pbtxt is the RTX 8000's"


def test_shared_memory_is_allowed_where_the_server_has_to_be_told(new_triton, tmp_path):
    old_triton = program(tmp_path, "old", "Usage: tritonserver [options]\n  --allow-http <boolean>", status=1)
    profile = settings.profile("rtx8000")
    assert "--allow-client-shm=true" in container.command(profile, REPOSITORIES, binary=new_triton)[0]
    assert "--allow-client-shm=true" not in container.command(profile, REPOSITORIES, binary=old_triton)[0]
    with pytest.raises(ServerStartFailed, match="cannot be run"):
        container.command(profile, REPOSITORIES, binary=tmp_path / "none")


def test_slots_switch_the_rate_limiter_on(new_triton, repositories):
    profile = replace(a_profile(models=("add",)), slots={"GPUSLOT": 2, "VLMSLOT": 1})
    line, _ = container.command(profile, repositories, binary=new_triton)
    assert [each for each in line if each.startswith("--rate-limit")] == [
        "--rate-limit=execution_count",
        "--rate-limit-resource=GPUSLOT:2",
        "--rate-limit-resource=VLMSLOT:1",
    ]
    line, _ = container.command(a_profile(models=("add",)), repositories, binary=new_triton)
    assert not [each for each in line if each.startswith("--rate-limit")]


def test_the_key_restricts_both_protocols(new_triton, repositories):
    profile = a_profile(models=("add",))
    line, _ = container.command(profile, repositories, binary=new_triton, http=True, admin_key=KEY)
    restricting = [each for each in line if KEY in each]
    assert [each.partition("=")[0] for each in restricting] == ["--grpc-restricted-protocol", "--http-restricted-api"]
    assert all(each.endswith(f"={RESTRICTED}:admin-key={KEY}") for each in restricting)


def test_certificates(new_triton, repositories, tmp_path):
    profile, folder = a_profile(models=("add",)), tmp_path / "tls"
    folder.mkdir()
    (folder / "server.crt").write_text("certificate")
    with pytest.raises(UsageError, match=r"server\.key: the key of the certificate cannot be read"):
        container.command(profile, repositories, binary=new_triton, tls_folder=folder)
    (folder / "server.key").write_text("key")
    line, _ = container.command(profile, repositories, binary=new_triton, tls_folder=folder)
    assert {"--grpc-use-ssl=true", f"--grpc-server-cert={folder}/server.crt"} < set(line)
    assert f"--grpc-server-key={folder}/server.key" in line
    (folder / "clients.crt").write_text("issuer")
    line, _ = container.command(profile, repositories, binary=new_triton, tls_folder=folder)
    assert {"--grpc-use-ssl-mutual=true", f"--grpc-root-cert={folder}/clients.crt"} < set(line)
    assert "--grpc-use-ssl=true" not in line


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ("Quadro RTX 8000, 535.183.01, 7.5, 46080 MiB", r"driver is 535\.183\.01; .* wants 580\.65\.06 or later"),
        ("Quadro RTX 8000, 580.64.99, 7.5, 46080 MiB", r"driver is 580\.64\.99"),
        ("Tesla V100, 580.95.05, 7.0, 16384 MiB", r"Tesla V100: compute capability 7\.0"),
        ("", "lists no GPU"),
    ],
)
def test_an_old_driver_or_gpu_is_refused(monkeypatch, tmp_path, listed, said):
    program(tmp_path, "nvidia-smi", listed)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(ServerStartFailed, match=said):
        container.check_gpu(settings.profile("rtx8000"))


def test_the_gpu_is_named_and_a_profile_without_one_asks_nobody(monkeypatch, tmp_path):
    program(tmp_path, "nvidia-smi", "Quadro RTX 8000, 580.95.05, 7.5, 46080 MiB")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert container.check_gpu(settings.profile("rtx8000")) == "Quadro RTX 8000, 46080 MiB, driver 580.95.05"
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert container.check_gpu(settings.profile("cpu")) == ""
    with pytest.raises(ServerStartFailed, match="NVIDIA Container Toolkit"):
        container.check_gpu(settings.profile("rtx8000"))


def test_errors_are_one_line_and_exit_code_2(monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert container.main(["run", "--profile", "rtx8000"]) == 2
    assert capfd.readouterr().err.startswith("reelscope: error (server_start_failed): profile rtx8000 needs a GPU")


class Production:
    """A server with production's command, on a free port, on loopback; one of its models is broken."""

    def __init__(self, folder: Path) -> None:
        self.repositories = tiny_models.write_repositories(folder)
        tiny_models.write_model(self.repositories[0], "broken", b"no graph", tiny_models.ADD_CONFIG)
        self.profile = a_profile(models=("add", "broken", "describe", "frame_sum"))
        installation = find_installation()
        line, _ = container.command(self.profile, self.repositories, binary=installation.binary, admin_key=KEY)
        with socket.create_server(("127.0.0.1", 0)) as free, socket.create_server(("127.0.0.1", 0)) as another:
            self.url, metrics = f"127.0.0.1:{free.getsockname()[1]}", another.getsockname()[1]
        line += [f"--backend-directory={backend_folder(installation)}", "--grpc-address=127.0.0.1"]
        line += [f"--grpc-port={self.url.partition(':')[2]}", f"--metrics-port={metrics}"]
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [*line, "--metrics-address=127.0.0.1"], env=installation.environment(), stdout=log, stderr=log
            )

    def wait_for(self, expected: list[str]) -> None:
        deadline = time.monotonic() + 30
        while (found := self.not_ready()) != expected:
            assert time.monotonic() < deadline, found
            assert self.process.poll() is None
            time.sleep(0.05)

    def not_ready(self) -> list[str]:
        try:
            return container.not_ready(self.url, self.profile, self.repositories)
        except ServerUnreachable:
            return ["server"]


@pytest.fixture(scope="module")
def production(tmp_path_factory):
    folder = tmp_path_factory.mktemp("production")
    started = Production(folder)
    try:
        started.wait_for(["broken 1"])
        yield started
    finally:
        started.process.terminate()
        started.process.wait(30)


def test_one_broken_model_leaves_the_others_serving_and_the_server_not_ready(production):
    assert production.not_ready() == ["broken 1"]
    with triton.InferenceServerClient(production.url) as client:
        frames = triton.InferInput("frames", [1, 2, 2, 3], "UINT8")
        frames.set_data_from_numpy(np.ones((1, 2, 2, 3), np.uint8))
        assert client.infer("described", [frames]).as_numpy("words").tolist() == [[b"4 4 4"]]


def test_the_repository_says_which_version_must_be_ready(production):
    version = production.repositories[0] / "add" / "2"
    version.mkdir()
    (version / "model.onnx").write_bytes((version.parent / "1" / "model.onnx").read_bytes())
    assert production.not_ready() == ["add 2", "broken 1"]
    with triton.InferenceServerClient(production.url) as client:
        client.load_model("add", headers={"triton-grpc-protocol-admin-key": KEY})
    assert production.not_ready() == ["broken 1"]


def test_control_calls_want_the_key(production):
    with triton.InferenceServerClient(production.url) as client:
        calls = (
            lambda **how: client.get_model_repository_index(**how),
            lambda **how: client.get_model_config("add", **how),
            lambda **how: client.get_system_shared_memory_status(**how),
            lambda **how: client.get_trace_settings(**how),
            lambda **how: client.get_log_settings(**how),
            lambda **how: client.get_inference_statistics("add", **how),
        )
        for call in calls:
            with pytest.raises(InferenceServerException, match="protocol is restricted"):
                call()
            call(headers={"triton-grpc-protocol-admin-key": KEY})


@pytest.fixture(scope="module")
def services():
    compose = [Path(sys.executable).parent / "docker-compose", "-f", CHECKOUT / "server" / "compose.yaml"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    done = subprocess.run(
        [*compose, "--env-file", "/dev/null", "config", "--format", "json"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)["services"]


def test_compose_publishes_on_loopback_only_and_nothing_runs_as_root(services):
    assert set(services) == {"triton", "gateway", "prometheus", "grafana"}
    for name, service in services.items():
        assert {port["host_ip"] for port in service["ports"]} == {"127.0.0.1"}, name
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert int(service["user"].partition(":")[0]) > 0, name
        assert service["logging"]["options"] == {"max-file": "5", "max-size": "20m"}, name
        assert service["healthcheck"]["test"], name
        assert not service.get("privileged"), name


def test_compose_shares_memory_between_one_user_and_mounts_models_read_only(services):
    gateway, server = services["gateway"], services["triton"]
    assert (server["ipc"], gateway["ipc"]) == ("shareable", "service:triton")
    assert gateway["user"] == server["user"], "windows are readable by their owner alone"
    mounts = {volume["target"]: volume for volume in server["volumes"]}
    assert mounts["/opt/reelscope/model_repository"]["read_only"]
    assert mounts["/opt/reelscope/model_repository"]["source"] == str(CHECKOUT / "model_repository")


def test_composes_commands_are_ones_that_our_programs_take(services, monkeypatch):
    taken = []
    monkeypatch.setattr(container, "_run", lambda options, profile: taken.append((options, profile)) or 0)
    monkeypatch.setattr(container, "_ready", lambda options, profile: taken.append((options, profile)) or 0)
    assert container.main(services["triton"]["command"]) == 0
    check = services["triton"]["healthcheck"]["test"]
    assert check[:4] == ["CMD", "python3", "-m", "reelscope.container"]
    assert container.main(check[4:]) == 0
    (_, profile), (ready, asked) = taken
    assert services["triton"]["environment"]["REELSCOPE_TRITON_ADMIN_KEY_FILE"] == "/run/secrets/triton_admin_key"
    assert profile == asked == settings.profile("rtx8000")
    assert ready.url == "localhost:8001"


def test_every_package_of_the_images_is_locked():
    locked = {line.partition("==")[0] for line in (CHECKOUT / "requirements.lock").read_text().splitlines()}
    for image in ("triton", "gateway"):
        lines = (CHECKOUT / "server" / image / "requirements.in").read_text().splitlines()
        wanted = {line.partition("[")[0] for line in lines if line and not line.startswith("#")}
        assert wanted <= locked, image


def test_secrets_are_made_once(tmp_path):
    script = tmp_path / "make-secrets.sh"
    script.write_bytes((CHECKOUT / "server" / "make-secrets.sh").read_bytes())
    subprocess.run(["sh", script], check=True, capture_output=True)
    made = {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()}
    assert set(made) == {"triton_admin_key", "gateway_api_keys", "grafana_admin_password"}
    assert len(set(made.values())) == 3
    assert all(len(text.strip()) == 64 for text in made.values())
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    subprocess.run(["sh", script], check=True, capture_output=True)
    assert {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()} == made
