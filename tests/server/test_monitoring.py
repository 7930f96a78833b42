"""server/monitoring: the rules and the dashboard, and what a real Prometheus makes of a real server and gateway."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import subprocess
import threading
import time
from itertools import chain

import httpx2
import numpy as np
import promql_parser
import pytest
import tiny_models
import tritonclient.grpc as triton
import uvicorn
import yaml
from starlette.testclient import TestClient

from conftest import a_profile
from places import CHECKOUT
from reelscope.embedded import EmbeddedServer
from reelscope.embedded import server as server_module
from reelscope.gateway.app import create_app
from reelscope.gateway.configuration import Configuration
from reelscope.gateway.problems import Problem
from reelscope.inference import RepositoryClient

MONITORING = CHECKOUT / "server" / "monitoring"
GPU_METRICS = {
    "nv_gpu_memory_total_bytes",
    "nv_gpu_memory_used_bytes",
    "nv_gpu_power_limit",
    "nv_gpu_power_usage",
    "nv_gpu_utilization",
}
"""Of Triton where there is a GPU: https://docs.nvidia.com/deeplearning/triton-inference-server, user guide, metrics."""
OF_PROMETHEUS = {"up", "ALERTS"}
KEY = "a-key-that-prometheus-has"
RULES = yaml.safe_load((MONITORING / "rules.yml").read_text(encoding="utf-8"))
EVERY_RULE = list(chain.from_iterable(group["rules"] for group in RULES["groups"]))
DASHBOARD = json.loads((MONITORING / "grafana" / "dashboards" / "reelscope.json").read_text(encoding="utf-8"))
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]


def metrics_in(query: str) -> set[str]:
    """Names of the metrics that a PromQL expression reads; raises when it is none."""
    found: set[str] = set()

    def visit(node):
        if isinstance(node, promql_parser.VectorSelector):
            found.add(node.name)
        return True

    promql_parser.walk(promql_parser.parse(query), pre_visit=visit)
    return found


def exposed(text: str) -> set[str]:
    """Names in Prometheus' text format: those of samples, and those that have none yet."""
    typed = set(re.findall(r"^# TYPE (\w+) ", text, re.M))
    return typed | set(re.findall(r"^([a-z_]\w*)[{ ]", text, re.M))


def configured(folder, url, **changes) -> Configuration:
    chosen = {"profile": a_profile(models=("describe", "frame_sum")), "api_keys": (KEY,), "roots": (folder.resolve(),)}
    return Configuration(folder=folder / "gateway", url=url, **chosen | changes)


def test_every_query_reads_metrics_that_exist(server, tmp_path):
    """In the rules and on the dashboard; those of GPUs, which this server has not, are NVIDIA's list."""
    triton_text = httpx2.get(server.metrics_url).text
    with TestClient(create_app(configured(tmp_path, server.grpc_url)), base_url="http://localhost") as client:
        gateway_text = client.get("/metrics", headers={"Authorization": f"Bearer {KEY}"}).text
    recorded = {rule["record"] for rule in EVERY_RULE if "record" in rule}
    known = exposed(triton_text) | exposed(gateway_text) | recorded | GPU_METRICS | OF_PROMETHEUS
    for query in [*QUERIES, *(rule["expr"] for rule in EVERY_RULE)]:
        named = metrics_in(query)
        assert named, query
        assert named <= known, query


def test_every_recorded_rule_is_read():
    read = set().union(*(metrics_in(query) for query in [*QUERIES, *(rule["expr"] for rule in EVERY_RULE)]))
    assert {rule["record"] for rule in EVERY_RULE if "record" in rule} <= read


def test_every_alert_is_explained_and_tested():
    """By a line of docs/monitoring.md; in rules.test.yml each fires at a fault, and is silent without it."""
    alerts = [rule["alert"] for rule in EVERY_RULE if "alert" in rule]
    explained = re.findall(r"^\| (\w+) \|", (CHECKOUT / "docs" / "monitoring.md").read_text(encoding="utf-8"), re.M)
    assert [name for name in explained if name in alerts] == alerts
    cases = yaml.safe_load((MONITORING / "rules.test.yml").read_text(encoding="utf-8"))["tests"]
    tested = [case for test in cases for case in test.get("alert_rule_test", ())]
    fired = {case["alertname"] for case in tested if case["exp_alerts"]}
    silent = {case["alertname"] for case in tested if not case["exp_alerts"]}
    assert fired == set(alerts)
    assert silent == fired


def test_every_metric_of_the_gateway_is_explained(server, tmp_path):
    with TestClient(create_app(configured(tmp_path, server.grpc_url)), base_url="http://localhost") as client:
        text = client.get("/metrics", headers={"Authorization": f"Bearer {KEY}"}).text
    explained = set(re.findall(r"^\| `(\w+)`", (CHECKOUT / "docs" / "monitoring.md").read_text(encoding="utf-8"), re.M))
    there = set(re.findall(r"^# TYPE (reelscope_\w+) (?!gauge\n# TYPE \1)", text, re.M))
    there = {name for name in there if not name.endswith("_created")}
    assert {name for name in explained if name.startswith("reelscope_")} == there


def test_promtool_finds_the_rules_right():
    """Prometheus' own tool: the files are valid, and every alert fires and clears as rules.test.yml says."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not on the PATH: apt install prometheus")
    for command in (["check", "rules", "rules.yml"], ["test", "rules", "rules.test.yml"]):
        done = subprocess.run([promtool, *command], cwd=MONITORING, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    check = [promtool, "check", "config", "--syntax-only", "prometheus.yml"]
    done = subprocess.run(check, cwd=MONITORING, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


PICKED = """name: "picked" platform: "ensemble" max_batch_size: 8
input [{ name: "index" data_type: TYPE_INT64 dims: [1] }] output [{ name: "value" data_type: TYPE_FP32 dims: [1] }]
ensemble_scheduling { step [{ model_name: "pick" model_version: -1
  input_map { key: "index" value: "index" } output_map { key: "value" value: "value" } }] }"""
"""An ensemble that fails as its model does."""


def until(condition, otherwise, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, otherwise
        time.sleep(0.2)


class Deployment:
    """A server with tiny models, a gateway, and a Prometheus that watches both with the committed configuration.

    Times are shorter than there: it looks twice a second, ranges are four seconds, and alerts wait one.
    """

    def __init__(self, folder, repositories, patch):
        self.folder, self._repositories, self._stack = folder, repositories, contextlib.ExitStack()
        # The server that comes back has the address of the one that went.
        self._ports = [free_port() for _ in range(4)]
        patch.setattr(server_module, "_free_ports", lambda count: self._ports[:count])
        self.problem = Problem("job_crashed", "the process ended")

    def start_server(self):
        models = ("describe", "frame_sum", "pick")
        self.server = EmbeddedServer(a_profile(), models=models, repositories=self._repositories)
        self.server.start()

    def start_gateway(self):
        async def runner(analysis, report):
            raise self.problem

        app = create_app(configured(self.folder, f"127.0.0.1:{self._ports[0]}"), runner=runner)
        self.gateway = uvicorn.Server(uvicorn.Config(app, port=self._ports[3], log_config=None))
        self._thread = threading.Thread(target=self.gateway.run, daemon=True)
        self._thread.start()

    def stop_gateway(self):
        self.gateway.should_exit = True
        self._thread.join(20)

    def start_prometheus(self, binary):
        (self.folder / "gateway.key").write_text(KEY)
        rules = (MONITORING / "rules.yml").read_text(encoding="utf-8")
        rules = re.sub(r"for: \w+", "for: 1s", re.sub(r"\[\w+\]", "[4s]", rules))
        (self.folder / "rules.yml").write_text(rules)
        config = yaml.safe_load((MONITORING / "prometheus.yml").read_text(encoding="utf-8"))
        config["global"] = dict.fromkeys(config["global"], "500ms") | {"scrape_timeout": "500ms"}
        config["rule_files"] = [str(self.folder / "rules.yml")]
        for job, port in zip(config["scrape_configs"], (self._ports[1], self._ports[3]), strict=True):
            job["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
        config["scrape_configs"][1]["authorization"]["credentials_file"] = str(self.folder / "gateway.key")
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self.url = f"http://127.0.0.1:{free_port()}"
        options = ("config.file", self.folder / "prometheus.yml"), ("storage.tsdb.path", self.folder / "tsdb")
        command = [binary, *(f"--{name}={value}" for name, value in options)]
        command.append(f"--web.listen-address={self.url.removeprefix('http://')}")
        log = self._stack.enter_context((self.folder / "prometheus.log").open("w"))
        process = self._stack.enter_context(subprocess.Popen(command, stderr=log))
        self._stack.callback(process.terminate)
        until(self.is_ready, "prometheus is not ready")

    def is_ready(self) -> bool:
        with contextlib.suppress(httpx2.TransportError):
            return httpx2.get(f"{self.url}/-/ready").status_code == 200
        return False

    def stop(self):
        self._stack.close()
        self.stop_gateway()
        self.server.stop()

    def firing(self) -> set[str]:
        """Alerts that fire, with whom they name."""
        alerts = httpx2.get(f"{self.url}/api/v1/alerts").json()["data"]["alerts"]
        labels = [alert["labels"] for alert in alerts if alert["state"] == "firing"]
        return {" ".join([each["alertname"], *(each[k] for k in ("model", "code") if k in each)]) for each in labels}

    def fires(self, alert, fault=lambda: None):
        """Wait until an alert fires while a fault goes on."""

        def fired() -> bool:
            fault()
            return alert in self.firing()

        until(fired, f"{alert} does not fire")

    def clears(self):
        """Wait until no alert fires."""
        until(lambda: not self.firing(), "some alert still fires")

    def up(self) -> set[str]:
        """Jobs whose target answers Prometheus."""
        found = httpx2.get(f"{self.url}/api/v1/query", params={"query": "up == 1"}).json()["data"]["result"]
        return {each["metric"]["job"] for each in found}

    def ask_wrongly(self):
        """Ask for a row that the model's table has not."""
        tensor = triton.InferInput("index", [1, 1], "INT64")
        tensor.set_data_from_numpy(np.array([[9]], np.int64))
        with (
            triton.InferenceServerClient(self.server.grpc_url) as client,
            pytest.raises(triton.InferenceServerException),
        ):
            client.infer("picked", [tensor])

    def analyze(self):
        """A job, whose process is said to have crashed."""
        (self.folder / "a.mp4").touch()
        headers = {"Authorization": f"Bearer {KEY}"}
        url = f"http://127.0.0.1:{self._ports[3]}/analyze"
        assert httpx2.post(url, json={"video_path": "a.mp4"}, headers=headers).status_code == 500


@pytest.mark.slow
def test_alerts_fire_on_a_fault_and_clear(tmp_path, monkeypatch):
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        pytest.skip("prometheus is not on the PATH: apt install prometheus")
    repositories = tiny_models.write_repositories(tmp_path / "served")
    (repositories[1] / "picked" / "1").mkdir(parents=True)
    (repositories[1] / "picked" / "config.pbtxt").write_text(PICKED)
    monkeypatch.setenv("REELSCOPE_REPOSITORY", str(shutil.copytree(repositories[0], tmp_path / "models")))
    here = Deployment(tmp_path, repositories, monkeypatch)
    here.start_server()
    here.start_gateway()
    here.start_prometheus(prometheus)
    try:
        until(lambda: here.up() == {"triton", "gateway"}, "Prometheus does not reach both")
        here.clears()
        with RepositoryClient(here.server.grpc_url) as control:
            control.unload_model("frame_sum")
            here.fires("ModelNotReady frame_sum")
            assert here.firing() == {"ModelNotReady frame_sum"}
            control.load_model("frame_sum", 30)
        here.clears()
        here.fires("ModelFails picked", here.ask_wrongly)
        here.clears()
        here.analyze()
        here.fires("JobsFail job_crashed")
        here.clears()
        here.server.stop()
        here.fires("TritonGone")
        here.fires("TritonUnreachable")
        assert here.firing() == {"TritonGone", "TritonUnreachable"}
        here.stop_gateway()
        here.fires("GatewayGone")
        # In this order: gRPC would let the server's own loader wait for as long as it lets the gateway, in one process.
        here.start_server()
        here.start_gateway()
        here.clears()
    finally:
        here.stop()
