"""audEERING's network: wav2vec 2.0, its states averaged over time, and a head of three numbers.

Transformers has no such class; the names of its parts are those of the published checkpoint.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import Wav2Vec2Model, Wav2Vec2PreTrainedModel


class RegressionHead(nn.Module):
    """States to numbers: a hidden layer between."""

    def __init__(self, config: Any) -> None:
        """Size the layers by the network's configuration."""
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.out_proj = nn.Linear(config.hidden_size, config.num_labels)

    def forward(self, states: Tensor) -> Tensor:
        """[N,hidden] to [N,labels]."""
        numbers: Tensor = self.out_proj(torch.tanh(self.dense(states)))
        return numbers


class EmotionNetwork(Wav2Vec2PreTrainedModel):  # type: ignore[misc] # transformers' types are not followed
    """Normalised waveforms in, numbers by the configuration's labels out."""

    def __init__(self, config: Any) -> None:
        """Draw the parts; `from_pretrained` fills them."""
        super().__init__(config)
        self.wav2vec2 = Wav2Vec2Model(config)
        self.classifier = RegressionHead(config)
        self.post_init()

    def forward(self, input_values: Tensor) -> Tensor:
        """[N,n] to [N,labels]."""
        states = self.wav2vec2(input_values).last_hidden_state
        numbers: Tensor = self.classifier(states.mean(1))
        return numbers
