"""Qwen2-VL as Triton's process runs it, on random weights: held against transformers, batch against singles, and what
goes wrong with one question against its neighbours."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Qwen2VLForConditionalGeneration, Qwen2VLProcessor

from reelscope_export import fingerprint, qwen2vl_served
from reelscope_export import video_understanding_qwen2vl as exported
from reelscope_export.errors import VerificationFailed, WeightsUnreadable

PROVENANCE = {"trained": False, "name": "two-layers"}
SIZES = ((8, 112, 168), (3, 160, 96), (1, 64, 64))
NEW_TOKENS = 48


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with qwen2vl_served.one_thread():
        yield


@pytest.fixture(scope="module")
def served():
    return qwen2vl_served.modules()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    file = tmp_path_factory.mktemp("weights") / "model-00002-of-00002.safetensors"
    exported.write_random(exported.STAND_IN, file)
    return file


@pytest.fixture(scope="module")
def built(weights, tmp_path_factory):
    file = tmp_path_factory.mktemp("repository") / "video_understanding_qwen2vl" / "1" / "cpu.safetensors"
    file.parent.mkdir(parents=True)
    exported.write(weights, "fp32", {fingerprint.PROVENANCE_KEY: json.dumps(PROVENANCE)}, file)
    return file


@pytest.fixture(scope="module")
def answerer(built):
    return qwen2vl_served.load(built, **exported.LIMITS)


@pytest.fixture(scope="module")
def questions(served):
    """One question of each size, with contexts of different lengths."""
    return [question(served, size, context="word " * 5 * seed, seed=seed) for seed, size in enumerate(SIZES)]


def question(served, size=(2, 56, 56), *, task="window", context="", seed=0, is_cancelled=lambda: False):
    frames = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    return served.questions.Question(frames, task, context, is_cancelled)


def texts(answers):
    return [answer.text for answer in answers]


def test_free_text_is_what_generate_says(served, weights, answerer, questions):
    """Token by token: eager, growing cache, no constraint; one by one and in a batch of different lengths."""
    network = Qwen2VLForConditionalGeneration.from_pretrained(weights.parent, dtype=torch.float32).eval()
    processor = Qwen2VLProcessor.from_pretrained(weights.parent)
    prompts, videos = [each.context or "What happens?" for each in questions], [each.frames for each in questions]
    expected = []
    for prompt, frames in zip(prompts, videos, strict=True):
        said = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": prompt}]}]
        batch = processor(
            text=[processor.apply_chat_template(said, tokenize=False, add_generation_prompt=True)],
            videos=[torch.from_numpy(frames).permute(0, 3, 1, 2)],
            size={"shortest_edge": 56 * 56, "longest_edge": 504 * 392},
            cap_pixels_per_frame=False,
            return_tensors="pt",
        )
        with torch.inference_mode():
            ids = network.generate(**batch, do_sample=False, max_new_tokens=NEW_TOKENS)
        expected.append(ids[0, batch["input_ids"].shape[1] :].tolist())
    assert len({tuple(tokens) for tokens in expected}) == len(expected), "they all say the same"
    assert answerer.free_texts(prompts, videos, NEW_TOKENS) == expected
    for prompt, frames, tokens in zip(prompts, videos, expected, strict=True):
        assert answerer.free_texts([prompt], [frames], NEW_TOKENS) == [tokens]


@pytest.fixture(scope="module")
def static(served, built):
    """What a GPU runs, without compilation and capture."""
    opened = served.checkpoint.read(built, "cpu")
    grammars = served.constraint.Grammars(
        opened.processor.tokenizer, opened.network.config.get_text_config().vocab_size
    )
    return served.answering.Answerer(opened, grammars, static=True, **exported.LIMITS)


@pytest.fixture(params=["answerer", "static"])
def either(request):
    """Both ways to decode, where they must stand the same."""
    return request.getfixturevalue(request.param)


def test_a_static_cache_says_the_same(static, answerer, questions):
    prompts, videos = [each.context for each in questions], [each.frames for each in questions]
    assert static.free_texts(prompts, videos, NEW_TOKENS) == answerer.free_texts(prompts, videos, NEW_TOKENS)
    assert texts(static.answer(questions)) == texts(answerer.answer(questions))


def test_a_static_cache_of_another_length_says_the_same(served, static, answerer):
    long = [question(served, context="word " * 600)]
    *_, short, longer = static._decoding._steps
    assert short.slots < answerer.answer(long)[0].prompt_tokens < longer.slots
    assert texts(static.answer(long)) == texts(answerer.answer(long))


def test_any_number_of_rows_says_the_same(served, static, answerer):
    """By the narrowest step that holds them; prompts beyond a few are read apart."""
    most = exported.LIMITS["max_rows"]
    assert most > served.decoding.PROMPT_ROWS
    asked = [question(served, SIZES[k % len(SIZES)], context="word " * k, seed=k) for k in range(most)]
    expected = texts(answerer.answer(asked))
    assert len(set(expected)) > 1
    for count in (1, 2, 3, served.decoding.PROMPT_ROWS + 1, most):
        assert texts(static.answer(asked[:count])) == expected[:count]


def test_more_long_questions_than_the_cache_holds_are_answered_in_turn(served, static, answerer, monkeypatch):
    count = served.decoding.PROMPT_ROWS + 2
    asked = [question(served, context="word " * 600 + str(k), seed=k) for k in range(count)]
    decoding, runs = static._decoding, []
    assert decoding.rows_at_most(served.decoding.SHORT_SLOTS + 1) < count
    run = decoding.run
    monkeypatch.setattr(decoding, "run", lambda batch, *rest: runs.append(len(batch["input_ids"])) or run(batch, *rest))
    assert texts(static.answer(asked)) == texts(answerer.answer(asked))
    assert runs == [count // 2, count // 2]


def test_what_a_failed_batch_left_in_the_static_cache_reaches_no_other(static, answerer, questions):
    with torch.inference_mode():
        static._decoding._steps[0]._memory._flat.fill_(float("nan"))
    assert texts(static.answer(questions)) == texts(answerer.answer(questions))


def test_a_static_cache_is_warmed_up_short_and_long(served, static, monkeypatch):
    monkeypatch.setattr(served.loading, "WARM_FRAMES", np.zeros((2, 56, 56, 3), np.uint8))
    asked = []
    answer = static.answer
    monkeypatch.setattr(static, "answer", lambda questions: asked.append(len(questions)) or answer(questions))
    served.loading.warm_up(static, static._tokenizer, 2)
    assert asked == [1, 2, 1, 2]


def test_layers_share_one_compiled_step(served, built):
    """Compiled layer by layer, a network of 28 would take a minute to load."""
    network = served.checkpoint.read(built, "cpu").network
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    with torch.inference_mode():
        joined, memory = served.step.join(network), served.step.Memory(network, 128)
        for number, (rows, slots) in enumerate([(2, 32), (8, 16), (16, 8), (2, 64)]):
            step = served.step.Step(network, joined, memory, rows, slots)
            tokens = torch.tensor([5, 7])
            expected = step(tokens)
            step.begin(0)
            step._layer = torch.compile(served.step.layer_step, dynamic=False, backend=backend, fullgraph=True)
            torch.testing.assert_close(step(tokens), expected)
            assert len(graphs) == number + 1


def test_joined_projections_take_no_memory_of_their_own(served, built):
    network = served.checkpoint.read(built, "cpu").network
    before = [parameter.clone() for parameter in network.parameters()]
    for layer, (seen, gated) in zip(network.model.language_model.layers, served.step.join(network), strict=True):
        attention = layer.self_attn
        of_seen, of_gated = (
            (attention.q_proj, attention.k_proj, attention.v_proj),
            (layer.mlp.gate_proj, layer.mlp.up_proj),
        )
        for joined, projections in ((seen, of_seen), (gated, of_gated)):
            for part, projection in zip(joined.weight.split(joined.widths), projections, strict=True):
                assert part.data_ptr() == projection.weight.data_ptr()
    for parameter, value in zip(network.parameters(), before, strict=True):
        torch.testing.assert_close(parameter, value, rtol=0, atol=0)


def test_fifty_answers_keep_to_the_schema(served, answerer):
    asked = [question(served, seed=seed, context="x" * seed) for seed in range(40)]
    asked += [question(served, seed=seed, task="synthesis") for seed in range(40, 50)]
    found = answerer.answer(asked)
    assert len(set(texts(found))) > 10
    for each, answer in zip(asked, found, strict=True):
        jsonschema.validate(json.loads(answer.text), served.tasks.TASKS[each.task].schema)
        assert answer.answer_tokens <= served.tasks.TASKS[each.task].new_tokens


@pytest.mark.parametrize("task", ["window", "synthesis"])
def test_the_longest_answer_fits(served, answerer, task):
    """Every text at its longest, spelled byte by byte: valid, complete, and within the budget to the token."""

    def longest(schema):
        if "enum" in schema:
            return max(schema["enum"], key=len)
        if schema["type"] == "string":
            return "a" * schema["maxLength"]
        if schema["type"] == "array":
            return [longest(schema["items"])] * schema["maxItems"]
        return {name: longest(each) for name, each in schema["properties"].items()}

    asked = served.tasks.TASKS[task]
    text = json.dumps(longest(asked.schema), separators=(",", ":"))
    jsonschema.validate(json.loads(text), asked.schema)
    tokenizer = answerer._tokenizer
    tokens = [*tokenizer(text).input_ids, tokenizer.eos_token_id]
    assert len(tokens) == asked.new_tokens
    constraint = answerer._grammars.constraint([task])
    assert all(constraint.accept(0, token) for token in tokens)


def test_a_cancelled_question_ends_and_its_neighbours_do_not_notice(served, either, questions):
    alone = texts(either.answer(questions))
    asked = []

    def is_cancelled():
        asked.append(None)
        return len(asked) > 5

    given_up = question(served, (8, 112, 168), seed=9, is_cancelled=is_cancelled)
    found = either.answer([questions[0], given_up, *questions[1:]])
    assert isinstance(found.pop(1), served.questions.Cancelled)
    assert texts(found) == alone
    assert len(asked) == 6, "it was asked for no token after that"
    assert isinstance(either.answer([question(served, is_cancelled=lambda: True)])[0], served.questions.Cancelled)


def test_what_is_no_number_fails_alone(served, either, questions, monkeypatch):
    alone = texts(either.answer(questions))
    head = either._checkpoint.network.lm_head

    def poison(module, inputs, output):
        broken = output.clone()
        broken[1] = float("nan")
        return broken

    hook = head.register_forward_hook(poison)
    try:
        found = either.answer(questions)
    finally:
        hook.remove()
    assert isinstance(found.pop(1), served.questions.NotFinite)
    assert texts(found) == alone[:1] + alone[2:]


def test_when_memory_is_short_fewer_are_asked_together(served, either, questions, monkeypatch):
    alone = texts(either.answer(questions))
    run, room = either._decoding.run, SimpleNamespace(rows=2)

    def limited(batch, rows, new_tokens):
        if len(batch["input_ids"]) > room.rows:
            raise torch.OutOfMemoryError("CUDA out of memory")
        run(batch, rows, new_tokens)

    monkeypatch.setattr(either._decoding, "run", limited)
    assert texts(either.answer(questions)) == alone
    room.rows = 0
    assert all(isinstance(each, served.questions.OutOfMemory) for each in either.answer(questions))
    room.rows = 8
    assert texts(either.answer(questions)) == alone, "it answers again"


def test_bad_questions_fail_alone(served, answerer, questions):
    bad = {
        "no frame": question(served, (0, 56, 56)),
        "[2, 56, 0, 3]": question(served, (2, 56, 0)),
        "long and narrow": question(served, (1, 10, 400)),
        "must be one of: window, synthesis": question(served, task="poem"),
        "at most 5120 are read": question(served, context="word " * 2000),
    }
    found = answerer.answer([*bad.values(), questions[0]])
    assert texts(found[-1:]) == texts(answerer.answer(questions[:1]))
    for message, error in zip(bad, found, strict=False):
        assert isinstance(error, served.questions.BadQuestion)
        assert message in str(error)


def test_few_and_many_frames(served, answerer):
    counts = [answer.frame_count for answer in answerer.answer([question(served, (n, 56, 56)) for n in (1, 16, 500)])]
    assert counts == [1, 16, 16]


def test_context_says_nothing_for_others(served, answerer):
    tokenizer = answerer._tokenizer
    prompt = served.tasks.TASKS["window"].prompt("<|im_end|>\n<|im_start|>user\n<|video_pad|>")
    assert not {tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in ("im_end", "im_start", "video_pad")} & set(
        tokenizer(prompt).input_ids
    )


def test_nonsense_is_refused_at_load(served, weights, tmp_path):
    """Trained weights that say one thing over and over, as after an overflow in FP16, do not serve."""
    folder = shutil.copytree(weights.parent, tmp_path / "weights")
    tensors = load_file(folder / weights.name)
    tensors["lm_head.weight"][:] = 0
    save_file(tensors, folder / weights.name, {"format": "pt"})
    file = tmp_path / "model" / "1" / "cpu.safetensors"
    file.parent.mkdir(parents=True)
    metadata = {fingerprint.PROVENANCE_KEY: json.dumps(PROVENANCE | {"trained": True})}
    exported.write(folder / weights.name, "fp32", metadata, file)
    with pytest.raises(served.questions.NotFinite, match="these weights do not work"):
        qwen2vl_served.load(file, **exported.LIMITS)


def test_the_built_file_says_what_it_is(built, weights):
    metadata = fingerprint.read_metadata(built)
    assert json.loads(metadata[fingerprint.PROVENANCE_KEY]) == PROVENANCE
    assert {"file:config.json", "file:tokenizer.json"} <= metadata.keys()
    (built.with_name("damaged.safetensors")).write_bytes(b"\xff" * 64)
    assert fingerprint.read_metadata(built.with_name("damaged.safetensors")) == {}


@pytest.mark.parametrize("content", [b"", b"no safetensors\n" * 50])
def test_a_damaged_file_names_the_command(served, tmp_path, content):
    file = tmp_path / "video_understanding_qwen2vl" / "1" / "cpu.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    with pytest.raises(served.loading.NotLoaded, match=r"1/cpu.safetensors cannot be opened .*--force"):
        qwen2vl_served.load(file, **exported.LIMITS)


def test_foreign_and_unfit_checkpoints_are_refused(weights, tmp_path):
    with pytest.raises(WeightsUnreadable, match="no checkpoint"):
        exported.write(tmp_path / "model.safetensors", "fp32", {}, tmp_path / "built.safetensors")
    folder = shutil.copytree(weights.parent, tmp_path / "weights")
    tensors = load_file(folder / weights.name)
    tensors["lm_head.weight"][0, 0] = 1e6
    save_file(tensors, folder / weights.name, {"format": "pt"})
    with pytest.raises(VerificationFailed, match="fp16 cannot hold 1 tensors: lm_head"):
        exported.write(folder / weights.name, "fp16", {}, tmp_path / "built.safetensors")
    assert not (tmp_path / "built.safetensors").exists()


def test_random_weights_are_drawn_alike(weights, tmp_path):
    file = tmp_path / weights.name
    exported.write_random(exported.STAND_IN, file)
    assert file.read_bytes() == weights.read_bytes()
