"""Triton over gRPC: the only package that imports tritonclient.

translation   Triton's and gRPC's errors as ours, in one place
repository    control calls: load, ready, config, index, one question
samples       made-up inputs that fit a model's config
memory        windows of frames, in shared memory or not
client        inference calls
"""

from reelscope.inference.client import InferenceClient, PendingAnswer
from reelscope.inference.repository import Answer, IndexRow, RepositoryClient
from reelscope.inference.samples import sample_inputs

__all__ = ["Answer", "IndexRow", "InferenceClient", "PendingAnswer", "RepositoryClient", "sample_inputs"]
