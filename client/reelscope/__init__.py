"""reelscope: short-video analysis on NVIDIA Triton.

Import what you need from the submodules: `reelscope.pipeline.analyze` runs a clip, `reelscope.results` holds the types
of what comes out, `reelscope.embedded` starts a local Triton. This module itself imports nothing.
"""

__version__ = "0.1.0"
