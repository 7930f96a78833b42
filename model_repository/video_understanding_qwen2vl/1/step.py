"""One step of decoding, one token for every row, with shapes that never change: compiled and captured on a GPU.

The layers are transformers' own, called one by one: their weights, norms and activation. Attention is written here, for
two reasons. Keys and values lie in tensors that stay where they are, which a captured graph needs.
And it is two plain products of matrices, one for all query heads that share a key head (Ainslie et al. 2023,
arXiv:2305.13245). PyTorch's own attention repeats keys and values for each of them; and has one block of threads per
row and head, which leaves most of a GPU idle where there is one position (28 layers of 2048 tokens in 8 rows, H200:
2.5 ms, by products 0.43).

Projections of the same input are one product, of weights that lie one behind the other: a step is bound by the number
of its kernels, each of which reads little.

Layers are compiled one at a time: they are all alike, so that one is compiled and the other 27 take it.
"""

import torch
from torch.nn import functional
from transformers.models.qwen2_vl.modeling_qwen2_vl import apply_rotary_pos_emb

WARM_UP_STEPS = 3
"""Before a graph is captured: what is compiled or allocated at first use must be there."""


class Memory:
    """Keys and values of every layer; steps of different shapes share it, one at a time."""

    def __init__(self, network, tokens):
        """Allocate for so many tokens of all rows together."""
        config = network.config.get_text_config()
        self._heads = config.num_key_value_heads
        self._width = config.hidden_size // config.num_attention_heads
        size = (config.num_hidden_layers, 2, tokens * self._heads * self._width)
        self._flat = torch.zeros(size, dtype=network.dtype, device=network.device)

    def clear(self):
        """Forget everything: what attention does not look at is multiplied by zero, and must be a number for that."""
        self._flat.zero_()

    def layers(self, rows, slots):
        """Keys and values of each layer, [rows * heads, slots, width] each, for rows of so many tokens."""
        shape = (rows * self._heads, slots, self._width)
        count = rows * self._heads * slots * self._width
        return [tuple(each[:count].view(shape) for each in pair) for pair in self._flat]


class Joined:
    """Linear projections of the same input as one; they keep their weights, as parts of the joined ones."""

    def __init__(self, *projections):
        """Join; all have a bias, or none."""
        self.widths = [each.out_features for each in projections]
        self.weight, self.bias = (_joined(projections, name) for name in ("weight", "bias"))


@torch.no_grad()
def _joined(projections, name):
    parameters = [getattr(each, name) for each in projections]
    if parameters[0] is None:
        return None
    joined = torch.cat(parameters)
    for parameter, part in zip(parameters, joined.split([len(each) for each in parameters]), strict=True):
        parameter.data = part
    return joined


def join(network):
    """The joined projections of every layer: of queries, keys and values, and of the perceptron's gate and input."""
    return [
        (
            Joined(layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj),
            Joined(layer.mlp.gate_proj, layer.mlp.up_proj),
        )
        for layer in network.model.language_model.layers
    ]


class Step:
    """The network's answer to one more token in every row."""

    def __init__(self, network, joined, memory, rows, slots):
        """Prepare for rows of at most `slots` tokens; on a GPU compiles and captures, for which it takes seconds.

        Args:
            network: transformers' `Qwen2VLForConditionalGeneration`.
            joined: what `join` made of it.
            memory: `Memory` for at least as many tokens.
            rows: at most.
            slots: tokens of a row at most.
        """
        device = network.device
        self.rows, self.slots = rows, slots
        self._network, self._joined = network, joined
        self._memory, self._keys_values = memory, memory.layers(rows, slots)
        self._tokens, self._positions, self._first = (
            torch.zeros(rows, 1, dtype=torch.long, device=device) for _ in range(3)
        )
        self._slot = torch.zeros(1, dtype=torch.long, device=device)
        self._places = torch.arange(slots, device=device)
        self._layer, self._graph = layer_step, None
        if device.type == "cuda":
            self._capture()

    def begin(self, length):
        """Forget earlier rows, and expect some whose prompts are padded on the left to `length` tokens."""
        self._memory.clear()
        self._slot.fill_(length)
        self._first.fill_(length)  # rows that nobody reads look at nothing but themselves
        self._positions.zero_()

    def take(self, first, cache, lengths, positions):
        """Take over what the network has read.

        Args:
            first: number of the first of these rows.
            cache: transformers' `DynamicCache` of rows padded on the left.
            lengths: int64 [n] tokens of each row, without the padding.
            positions: int64 [n] position of each row's next token.
        """
        taken = slice(first, first + len(lengths))
        for kept, layer in zip(self._keys_values, cache.layers, strict=True):
            for tensor, read in zip(kept, (layer.keys, layer.values), strict=True):
                heads, length = read.shape[1:3]
                tensor[taken.start * heads : taken.stop * heads, :length] = read.flatten(0, 1)
        self._first[taken, 0] = length - lengths
        self._positions[taken, 0] = positions

    def __call__(self, tokens):
        """Scores [rows, vocabulary] after one more token [n] of the first rows; they hold until the next call.

        On a GPU it returns at once: the scores are being computed.
        """
        self._tokens[: len(tokens), 0] = tokens
        if self._graph is None:
            return self._scores()
        self._graph.replay()
        return self._found

    def _scores(self):
        model = self._network.model.language_model
        hidden = model.embed_tokens(self._tokens)
        rotation = model.rotary_emb(hidden, self._positions.expand(3, -1, -1))
        visible = (self._places >= self._first) & (self._places <= self._slot)
        for layer, joined, (keys, values) in zip(model.layers, self._joined, self._keys_values, strict=True):
            hidden = self._layer(layer, *joined, hidden, *rotation, visible, self._slot, keys, values)
        scores = self._network.lm_head(model.norm(hidden))[:, -1].float()
        self._slot += 1
        self._positions += 1
        return scores

    def _capture(self):
        """Compile, and record what a step launches: replayed, it takes the host no time."""
        self._layer = torch.compile(layer_step, dynamic=False)
        stream = torch.cuda.Stream(self._network.device)
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_STEPS):
                self._scores()
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._found = self._scores()


def layer_step(layer, seen, gated, hidden, cos, sin, visible, slot, keys, values):
    """One decoder layer for one position.

    Args:
        layer: transformers' `Qwen2VLDecoderLayer`.
        seen: `Joined` projections to queries, keys and values.
        gated: `Joined` projections to the perceptron's gate and input.
        hidden: [rows, 1, d].
        cos: rotary embedding of the position, [rows, 1, width].
        sin: likewise.
        visible: bool [rows, slots], what each row may look at.
        slot: int64 [1] where its keys and values are put.
        keys: [rows * heads, slots, width].
        values: likewise.
    """
    attention = layer.self_attn
    query, key, value = (
        projected.unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)
        for projected in _project(layer.input_layernorm(hidden), seen)
    )
    query, key = apply_rotary_pos_emb(query, key, cos, sin)
    keys.index_copy_(1, slot, key.flatten(0, 1))
    values.index_copy_(1, slot, value.flatten(0, 1))
    queries = query.reshape(len(keys), -1, attention.head_dim)  # of the heads that share a key head
    scores = _product(queries, keys.mT).view(len(visible), -1, len(visible[0])) * attention.scaling
    chances = scores.masked_fill(~visible[:, None], float("-inf")).softmax(-1).to(values.dtype)
    heard = chances.view(len(values), -1, len(visible[0])) @ values
    hidden = hidden + attention.o_proj(heard.reshape(len(hidden), 1, -1))
    gate, up = _project(layer.post_attention_layernorm(hidden), gated)
    return hidden + layer.mlp.down_proj(layer.mlp.act_fn(gate) * up)


def _project(hidden, joined):
    return functional.linear(hidden, joined.weight, joined.bias).split(joined.widths, -1)


def _product(queries, keys):
    """In float32: a key's scores may be beyond float16, and their differences matter."""
    if queries.dtype == torch.float32:
        return queries @ keys
    return torch.bmm(queries, keys, out_dtype=torch.float32)
