"""Unload one model and load it again: `python -m reelscope.embedded.reload URL MODEL`, for the supervisor.

A model whose Python process was killed is "ready" to Triton, and a plain load of it does nothing.
"""

from __future__ import annotations

import sys

from reelscope.errors import ReelscopeError
from reelscope.inference import RepositoryClient

_LOAD_SECONDS = 600.0


def main(url: str, model: str) -> int:
    """Reload a model that is ready, and say "not ready" of one that is not: somebody unloaded it."""
    with RepositoryClient(url) as client:
        if not client.is_model_ready(model):
            print("not ready")
            return 0
        try:
            client.unload_model(model)
            client.load_model(model, _LOAD_SECONDS)
        except ReelscopeError as error:
            print(error)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
