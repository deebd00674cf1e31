"""Free answers with shared beginnings are the answers that Transformers' own greedy generation gives, for less reading."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from transformers import GenerationConfig  # noqa: E402

from el4ner.members.engine import Engine  # noqa: E402
from el4ner.members.writing import is_plainly_greedy  # noqa: E402

NAMES = ("opt", "bloom", "qwen3", "glm4")


def fresh(tiny_model: Callable[..., Path], name: str, cache_mib: int = 8) -> Engine:
    return Engine(tiny_model(name), None, "cpu", "float32", {}, cache_mib=cache_mib)


def prompts_of(seed: int, vocabulary: int) -> list[list[int]]:
    """Questions about three texts, and a few prompts that share nothing, in random order."""
    rng = random.Random(seed)

    def tokens(count: int) -> list[int]:
        return [rng.randrange(vocabulary) for _ in range(count)]

    prompts = [tokens(rng.randrange(1, 30)) for _ in range(3)]
    for _ in range(3):
        text = tokens(rng.randrange(10, 60))
        prompts += [text + tokens(rng.randrange(1, 9)) for _ in range(rng.randrange(1, 5))]
    rng.shuffle(prompts)
    return prompts


@pytest.mark.parametrize("cache_mib", [0, 8])
@pytest.mark.parametrize("name", NAMES)
def test_answers_are_those_of_greedy_generation(tiny_model: Any, name: str, cache_mib: int):
    engine = fresh(tiny_model, name, cache_mib)
    assert engine._writer is not None
    for seed in range(4):
        prompts = prompts_of(seed, engine.model.config.vocab_size)
        limits = [random.Random(seed * 100 + n).randrange(1, 20) for n in range(len(prompts))]
        nothing = [None] * len(prompts)
        with torch.inference_mode():
            expected = [engine._freely([p], [None], [limit])[0] for p, limit in zip(prompts, limits, strict=True)]
        assert engine.generate(prompts, nothing, limits) == expected
        assert engine.generate(prompts[::-1], nothing, limits[::-1]) == expected[::-1]


def read_tokens(engine: Engine, work: Callable[[], Any]) -> int:
    """Tokens that the model computes meanwhile."""
    seen = []
    hook = engine.model.get_input_embeddings().register_forward_hook(lambda _m, args, _o: seen.append(args[0].numel()))
    work()
    hook.remove()
    return sum(seen)


def test_what_questions_share_is_read_once(tiny_model: Any):
    engine = fresh(tiny_model, "glm4")
    text = list(range(20, 140))
    questions = [[*text, 150 + n, 160 + n] for n in range(8)]
    once = read_tokens(engine, lambda: engine.generate(questions, [None] * 8, [1] * 8))
    assert once == len(text) + 8 * 2
    again = read_tokens(engine, lambda: engine.generate([[*text, 200]], [None], [1]))
    assert again == 1


def test_finished_rows_leave_the_batch(tiny_model: Any):
    engine = fresh(tiny_model, "qwen3")
    prompts, limits = [[30, 31], [40, 41], [50, 51]], [1, 9, 1]
    lengths = [out.tokens for out in engine.generate(prompts, [None] * 3, limits)]
    computed = read_tokens(engine, lambda: engine.generate(prompts, [None] * 3, limits))
    assert computed == 3 * 2 + lengths[1] - 1


def test_an_answer_ends_with_the_context(tiny_model: Any):
    engine = fresh(tiny_model, "glm4")
    prompt = list(range(20, 20 + engine.context - 3))
    (out,) = engine.generate([prompt], [None], [50])
    assert out.tokens <= 3 and (out.finished or out.tokens == 3)


def test_penalties_of_a_model_keep_it_with_its_own_generation(tiny_model: Any):
    assert is_plainly_greedy(GenerationConfig()) and is_plainly_greedy(
        GenerationConfig(temperature=0.3, do_sample=True)
    )
    for changed in ({"repetition_penalty": 1.05}, {"no_repeat_ngram_size": 3}, {"suppress_tokens": [5]}):
        assert not is_plainly_greedy(GenerationConfig(**changed))
