"""The process that makes one report: `python -m reelscope.gateway.reporting`. It decodes the clip, as jobs do.

The page plays a clip that is too large for it from /jobs/ID/clip, beside /jobs/ID/report.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path

from reelscope.errors import ReelscopeError, UsageError
from reelscope.gateway.problems import code_of
from reelscope.report import build


def main() -> None:
    """Read path and name of the clip, and on the next line its results; write the report, or why there is none."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash must not leave the clip behind
    said = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries print what they like
    path, name = json.loads(sys.stdin.readline())
    clip = Path(path)
    values = json.loads(sys.stdin.read())
    try:
        try:
            answer = {"html": build(values, clip, name=name, address="clip")}
        except UsageError:  # the file of a path is gone, or was replaced since
            answer = {"html": build(values, None, name=name, address="clip")}
    except ReelscopeError as error:
        answer = {"code": code_of(error), "detail": str(error)}
    json.dump(answer, said)
    said.close()


if __name__ == "__main__":
    main()
