"""The embedded server's life: what it refuses to start, where it listens, and that nothing of it remains."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import urllib.request

import processes
import pytest
import tiny_models

from conftest import WORKING, a_profile
from reelscope.embedded import EmbeddedServer, installation
from reelscope.embedded import server as server_module
from reelscope.embedded.supervisor import sweep_shared_memory
from reelscope.errors import ModelNotBuilt, ServerError, ServerStartFailed, UsageError
from reelscope.inference import RepositoryClient
from reelscope.processes import ProcessIdentity


@pytest.fixture
def repository(tmp_path):
    """A repository of its own, whose path marks the processes that serve it."""
    folder = tmp_path / "own-models"
    tiny_models.write_model(folder, "add", tiny_models.add(), tiny_models.ADD_CONFIG)
    return folder


@pytest.fixture
def leftovers(repository):
    """Fail when, at the end, a process or shared memory of this test is still there."""
    yield
    assert processes.of_server(str(repository)) == []
    assert processes.leaked_shared_memory() == []


def start(repository, **options):
    options.setdefault("models", ["add"])
    return EmbeddedServer(options.pop("profile", a_profile()), repositories=[repository], **options)


def write_variant(repository, name, text):
    folder = repository / name / "configs"
    folder.mkdir(exist_ok=True)
    (folder / "cpu.pbtxt").write_text(text)


def test_progress_per_model_and_ensembles_last(server, progress):
    *models, last = [model for model, state in progress if state == "ready"]
    assert (set(models), last) == ({*WORKING}, "described")
    assert progress.index(("described", "loading")) > max(progress.index((model, "ready")) for model in WORKING)


def test_a_python_model_is_loaded_once_though_its_ensemble_comes_later(server):
    """Byte code that it writes while it loads would be a change to Triton."""
    assert server.log_path.read_text().count("loading: describe:1") == 1


def test_listens_on_loopback_only_and_without_http(server):
    addresses = processes.listening(server.pid)
    assert {host for host, _ in addresses} == {"127.0.0.1"}
    expected = {int(server.grpc_url.rpartition(":")[2]), int(server.metrics_url.split(":")[2].split("/")[0])}
    assert {port for _, port in addresses} == expected
    assert server.http_url == ""
    with urllib.request.urlopen(server.metrics_url, timeout=5) as answer:
        assert b"nv_inference_count" in answer.read()


def test_http_when_asked_for(repository, leftovers):
    with start(repository, http=True) as server:
        assert {host for host, _ in processes.listening(server.pid)} == {"127.0.0.1"}
        with urllib.request.urlopen(f"http://{server.http_url}/v2/models/add", timeout=5) as answer:
            assert b'"add"' in answer.read()
        log = server.log_path
        assert processes.of_server(str(repository))
    assert log.is_file()
    assert server.log_path.parent.name == "logs"


def test_gone_after_an_exception(repository, leftovers):
    server = start(repository)

    def interrupted():
        with server:
            assert ProcessIdentity.of(server.pid)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert ProcessIdentity.of(server.pid) is None
    with pytest.raises(ServerError, match="not running"):
        _ = server.supervisor


def test_gone_after_tritonserver_is_killed(repository, leftovers):
    with start(repository) as server:
        os.kill(server.pid, signal.SIGKILL)
        processes.wait_until(lambda: not processes.of_server(str(repository)))


def test_gone_after_the_supervisor_is_killed(repository, leftovers):
    with start(repository) as server:
        os.kill(server.supervisor.pid, signal.SIGKILL)
        processes.wait_until(lambda: not processes.of_server(str(repository)))


OWNER = """
    import sys, time
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from conftest import a_profile
    from reelscope.embedded import EmbeddedServer
    with EmbeddedServer(a_profile(), models=["add"], repositories=[Path({repository!r})]):
        print("ready", flush=True)
        time.sleep(60)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_gone_after_its_owner_is_killed(repository, leftovers, how):
    script = textwrap.dedent(OWNER).format(tests=os.path.dirname(__file__), repository=str(repository))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment) as owner:
        assert owner.stdout.readline() == "ready\n"
        owner.send_signal(how)
    processes.wait_until(lambda: not processes.of_server(str(repository)))


def test_start_that_fails_leaves_nothing_and_quotes_triton(repository, leftovers):
    tiny_models.write_model(repository, "broken", b"this is no ONNX", tiny_models.PICK_CONFIG)
    with pytest.raises(ServerStartFailed) as failure:
        start(repository, models=["broken"]).start()
    assert "broken did not load" in str(failure.value)
    assert "Protobuf parsing failed" in str(failure.value)


def test_broken_and_unbuilt_models_name_themselves_and_the_others_serve(repository, leftovers):
    tiny_models.write_model(repository, "broken", b"this is no ONNX", tiny_models.PICK_CONFIG)
    tiny_models.write_model(repository, "absent", b"", tiny_models.PICK_CONFIG)
    (repository / "absent" / "1" / "model.onnx").unlink()
    states = []
    named = ["broken", "absent", "add"]
    with start(repository, models=named, on_progress=lambda *news: states.append(news)) as server:
        assert server.failed.keys() == {"broken", "absent"}
        assert "Protobuf parsing failed" in str(server.failed["broken"])
        assert str(server.failed["absent"]) == (
            "absent: 1/model.onnx is not built; run: reelscope-export absent --profile test"
        )
        with RepositoryClient(server.grpc_url) as client:
            assert [client.is_model_ready(name, "1") for name in named] == [False, False, True]
    assert {("broken", "failed"), ("absent", "failed"), ("add", "ready")} <= set(states)


def test_several_models_are_loaded_at_once(repository, leftovers, monkeypatch):
    tiny_models.write_model(repository, "broken", b"this is no ONNX", tiny_models.PICK_CONFIG)
    tiny_models.write_model(repository, "second", tiny_models.add(), tiny_models.ADD_CONFIG)
    monkeypatch.setattr(server_module, "LOADS_AT_ONCE", 3)
    told, begun = [], threading.Barrier(3, timeout=30)
    named = ["broken", "second", "add"]

    def tell(model, state):
        told.append((model, state))
        if state == "loading":
            begun.wait()

    with start(repository, models=named, on_progress=tell) as server:
        assert server.failed.keys() == {"broken"}
        with RepositoryClient(server.grpc_url) as client:
            assert [client.is_model_ready(name, "1") for name in named] == [False, True, True]
    assert [state for _, state in told[:3]] == ["loading"] * 3
    assert set(told[3:]) == {("broken", "failed"), ("second", "ready"), ("add", "ready")}


def test_the_largest_model_is_loaded_first(repository, leftovers, monkeypatch):
    larger = tiny_models.add()
    larger.doc_string = "large " * 1000
    tiny_models.write_model(repository, "larger", larger, tiny_models.ADD_CONFIG)
    monkeypatch.setattr(server_module, "LOADS_AT_ONCE", 1)
    told = []
    with start(repository, models=["add", "larger"], on_progress=lambda *news: told.append(news)):
        assert [name for name, state in told if state == "loading"] == ["larger", "add"]


def test_kind_gpu_without_gpu_says_so(repository, leftovers):
    config = tiny_models.ADD_CONFIG.replace("KIND_CPU", "KIND_GPU")
    tiny_models.write_model(repository, "on_gpu", tiny_models.add(), config)
    with pytest.raises(ServerStartFailed, match=r"on_gpu.*(?i:gpu)"):
        start(repository, models=["on_gpu"]).start()


def test_deadline_is_kept(repository, leftovers):
    with pytest.raises(ServerStartFailed, match="add did not load"):
        start(repository, timeout_seconds=0.05).start()


def test_unbuilt_model_names_the_command(repository):
    (repository / "add" / "1" / "model.onnx").unlink()
    with pytest.raises(ModelNotBuilt, match=r"add: 1/model\.onnx .*reelscope-export add --profile test"):
        start(repository).start()
    shutil.rmtree(repository / "add" / "1")
    with pytest.raises(ModelNotBuilt, match="reelscope-export add --profile test"):
        start(repository).start()


def test_unknown_model_lists_the_known(repository):
    with pytest.raises(UsageError, match="no model nothing in the repository; there are: add"):
        start(repository, models=["nothing"]).start()


def test_missing_variant_is_refused(repository):
    with pytest.raises(ServerStartFailed, match=r"add: configs/cpu\.pbtxt is missing"):
        start(repository, profile=a_profile(config_name="cpu")).start()


def test_config_that_does_not_parse_names_its_file(repository):
    (repository / "add" / "config.pbtxt").write_text("name: add {")
    with pytest.raises(UsageError, match=r"add/config\.pbtxt: not a Triton model config: 1:"):
        start(repository).start()


def test_variant_is_served_and_checked(repository, leftovers, monkeypatch):
    config = f'name: "add" backend: "onnxruntime" {tiny_models.ADD_CONFIG} default_model_filename: "cpu.onnx"'
    write_variant(repository, "add", config)
    profile = a_profile(config_name="cpu")
    with pytest.raises(ModelNotBuilt, match=r"1/cpu\.onnx"):
        start(repository, profile=profile).start()
    shutil.copyfile(repository / "add" / "1" / "model.onnx", repository / "add" / "1" / "cpu.onnx")
    with start(repository, profile=profile) as server, RepositoryClient(server.grpc_url) as client:
        loaded = client.model_config("add")
        assert loaded["default_model_filename"] == "cpu.onnx"
        assert [group["kind"] for group in loaded["instance_group"]] == ["KIND_CPU"]
        assert [(row.name, row.version, row.state) for row in client.repository_index()] == [("add", "1", "READY")]
    # Triton's silent fallback, as if the variant had vanished after it was read.
    monkeypatch.setattr(
        server_module, "plan", lambda *given, plan=server_module.plan: _planned_then_hidden(plan, given, repository)
    )
    with pytest.raises(ServerStartFailed, match=r"default_model_filename is .* instead of 'cpu\.onnx'"):
        start(repository, profile=profile).start()


def _planned_then_hidden(plan, given, repository):
    planned = plan(*given)
    (repository / "add" / "configs" / "cpu.pbtxt").unlink()
    return planned


def test_taken_port_is_tried_again(repository, leftovers, monkeypatch):
    with socket.socket() as occupied:
        occupied.bind(("127.0.0.1", 0))
        occupied.listen()
        taken = occupied.getsockname()[1]
        free = server_module._free_ports
        ports = iter([[taken, *free(2)], free(3)])
        monkeypatch.setattr(server_module, "_free_ports", lambda count: next(ports))
        with start(repository) as server:
            assert not server.grpc_url.endswith(f":{taken}")


def test_only_the_last_logs_are_kept(tmp_path):
    for number in range(15):
        log = server_module._new_log(tmp_path, "test")
        os.utime(log, (number, number))
    assert len(list(tmp_path.iterdir())) == 10
    assert log.exists()


def test_shared_memory_of_the_dead_is_swept_and_of_the_living_kept(tmp_path):
    me = ProcessIdentity.of(os.getpid())
    dead = ProcessIdentity(me.pid, me.start_ticks - 1)
    names = [f"{owner.prefix('reelscope')}test" for owner in (me, dead)]
    for name in names:
        (processes.Path("/dev/shm") / name).write_bytes(b"")
    sweep_shared_memory()
    assert processes.shared_memory() & set(names) == {names[0]}
    sweep_shared_memory(me)
    assert processes.shared_memory() & set(names) == set()


def test_missing_libpython_names_the_package():
    found = installation.find_installation()
    stub = found.stub.parents[1] / "3.8" / found.stub.name
    broken = installation.TritonInstallation(found.binary, found.python_backend, stub, found.library_folders)
    with pytest.raises(ServerStartFailed, match=r"libpython3\.8\.so\.1\.0.*apt-get install libpython3\.8"):
        installation._refuse_missing_libraries(broken)


def test_missing_wheel_and_wrong_home_say_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(installation.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ServerStartFailed, match="pip install --no-deps nvidia-pytriton"):
        installation.find_installation()
    monkeypatch.setenv("TRITON_HOME", str(tmp_path))
    with pytest.raises(ServerStartFailed, match="is no Triton installation: bin/tritonserver is missing"):
        installation.find_installation()


def test_import_stays_light():
    heavy = ("cv2", "torch", "av", "grpc", "pytriton")
    code = f"import sys, reelscope.embedded; print([name for name in {heavy} if name in sys.modules])"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"
