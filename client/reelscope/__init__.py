"""reelscope: short-video analysis on NVIDIA Triton."""
