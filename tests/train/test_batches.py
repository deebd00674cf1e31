"""Batches: every example once, in batches of bounded padded size; what is too long is counted."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from el4ner.errors import InputError  # noqa: E402
from el4ner.prompts.formats import answer_format  # noqa: E402
from el4ner.train.batches import Batches, Cost, Limits, collate  # noqa: E402
from el4ner.train.config import TaskConfig  # noqa: E402
from el4ner.train.data import Sentence  # noqa: E402
from el4ner.train.encode import IGNORE, Encoded  # noqa: E402
from el4ner.train.examples import ExampleMaker, Plan, plan_epochs  # noqa: E402

from .conftest import TYPES, plainly_encoded, prompts_of  # noqa: E402

Rows = Counter[tuple[int, ...]]


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Callable[..., Path]) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model("qwen3"))


@pytest.fixture(scope="module")
def maker(sentences: list[Sentence]) -> ExampleMaker:
    shown = [sentence.document for sentence in sentences[:3]]
    return ExampleMaker(
        sentences, prompts_of("compact"), answer_format("inline"), TYPES, lambda _, n: shown[:n], seed=1
    )


def rows_of(batches: Batches) -> Rows:
    """Unpadded rows of all batches, counted."""
    found: Rows = Counter()
    for index in range(len(batches)):
        batch = batches[index]
        for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True):
            found[tuple(ids[mask.bool()].tolist())] += 1
    return found


@pytest.mark.parametrize("batch_tokens", [64, 200, 4096])
def test_every_example_is_there_once_in_batches_of_bounded_size(maker: Any, tokenizer: Any, batch_tokens: int):
    plans = plan_epochs(maker.sentences, TaskConfig(), 2, 3.0, seed=1)
    batches = Batches(plans, maker, tokenizer, Limits(batch_tokens, 512), seed=1)
    conversations = [messages for plan in plans if (messages := maker.make(plan)) is not None]
    assert rows_of(batches) == Counter(tuple(plainly_encoded(tokenizer, messages)[0]) for messages in conversations)
    assert batches.too_long == 0
    for index in range(len(batches)):
        rows, width = batches[index]["input_ids"].shape
        assert rows == 1 or rows * width <= batch_tokens


def test_batches_are_the_same_for_the_same_seed_and_shuffled_by_it(maker: Any, tokenizer: Any):
    plans = plan_epochs(maker.sentences, TaskConfig(), 2, 3.0, seed=1)

    def widths(seed: int) -> list[Any]:
        batches = Batches(plans, maker, tokenizer, Limits(128, 512), seed)
        return [batches[index]["input_ids"].tolist() for index in range(len(batches))]

    assert widths(1) == widths(1)
    assert widths(1) != widths(2)
    assert sorted(widths(1)) == sorted(widths(2))


def test_little_is_padding(maker: Any, tokenizer: Any):
    batches = Batches(
        plan_epochs(maker.sentences, TaskConfig(), 2, 20.0, seed=1), maker, tokenizer, Limits(512, 512), seed=1
    )
    masks = [batches[index]["attention_mask"] for index in range(len(batches))]
    assert sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks) > 0.9


def test_too_long_conversations_lose_their_first_demonstrations_then_are_counted(maker: Any, tokenizer: Any):
    whole = plainly_encoded(tokenizer, maker.make(Plan(1, "extract", 3, 0)))[0]
    bare = plainly_encoded(tokenizer, maker.make(Plan(1, "extract", 0, 0)))[0]
    limit = len(whole) - 1
    shortened = Batches([Plan(1, "extract", 3, 0)], maker, tokenizer, Limits(4096, limit), seed=1)
    ((row, _),) = rows_of(shortened).items()
    assert len(bare) < len(row) <= limit and row[-len(bare) :] == tuple(bare)
    assert row == tuple(whole[-len(row) :])
    plans = [Plan(1, "extract", 3, 0), Plan(3, "classify", 0, 1)]
    dropped = Batches(plans, maker, tokenizer, Limits(4096, len(bare) - 1), seed=1)
    assert dropped.too_long == 1 and len(dropped) == 1


def test_the_cost_is_the_padded_tokens_of_all_batches(maker: Any, tokenizer: Any):
    batches = Batches(
        plan_epochs(maker.sentences, TaskConfig(), 2, 2.0, seed=1), maker, tokenizer, Limits(512, 512), seed=1
    )
    padded = sum(batches[index]["input_ids"].numel() for index in range(len(batches)))
    assert batches.cost == Cost(len(batches), padded)
    assert str(Cost(812, 1_234_567)) == "1,234,567 tokens in 812 batches"
    assert str(Cost(812, 1_234_567, 2_800_000)).endswith("; without share_prefix 2,800,000")


def test_only_equal_conversations_are_taken_for_one(maker: Any):
    known: dict[Any, Any] = {}
    plans = plan_epochs(maker.sentences, TaskConfig(), 2, 4.0, seed=1)
    for plan in plans:
        messages = maker.make(plan)
        assert known.setdefault(maker.identity(plan), messages) == messages
    assert len(known) < 0.9 * len(plans)


def test_nothing_that_fits_is_an_error(maker: Any, tokenizer: Any):
    with pytest.raises(InputError, match="max_length"):
        Batches([Plan(1, "extract", 0, 0)], maker, tokenizer, Limits(64, 3), seed=1)


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(5, 50), min_size=1, max_size=9), min_size=1, max_size=6))
def test_collate_pads_on_the_right_and_puts_no_loss_on_padding(rows: Sequence[list[int]]):
    batch = collate([Encoded(row, [IGNORE, *row[1:]]) for row in rows], pad_id=0)
    width = max(map(len, rows))
    for name in ("input_ids", "attention_mask", "labels"):
        assert batch[name].shape == (len(rows), width) and batch[name].dtype == torch.long
    for index, row in enumerate(rows):
        padding = width - len(row)
        assert batch["input_ids"][index].tolist() == row + [0] * padding
        assert batch["attention_mask"][index].tolist() == [1] * len(row) + [0] * padding
        assert batch["labels"][index].tolist() == [IGNORE, *row[1:], *[IGNORE] * padding]
