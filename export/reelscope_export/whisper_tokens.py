"""What the decoding loop must know of a network's tokens, as JSON: served as a constant output of the decoder's graph.

So it belongs to the version that answers, through every reload and roll, on any backend; and serving needs neither
torch nor the library nor a file that could be of another network.
"""

from __future__ import annotations

import base64
import json
from typing import Any


def describe(model: Any, tokenizer: Any) -> str:
    """JSON with sorted keys.

    texts               base64 of the bytes of each text token, by id; ids below `end`
    languages           codes by the order of their tokens, the first of which is `first_language`; empty: English only
    start, first_language, transcribe, no_timestamps, first_timestamp, no_speech, end   ids of special tokens
    context_tokens      positions of the decoder
    """
    special = tokenizer.special_tokens
    # The library's own list of them is in no order.
    pairs = sorted(zip(tokenizer.all_language_tokens, tokenizer.all_language_codes, strict=True))
    first_language = int(tokenizer.sot) + 1
    languages = [code for _, code in pairs] if model.is_multilingual else []
    assert not languages or [token for token, _ in pairs] == list(range(first_language, first_language + len(pairs)))
    facts = {
        "texts": [
            base64.b64encode(tokenizer.encoding.decode_single_token_bytes(token)).decode()
            for token in range(int(tokenizer.eot))
        ],
        "languages": languages,
        "first_language": first_language,
        "start": int(tokenizer.sot),
        "transcribe": int(special["<|transcribe|>"]),
        "no_timestamps": int(tokenizer.no_timestamps),
        "first_timestamp": int(tokenizer.timestamp_begin),
        "no_speech": int(tokenizer.no_speech),
        "end": int(tokenizer.eot),
        "context_tokens": int(model.dims.n_text_ctx),
    }
    return json.dumps(facts, sort_keys=True)
