"""Examples that share their beginning: the same loss, token for token, and the same gradient as one by one."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from el4ner.train.batches import Cost, collate  # noqa: E402
from el4ner.train.config import OptimisationConfig  # noqa: E402
from el4ner.train.data import Sentence  # noqa: E402
from el4ner.train.encode import IGNORE, Encoded  # noqa: E402
from el4ner.train.length_batches import cut  # noqa: E402
from el4ner.train.shared_prefix import bundle, shared_logits, shared_size  # noqa: E402
from el4ner.train.tuning import answer_logits  # noqa: E402

from .sharing import apart_and_together, check_alike, unbundled  # noqa: E402

tokens = st.lists(st.integers(0, 3), min_size=1, max_size=6)


@given(tokens, st.lists(st.tuples(tokens, tokens), min_size=1, max_size=4))
def test_a_bundle_holds_each_unequal_example_once(text: list[int], questions: list[tuple[list[int], list[int]]]):
    examples = [Encoded(text + asked + answer, [IGNORE] * len(text + asked) + answer) for asked, answer in questions]
    made = bundle(examples)
    whole = Counter(tuple(made.prefix + tail.ids) for tail in made.tails)
    assert whole == Counter(set(whole)) and set(whole) == {tuple(example.ids) for example in examples}
    assert made.size <= sum(len(example.ids) for example in examples)
    for tail in made.tails:
        assert tail.labels[0] == IGNORE and len(tail.ids) == len(tail.labels)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30), st.integers(4, 40))
def test_a_batch_keeps_to_its_size(sizes: list[int], batch_tokens: int):
    bundles = [bundle([Encoded([0] * size + [1], [IGNORE] * size + [1])]) for size in sizes]
    batches = cut(bundles, lambda item: len(item.prefix), shared_size, batch_tokens, seed=1, pool=8)
    assert sorted(item.size for batch in batches for item in batch) == sorted(item.size for item in bundles)
    assert all(len(batch) == 1 or sum(item.size for item in batch) <= batch_tokens for batch in batches)


@pytest.mark.parametrize("name", ["bloom", "qwen3"])
def test_sharing_changes_neither_loss_nor_gradient(
    tiny_model: Callable[..., Path], sentences: Sequence[Sentence], name: str
):
    model, tokenizer, apart, together = apart_and_together(tiny_model(name), sentences, 512, share_prefix=True)
    examples = unbundled(together._batches[0])
    assert {tuple(example.ids) for example in examples} == {tuple(example.ids) for example in apart._batches[0]}
    rows = collate(examples, tokenizer.pad_token_id)
    labels = rows.pop("labels")
    computed = together[0]["prefix_ids"].numel() + sum(group["ids"].numel() for group in together[0]["tails"])
    assert together.cost == Cost(1, computed, apart.cost.tokens)
    assert computed < apart[0]["input_ids"].numel() == apart.cost.tokens
    assert together[0]["prefix_ids"].numel() < rows["input_ids"].numel() / 3
    check_alike(model, answer_logits(model, rows, labels), shared_logits(model, together[0]))


def test_sharing_and_checkpointing_exclude_each_other():
    with pytest.raises(ValueError, match="set one of them"):
        OptimisationConfig(share_prefix=True, gradient_checkpointing=True)
