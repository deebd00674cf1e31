"""What tests of shared examples have in common: the same examples one by one and together, and their losses and gradients."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from el4ner.prompts.formats import answer_format
from el4ner.train.batches import Batches, Limits
from el4ner.train.config import TaskConfig
from el4ner.train.data import Sentence
from el4ner.train.encode import IGNORE, Encoded
from el4ner.train.examples import ExampleMaker, plan_epochs
from el4ner.train.shared_prefix import Bundle

from .conftest import TYPES, prompts_of

Answered = tuple[Any, Any]
"""Logits of answer tokens, and those tokens."""


def apart_and_together(
    folder: Path, sentences: Sequence[Sentence], max_length: int, **sharing: bool
) -> tuple[Any, Any, Batches, Batches]:
    """Model, tokenizer, and the sentences' examples in one batch each way."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    shown = [sentence.document for sentence in sentences[:2]]
    maker = ExampleMaker(
        list(sentences), prompts_of("compact"), answer_format("inline"), TYPES, lambda _, n: shown[:n], seed=1
    )
    plans = plan_epochs(list(sentences), TaskConfig(), 2, 1.0, seed=1)
    apart = Batches(plans, maker, tokenizer, Limits(100_000, max_length), seed=1)
    together = Batches(plans, maker, tokenizer, Limits(100_000, max_length), seed=1, **sharing)
    assert len(apart) == len(together) == 1
    return model, tokenizer, apart, together


def unbundled(bundles: Iterable[Bundle]) -> list[Encoded]:
    """The examples of bundles, whole again."""
    return [
        Encoded(part.prefix + tail.ids, [IGNORE] * len(part.prefix) + tail.labels)
        for part in bundles
        for tail in part.tails
    ]


def check_alike(model: Any, expected: Answered, found: Answered) -> None:
    """The same loss and the same gradient."""
    wanted_loss, wanted = _loss_and_gradient(model, *expected)
    loss, gradient = _loss_and_gradient(model, *found)
    assert loss == pytest.approx(wanted_loss, rel=1e-4)
    assert torch.allclose(gradient, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))


def _loss_and_gradient(model: Any, logits: Any, targets: Any) -> tuple[float, Any]:
    model.zero_grad()
    loss = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum")
    loss.backward()
    return float(loss.detach()), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
