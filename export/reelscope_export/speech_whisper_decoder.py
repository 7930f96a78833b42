"""Whisper's decoder: the next tokens of a text, given what is heard and what has been said.

A request takes as many steps as `uniforms` has columns, fewer when every row has ended; each step obeys Whisper's rules
and chooses (`whisper_rules`). The same graph gives what else a decoding loop asks for: logits, to detect the language
and silence; how probable given tokens were, and the scores of the attention heads that align words with sound.
Oracle: openai-whisper's `TextDecoder` and its `DecodingTask`.

Rows are windows; all are at the same position. S new tokens, P positions in the cache, K steps, L layers.
Input   tokens         int32 [N,S], not in the cache yet; at least one.
        history        int32 [N,3]: the sampled token before the last, the last, and the last time stamp; -1 is none.
        cache          float32 [N,2L,P,d], keys and values of the layers in turn; P may be 0.
        cross          float32 [N,2L,d,1500], as speech_whisper_encoder gives it.
        temperatures   float32 [N]; 0 takes the likeliest token.
        uniforms       float32 [N,K], 0-1: what chance says where the temperature is above 0.
Output  sampled        int32 [N,k], k <= K; behind the end of a row come ends.
        sampled_log_probabilities  float32 [N,k] among what the rules allow, at temperature 1; 0 behind the end.
        next_history   int32 [N,3].
        next_cache     float32 [N,2L,P+S+k-1,d]: the last sampled token is not in it.
        logits         float32 [N,V] of the last step, before the rules.
        token_probabilities  float32 [N,S']: of each of the last step's tokens after the one before it, among text; 0
                       for the first. S' is S in the first step, and 1 later: ask with one step.
        alignment_scores  float32 [N,H,S',1500] of the last step's tokens: attention before its softmax.
        tokenizer      STRING [1]: JSON of `whisper_tokens`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
import torch.nn.functional as functional
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from reelscope_export import graph, operators, stepwise, whisper_network, whisper_random, whisper_tokens
from reelscope_export.contract import Contract
from reelscope_export.contract import Tensor as Spec
from reelscope_export.whisper_network import AUDIO_POSITIONS
from reelscope_export.whisper_parity import verify as verify
from reelscope_export.whisper_rules import Choice, Rules

CONTRACT = Contract(
    name="speech_whisper_decoder",
    comment=(
        "Whisper's decoder: as many tokens as uniforms has columns, by Whisper's rules. Rows are windows at the same",
        "position. history: last sampled token but one, last one, last time stamp; -1 is none. cross: as",
        "speech_whisper_encoder gives it. temperatures: 0 takes the likeliest. tokenizer: JSON, the texts of tokens.",
    ),
    inputs=(
        Spec("tokens", "TYPE_INT32", (-1, -1)),
        Spec("history", "TYPE_INT32", (-1, 3)),
        Spec("cache", "TYPE_FP32", (-1, -1, -1, -1)),
        Spec("cross", "TYPE_FP32", (-1, -1, -1, AUDIO_POSITIONS)),
        Spec("temperatures", "TYPE_FP32", (-1,)),
        Spec("uniforms", "TYPE_FP32", (-1, -1)),
    ),
    outputs=(
        Spec("sampled", "TYPE_INT32", (-1, -1)),
        Spec("sampled_log_probabilities", "TYPE_FP32", (-1, -1)),
        Spec("next_history", "TYPE_INT32", (-1, 3)),
        Spec("next_cache", "TYPE_FP32", (-1, -1, -1, -1)),
        Spec("logits", "TYPE_FP32", (-1, -1)),
        Spec("token_probabilities", "TYPE_FP32", (-1, -1)),
        Spec("alignment_scores", "TYPE_FP32", (-1, -1, -1, AUDIO_POSITIONS)),
        Spec("tokenizer", "TYPE_STRING", (1,)),
    ),
    batched=False,
)

_PLAN = stepwise.Plan(
    carried={"tokens": "next_tokens", "history": "next_history", "cache": "next_cache"},
    stacked={"sampled": "token", "sampled_log_probabilities": "log_probability"},
    final=("logits", "token_probabilities", "alignment_scores"),
    columns={"uniform": "uniforms"},
    going="going",
)


class Step(NamedTuple):
    """What one step gives; the names are those of the graph's outputs."""

    token: Tensor
    log_probability: Tensor
    next_tokens: Tensor
    next_history: Tensor
    next_cache: Tensor
    logits: Tensor
    token_probabilities: Tensor
    alignment_scores: Tensor
    going: Tensor


class DecoderStep(nn.Module):
    """One step of the decoder."""

    def __init__(self, model: Any, precision: str) -> None:
        """Wrap the network; `precision` (fp32, fp16) is its alone, softmax and logits are FP32."""
        super().__init__()
        self.decoder = model.decoder
        self.dtype = whisper_network.set_precision(self.decoder, precision)
        self.choice = Choice(Rules(whisper_network.tokenizer(model)))
        self.aligning = [(int(layer), int(head)) for layer, head in model.alignment_heads.indices().T]

    def forward(
        self, tokens: Tensor, history: Tensor, cache: Tensor, cross: Tensor, temperatures: Tensor, uniform: Tensor
    ) -> Step:
        """Read the new tokens and choose the next one."""
        decoder, past = self.decoder, cache.shape[2]
        positions = torch.arange(tokens.shape[1]) + past
        x = decoder.token_embedding(tokens.to(torch.int64)) + decoder.positional_embedding[positions]
        x = x.to(self.dtype)
        later = torch.arange(tokens.shape[1] + past) > positions.unsqueeze(1)
        kept, scores = [], []
        for layer, block in enumerate(decoder.blocks):
            normed = block.attn_ln(x)
            keys = torch.cat((cache[:, 2 * layer], block.attn.key(normed)), 1)
            values = torch.cat((cache[:, 2 * layer + 1], block.attn.value(normed)), 1)
            kept += [keys, values]
            x = x + _attend(block.attn, normed, keys, values, later)
            heard, attention = _listen(
                block.cross_attn, block.cross_attn_ln(x), cross[:, 2 * layer], cross[:, 2 * layer + 1]
            )
            scores.append(attention)
            x = x + heard
            x = x + block.mlp(block.mlp_ln(x))
        every = (decoder.ln(x) @ decoder.token_embedding.weight.T).float()
        token, log_probability, next_history = self.choice(every[:, -1], history, temperatures, uniform)
        return Step(
            token=token,
            log_probability=log_probability,
            next_tokens=token.unsqueeze(1),
            next_history=next_history,
            next_cache=torch.stack(kept, 1),
            logits=every[:, -1],
            token_probabilities=self._probabilities(every, tokens),
            alignment_scores=torch.stack([scores[layer][:, head] for layer, head in self.aligning], 1),
            going=(token != self.choice.rules.end).any(),
        )

    def _probabilities(self, logits: Tensor, tokens: Tensor) -> Tensor:
        """[N,S]: of each token after the one before it, among text; 0 for the first, and for what is no text."""
        end = self.choice.rules.end
        before, index = logits[:, :-1, :end], tokens[:, 1:].to(torch.int64).clamp(max=end - 1).unsqueeze(2)
        found = (before.gather(2, index) - torch.logsumexp(before, 2, keepdim=True)).exp().squeeze(2)
        return functional.pad(torch.where(tokens[:, 1:] < end, found, 0.0), (1, 0))


def _attend(attention: Any, x: Tensor, keys: Tensor, values: Tensor, later: Tensor) -> Tensor:
    """Self-attention's output [N,S,d] over keys and values [N,P,d], without those that `later` marks."""

    def split(part: Tensor) -> Tensor:
        return part.reshape(-1, part.shape[1], attention.n_head, _width(attention)).transpose(1, 2)

    scores = (_queries(attention, x) @ split(keys).transpose(2, 3)).float()
    scores = scores.masked_fill(later, torch.finfo(torch.float32).min)
    heads = torch.softmax(scores, 3).to(x.dtype) @ split(values)
    found: Tensor = attention.out(heads.transpose(1, 2).flatten(2))
    return found


def _listen(attention: Any, x: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-attention's output [N,S,d] over keys and values [N,d,1500], and its scores [N,heads,S,1500] in FP32."""

    def split(part: Tensor) -> Tensor:
        # In numbers: no shape of anything else then decides what is computed of it (stepwise).
        return part.reshape(-1, attention.n_head, _width(attention), AUDIO_POSITIONS)

    scores = (_queries(attention, x) @ split(keys)).float()
    heads = split(values) @ torch.softmax(scores, 3).to(x.dtype).transpose(2, 3)
    return attention.out(heads.permute(0, 3, 1, 2).flatten(2) + attention.value.bias), scores


def _queries(attention: Any, x: Tensor) -> Tensor:
    """Of each head, [N,heads,S,width], scaled."""
    queries: Tensor = attention.query(x).reshape(-1, x.shape[1], attention.n_head, _width(attention)).transpose(1, 2)
    return queries / math.sqrt(_width(attention))


def _width(attention: Any) -> int:
    return int(attention.query.out_features // attention.n_head)


def build(weights: Path, precision: str) -> onnx.ModelProto:
    """Build the ONNX graph, without provenance."""
    model = whisper_network.load(weights)
    tokens = whisper_tokens.describe(model, whisper_network.tokenizer(model))
    step = DecoderStep(model, precision)
    layers, width = 2 * len(model.decoder.blocks), model.dims.n_text_state
    batch = {0: "batch"}
    inputs = {
        "tokens": graph.Example(torch.full((2, 3), 7, dtype=torch.int32), {**batch, 1: "new"}),
        "history": graph.Example(torch.full((2, 3), -1, dtype=torch.int32), batch),
        "cache": graph.Example(torch.zeros(2, layers, 5, width, dtype=step.dtype), {**batch, 2: "cached"}),
        "cross": graph.Example(torch.zeros(2, layers, width, AUDIO_POSITIONS, dtype=step.dtype), batch),
        "temperatures": graph.Example(torch.zeros(2), batch),
        "uniform": graph.Example(torch.zeros(2), batch),
    }
    traced = graph.to_onnx(step, inputs, output_names=Step._fields, translations=operators.GELU)
    built = stepwise.in_steps(traced, _PLAN, CONTRACT)
    built.graph.initializer.append(numpy_helper.from_array(np.array([tokens], object), "tokenizer_json"))
    built.graph.node.append(helper.make_node("Identity", ["tokenizer_json"], ["tokenizer"], "tokenizer_identity"))
    built.graph.output.append(helper.make_tensor_value_info("tokenizer", TensorProto.STRING, [1]))
    return built


def labels(weights: Path) -> tuple[str, ...]:
    """Its tokens are in the output `tokenizer`: they are too many for a file that is read by people."""
    return ()


write_random = whisper_random.write
