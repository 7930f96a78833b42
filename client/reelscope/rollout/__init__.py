"""Changing what a running server serves, without a failed request: its embedded one, or any over gRPC.

folder       versions, candidate and versions set aside, on disk
overview     what a server serves
comparison   a candidate held against the version that serves
change       load, unload, roll, roll back
"""

from reelscope.rollout.change import Change, Rollout
from reelscope.rollout.comparison import Comparison, Measured
from reelscope.rollout.overview import ModelState, overview

__all__ = ["Change", "Comparison", "Measured", "ModelState", "Rollout", "overview"]
