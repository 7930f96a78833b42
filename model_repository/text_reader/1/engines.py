"""The engines, and which of them answers."""

import time

import easyocr_engine
import ppocr_engine
import triton_python_backend_utils as pb_utils

ENGINES = (easyocr_engine.Engine, ppocr_engine.Engine)
"""In the order in which `auto` prefers them."""
AUTO = "auto"
TRUSTED_SECONDS = 60.0
"""How long an answer to whether an engine is trained counts: it waits for the GPU as any other question does. Other
weights, by a roll or a load, are noticed after that."""


class NoEngine(Exception):
    """Not one engine has all its networks; the message names those that are missing."""


class Engines:
    """Chooses an engine for each request, because models come and go while the server runs."""

    def __init__(self, parameters, repository):
        """Prefer the engine that the parameter `engine` names.

        Args:
            parameters: the config's, by name.
            repository: folder of the models' folders, for their labels.

        Raises:
            ValueError: there is no such engine.
        """
        self._setting = parameters["engine"]
        names = [engine.name for engine in ENGINES]
        if self._setting not in (AUTO, *names):
            raise ValueError(f"parameter engine is {self._setting!r}; it must be one of: {', '.join((AUTO, *names))}")
        self._preferred = sorted(ENGINES, key=lambda engine: engine.name != self._setting)
        self._parameters, self._repository = parameters, repository
        self._made = {}
        self._trained = {}  # by engine: whether, and when that was asked

    def choose(self, networks):
        """Make or find the engine that answers: the first whose networks are served, and, for `auto`, trained.

        Raises:
            NoEngine: not one engine has all its networks.
        """
        missing = {
            kind: [model for model in kind.probes if not pb_utils.is_model_ready(model)] for kind in self._preferred
        }
        ready = [kind for kind in self._preferred if not missing[kind]]
        self._trained = {kind: known for kind, known in self._trained.items() if kind in ready}
        if not ready:
            needs = "; ".join(f"{kind.name} needs {', '.join(models)}" for kind, models in missing.items())
            raise NoEngine(f"text cannot be read, because networks are not loaded: {needs}")
        kind = self._first_trained(ready, networks) if self._setting == AUTO else ready[0]
        if kind not in self._made:
            self._made[kind] = kind(self._repository, self._parameters)
        return self._made[kind]

    def _first_trained(self, ready, networks):
        """The first that is trained, else the last: PP-OCR's networks always are.

        The last is not asked: a probe of another shape than frames makes cuDNN plan every convolution anew, twice.
        """
        for kind in ready[:-1]:
            if self._is_trained(kind, networks):
                return kind
        return ready[-1]

    def _is_trained(self, kind, networks):
        trained, asked = self._trained.get(kind, (None, None))
        if trained is None or time.monotonic() - asked > TRUSTED_SECONDS:
            trained = all(networks.is_trained(model, probe) for model, probe in kind.probes.items())
            self._trained[kind] = trained, time.monotonic()
        return trained
