"""The embedded server: NVIDIA's real tritonserver on this machine, without Docker, on loopback only.

`EmbeddedServer` lives as long as a block; `up`, `status`, `restart` and `down` keep one server across commands.

    installation   where tritonserver is and what it needs
    deployment     which models to serve, checked on disk
    options        what every tritonserver of ours is started with, production's too
    supervisor     the process that keeps tritonserver and cleans up after it
    server         start, load model by model, stop
    daemon         the server that outlives a command
    use            who uses that server, so that a restart waits for them
    reload         a model whose process died, loaded again
"""

from reelscope.embedded.daemon import ServerRecord, ServerStatus, down, restart, running, status, up, using
from reelscope.embedded.deployment import default_repositories, expected_models
from reelscope.embedded.server import EmbeddedServer

__all__ = [
    "EmbeddedServer",
    "ServerRecord",
    "ServerStatus",
    "default_repositories",
    "down",
    "expected_models",
    "restart",
    "running",
    "status",
    "up",
    "using",
]
