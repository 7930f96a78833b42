"""Which engine reads text: the preferred one whose networks are served and trained; and how networks are asked."""

from __future__ import annotations

import ast
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from places import CHECKOUT

MODULES = CHECKOUT / "model_repository" / "text_reader" / "1"


class Triton(ModuleType):
    """What Triton's stub offers a model: which models are ready, and what they say of themselves."""

    TRITONSERVER_MEMORY_CPU = "cpu"

    def __init__(self) -> None:
        super().__init__("triton_python_backend_utils")
        self.trained: dict[str, bool] = {}
        self.failing: dict[str, str] = {}
        self.asked: list[tuple[str, list[str]]] = []
        self.sent: list[list[np.ndarray]] = []

    def is_model_ready(self, name):
        return name in self.trained

    def PreferredMemory(self, kind, number):  # noqa: N802 - Triton's name
        return kind, number

    def Tensor(self, name, array):  # noqa: N802
        return SimpleNamespace(name=name, as_numpy=lambda: array)

    def InferenceRequest(self, model_name, inputs, requested_output_names, preferred_memory):  # noqa: N802
        assert preferred_memory == ("cpu", 0), "answers of networks on a GPU are fetched from it"
        return SimpleNamespace(exec=lambda: self._answer(model_name, inputs, requested_output_names))

    def get_output_tensor_by_name(self, response, name):
        return self.Tensor(name, response.arrays[name])

    def _answer(self, model, inputs, outputs):
        self.asked.append((model, outputs))
        self.sent.append([tensor.as_numpy() for tensor in inputs])
        rows = len(inputs[0].as_numpy())
        text = json.dumps({"name": "net", "trained": self.trained[model]}).encode()
        arrays = {"provenance": np.full((rows, 1), text, object)} | {name: np.ones((rows, 2)) for name in outputs[:-1]}
        return SimpleNamespace(
            arrays=arrays,
            has_error=lambda: model in self.failing,
            error=lambda: SimpleNamespace(message=lambda: self.failing[model]),
        )


@pytest.fixture
def triton(monkeypatch: pytest.MonkeyPatch):
    """A stand-in for Triton, and the reader's modules imported over it; its engines read no files."""
    stand_in = Triton()
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", stand_in)
    monkeypatch.syspath_prepend(str(MODULES))
    import engines

    for kind in engines.ENGINES:
        monkeypatch.setattr(kind, "__init__", lambda self, repository, parameters: None)
    yield stand_in
    for file in MODULES.glob("*.py"):
        sys.modules.pop(file.stem, None)


@pytest.fixture
def request_stub() -> SimpleNamespace:
    stub = SimpleNamespace(cancelled=False)
    stub.is_cancelled = lambda: stub.cancelled
    return stub


@pytest.fixture
def networks(triton, request_stub):
    from networks import Caller, Networks

    caller = Caller()
    yield Networks(caller, request_stub, 1)
    caller.close()


EASYOCR = ("text_detection_craft", "text_recognition_crnn")
PPOCR = ("text_detection_ppocr", "text_orientation_ppocr", "text_recognition_ppocr")
PARAMETERS = {"frames_per_call": "1", "canvas_px": "640"}


def served(easyocr: bool | None, ppocr: bool | None) -> dict[str, bool]:
    """Networks with whether they are trained; None: not served."""
    return {
        model: trained
        for models, trained in ((EASYOCR, easyocr), (PPOCR, ppocr))
        if trained is not None
        for model in models
    }


@pytest.mark.parametrize(
    ("setting", "easyocr", "ppocr", "chosen"),
    [
        ("auto", True, True, "easyocr"),
        ("auto", False, True, "ppocr"),
        ("auto", None, True, "ppocr"),
        ("auto", True, None, "easyocr"),
        ("auto", False, None, "easyocr"),  # its answers are declared untrained
        ("auto", False, False, "ppocr"),
        ("ppocr", True, True, "ppocr"),
        ("ppocr", True, None, "easyocr"),
        ("easyocr", False, True, "easyocr"),
        ("easyocr", None, True, "ppocr"),
    ],
)
def test_choice(triton, networks, setting, easyocr, ppocr, chosen):
    from engines import Engines

    triton.trained = served(easyocr, ppocr)
    engines = Engines(PARAMETERS | {"engine": setting}, MODULES.parents[1])
    assert engines.choose(networks).name == chosen
    assert engines.choose(networks) is engines.choose(networks), "labels are read once"
    assert networks.provenance == [], "asking whether it is trained is no answer about text"


def test_the_networks_are_those_of_the_repository(triton):
    from engines import ENGINES

    from reelscope_export.paths import read_profiles

    assert {kind.name: tuple(kind.probes) for kind in ENGINES} == {"easyocr": EASYOCR, "ppocr": PPOCR}
    for profile in read_profiles().values():
        assert set(PPOCR) <= set(profile["models"])


def test_the_choice_follows_what_is_loaded(triton, networks):
    from engines import Engines

    engines = Engines(PARAMETERS | {"engine": "auto"}, MODULES.parents[1])
    for easyocr, chosen in ((None, "ppocr"), (True, "easyocr"), (None, "ppocr"), (False, "ppocr")):
        triton.trained = served(easyocr, True)
        assert engines.choose(networks).name == chosen


def test_whether_an_engine_is_trained_is_asked_once_a_minute(triton, networks, monkeypatch):
    import engines

    moment = 1000.0
    monkeypatch.setattr(engines.time, "monotonic", lambda: moment)
    chooser = engines.Engines(PARAMETERS | {"engine": "auto"}, MODULES.parents[1])
    for is_trained, seconds, chosen in (
        (False, 0, "ppocr"),
        (True, 59, "ppocr"),  # rolled meanwhile
        (True, 2, "easyocr"),
        (False, 59, "easyocr"),
        (False, 2, "ppocr"),
    ):
        moment += seconds
        triton.trained = served(is_trained, True)
        assert chooser.choose(networks).name == chosen


def test_no_engine_names_what_is_missing(triton, networks):
    from engines import Engines, NoEngine

    triton.trained = {"text_detection_craft": True, "text_detection_ppocr": True, "text_orientation_ppocr": True}
    with pytest.raises(NoEngine) as caught:
        Engines(PARAMETERS | {"engine": "auto"}, MODULES.parents[1]).choose(networks)
    assert "easyocr needs text_recognition_crnn; ppocr needs text_recognition_ppocr" in str(caught.value)


def test_an_unknown_engine_is_refused(triton):
    from engines import Engines

    with pytest.raises(ValueError, match="'tesseract'; it must be one of: auto, easyocr, ppocr"):
        Engines(PARAMETERS | {"engine": "tesseract"}, MODULES.parents[1])


def test_networks_that_answered_are_remembered_once_each(triton, networks):
    triton.trained = served(None, True)
    for rows in (3, 1):
        answer = networks.ask("text_detection_ppocr", {"frames": np.zeros((rows, 4))}, "text_probability")
        assert {name: array.shape for name, array in answer.items()} == {"text_probability": (rows, 2)}
    networks.ask("text_orientation_ppocr", {"lines": np.zeros((2, 4))}, "upside_down_probability")
    assert [json.loads(text) for text in networks.provenance] == [
        {"model": model, "name": "net", "trained": True} for model in PPOCR[:2]
    ]


def test_a_network_that_fails_is_named(triton, networks):
    from networks import NetworkFailed

    triton.trained, triton.failing = served(None, True), {"text_detection_ppocr": "out of memory"}
    with pytest.raises(NetworkFailed, match="text_detection_ppocr: out of memory"):
        networks.ask("text_detection_ppocr", {"frames": np.zeros((1, 4))}, "text_probability")
    assert networks.provenance == []


def test_nothing_is_asked_for_a_cancelled_request(triton, networks, request_stub):
    from networks import Cancelled

    triton.trained = served(None, True)
    pending = networks.submit("text_detection_ppocr", {"frames": np.zeros((1, 4))}, "text_probability")
    request_stub.cancelled = True
    with pytest.raises(Cancelled):
        pending.result()
    asked = list(triton.asked)
    with pytest.raises(Cancelled):
        networks.submit("text_orientation_ppocr", {"lines": np.zeros((1, 4))}, "upside_down_probability")
    assert triton.asked == asked


def test_the_server_needs_no_ocr_library():
    """At run time the reader is these alone; what does not come with Python is in the extra `server`."""
    allowed = {"numpy", "cv2", "pyclipper", "triton_python_backend_utils"}
    files = list(MODULES.glob("*.py"))
    allowed |= {file.stem for file in files} | set(sys.stdlib_module_names)
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.partition(".")[0] for name in names} <= allowed, file.name


def test_questions_travel_in_the_background(triton, networks, monkeypatch):
    started: list[str] = []
    monkeypatch.setattr(ThreadPoolExecutor, "submit", lambda self, call: started.append("submitted") or call)
    networks.submit("text_detection_ppocr", {"frames": np.zeros((1, 4))}, "text_probability")
    assert started == ["submitted"]
    assert triton.asked == []


@pytest.mark.parametrize(("fills", "sent"), [(True, 5), (False, 2)])
def test_calls_are_filled_up_where_new_row_counts_are_dear(triton, request_stub, fills, sent):
    """What the network says about the empty rows reaches nobody, and full calls stay as they are."""
    from networks import Caller, Networks

    caller = Caller()
    networks = Networks(caller, request_stub, 5, fills)
    triton.trained = {"net": True}
    inputs = {"lines": np.full((2, 3), 7, np.uint8), "widths": np.full((2, 1), 3, np.int32)}
    answer = networks.ask("net", inputs, "ids", most=5)
    assert [tensor.shape[0] for tensor in triton.sent[-1]] == [sent, sent]
    assert [tensor.dtype for tensor in triton.sent[-1]] == [np.uint8, np.int32]
    assert (triton.sent[-1][0][:2] == 7).all()
    assert not triton.sent[-1][0][2:].any()
    assert len(answer["ids"]) == 2
    assert len(networks.ask("net", inputs, "ids", most=2)["ids"]) == len(triton.sent[-1][0]) == 2
    caller.close()
