"""Sentences side by side in rows: the same loss and gradient as one by one, and nothing lost."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from el4ner.train.batches import collate  # noqa: E402
from el4ner.train.config import OptimisationConfig  # noqa: E402
from el4ner.train.data import Sentence  # noqa: E402
from el4ner.train.encode import IGNORE, Encoded  # noqa: E402
from el4ner.train.row_packing import collate_rows, fill_rows, row_length, split_bundle  # noqa: E402
from el4ner.train.shared_prefix import Bundle, bundle  # noqa: E402
from el4ner.train.tuning import answer_logits  # noqa: E402

from .sharing import apart_and_together, check_alike, unbundled  # noqa: E402

sizes = st.tuples(st.integers(0, 8), st.lists(st.integers(2, 8), min_size=1, max_size=6))


def _bundle(prefix: int, tails: Sequence[int]) -> Bundle:
    return Bundle(
        [1] * prefix, [Encoded([number] * size, [IGNORE] + [7] * (size - 1)) for number, size in enumerate(tails)]
    )


def _examples(bundles: Sequence[Bundle]) -> Counter[tuple[int, ...]]:
    return Counter(tuple(part.prefix + tail.ids) for part in bundles for tail in part.tails)


@given(st.lists(sizes, min_size=1, max_size=12), st.integers(16, 40))
def test_rows_hold_every_example_once_and_keep_to_their_length(bundled: list[tuple[int, list[int]]], length: int):
    bundles = [_bundle(prefix, tails) for prefix, tails in bundled]
    rows = fill_rows(bundles, length, seed=1, pool=5)
    assert _examples([part for row in rows for part in row]) == _examples(bundles)
    assert all(sum(part.size for part in row) <= length for row in rows)


def test_a_bundle_that_is_too_long_is_split_between_its_examples():
    parts = split_bundle(_bundle(4, [3, 3, 3]), 10)
    assert [len(part.tails) for part in parts] == [2, 1]
    assert all(part.prefix == [1] * 4 for part in parts)


def test_short_parts_fill_the_rows_of_long_ones():
    rows = fill_rows([_bundle(4, [4]), _bundle(2, [2]), _bundle(2, [2]), _bundle(4, [2])], 12, seed=1)
    assert sorted(sum(part.size for part in row) for row in rows) == [10, 12]


def test_a_token_sees_its_beginning_and_its_own_example():
    batch = collate_rows([[_bundle(2, [2, 2]), _bundle(1, [2])]], pad_id=0, length=10)
    seen = batch["attention_mask"][0, 0].int().tolist()
    assert ["".join(map(str, row)) for row in seen] == [
        "1000000000",
        "1100000000",
        "1110000000",
        "1111000000",
        "1100100000",
        "1100110000",
        "0000001000",
        "0000001100",
        "0000001110",
        "0000000001",
    ]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 2, 3, 0, 1, 2, 0]]
    assert batch["labels"].tolist() == [[IGNORE] * 3 + [7, IGNORE, 7, IGNORE, IGNORE, 7, IGNORE]]


@pytest.mark.parametrize("name", ["qwen3", "glm4"])
def test_rows_change_neither_loss_nor_gradient(
    tiny_model: Callable[..., Path], sentences: Sequence[Sentence], name: str
):
    model, tokenizer, apart, packed = apart_and_together(
        tiny_model(name), sentences, 256, share_prefix=True, pack_rows=True
    )
    assert packed.cost.tokens == packed[0]["input_ids"].numel() < apart.cost.tokens == packed.cost.unshared
    examples = unbundled(part for row in packed._batches[0] for part in row)
    assert {tuple(example.ids) for example in examples} == {tuple(example.ids) for example in apart._batches[0]}
    one_by_one, rows = collate(examples, tokenizer.pad_token_id), dict(packed[0])
    labels, row_labels = one_by_one.pop("labels"), rows.pop("labels")
    check_alike(model, answer_logits(model, one_by_one, labels), answer_logits(model, rows, row_labels))


def test_a_single_example_is_a_row():
    alone = bundle([Encoded([5, 6, 7], [IGNORE, IGNORE, 7])])
    assert fill_rows([alone], 32, seed=1) == [[alone]]


@pytest.mark.parametrize(
    ("longest", "batch", "length"), [(33, 64, 64), (500, 2048, 1024), (500, 600, 608), (500, 64, 512)]
)
def test_rows_are_twice_as_long_as_an_example_where_a_batch_holds_them(longest: int, batch: int, length: int):
    assert row_length(longest, batch) == length


def test_rows_need_shared_prefixes():
    with pytest.raises(ValueError, match="share_prefix: true as well"):
        OptimisationConfig(pack_rows=True)
