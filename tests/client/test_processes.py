"""What an analysis settles for its process before its threads start."""

from __future__ import annotations

import json
import subprocess
import sys

PREPARED = """
import json, cv2, threadpoolctl
from reelscope import pipeline
from reelscope.processes import prepare_for_analysis
prepare_for_analysis()
pools = [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
print(json.dumps([cv2.getNumThreads(), pools]))
"""


def test_opencv_and_blas_work_in_the_thread_that_calls_them():
    """In a process of its own, because both hold for a whole process; NumPy and SciPy bring a BLAS each."""
    opencv, pools = json.loads(subprocess.check_output([sys.executable, "-c", PREPARED], text=True))
    assert opencv == 1
    assert len(pools) >= 2
    assert set(pools) == {1}
