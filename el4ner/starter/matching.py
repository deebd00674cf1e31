"""A model of one architecture learns to compute what a trained one of another computes: faster than learning it from labels.

Layers that begin with another architecture's weights compute nearly the same; what is missing is made good by knowledge
distillation. The student's stream after each layer is drawn to the teacher's (as in TinyBERT; Jiao et al. 2020), and the
probabilities of its answers to the teacher's (Hinton et al. 2015).
"""

import itertools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer

from el4ner.learn.batches import Batches
from el4ner.learn.budget import TimeBudget
from el4ner.learn.config import TrainConfig
from el4ner.learn.encode import IGNORE
from el4ner.learn.sets import build_sets

log = logging.getLogger(__name__)

RATE = 1e-3
"""Peak learning rate."""
WARMUP = 0.05
"""Share of the time in which the rate rises to it."""
PASSES = 0.15
"""Part of the data that is encoded; it is repeated where the time allows more."""
LOGGED = 50
"""Updates between two lines of the log."""

Batch = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Distance:
    """How far a student is from its teacher.

    Attributes:
        streams: mean squared difference of the streams after each layer, as a share of the teacher's variance.
        answers: Kullback-Leibler divergence of the answers' probabilities, nats a token.
    """

    streams: torch.Tensor
    answers: torch.Tensor


def match_folder(folder: Path, trained: Path, config: TrainConfig, minutes: float) -> None:
    """Let the model in ``folder`` learn from the one in ``trained``, on a configuration's examples; it is written anew.

    Both must have the same tokens.

    Raises:
        InputError: the data cannot be read.
    """
    optimisation = config.optimisation.model_copy(update={"epochs": PASSES, "share_prefix": False})
    evaluation = config.evaluation.model_copy(update={"fraction": 0.0})
    config = config.model_copy(update={"optimisation": optimisation, "evaluation": evaluation})
    batches = build_sets(config, AutoTokenizer.from_pretrained(folder)).train
    student, teacher = (
        AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32, use_safetensors=True)
        for place in (folder, trained)
    )
    match(student, teacher.eval(), batches, minutes)
    student.save_pretrained(folder)


def match(
    student: Any,
    teacher: Any,
    batches: Batches | Sequence[Batch],
    minutes: float,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Train the student in place, for so many minutes, over and over on the batches.

    Args:
        student: a causal language model.
        teacher: another one with the same layers' number and width, and the same tokens.
        batches: token ids, mask and labels, ``(rows, length)`` each.
        minutes: how long.
        clock: seconds; for tests.
    """
    budget = TimeBudget(minutes, RATE, "linear", WARMUP, clock)
    optimiser = torch.optim.AdamW(student.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.0)
    seen: list[tuple[float, float]] = []
    for step in itertools.count():
        rate = budget.rate()
        if step and rate <= 0:
            return
        for group in optimiser.param_groups:
            group["lr"] = rate
        found = distance(student, teacher, batches[step % len(batches)])
        optimiser.zero_grad()
        torch.autograd.backward(found.streams + found.answers)
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimiser.step()
        seen.append((found.streams.item(), found.answers.item()))
        if len(seen) % LOGGED == 0:
            streams, answers = (sum(part) / LOGGED for part in zip(*seen[-LOGGED:], strict=True))
            log.info("step %d: streams %.4f, answers %.4f", len(seen), streams, answers)


def distance(student: Any, teacher: Any, batch: Batch) -> Distance:
    """How far the student is from the teacher on a batch; gradients flow into the student alone."""
    inputs = {name: values for name, values in batch.items() if name != "labels"}
    asked = batch["labels"][:, 1:] != IGNORE
    with torch.no_grad():
        theirs = teacher.base_model(**inputs, output_hidden_states=True)
    ours = student.base_model(**inputs, output_hidden_states=True)
    real = batch["attention_mask"].bool()
    pairs = zip(ours.hidden_states[1:], theirs.hidden_states[1:], strict=True)
    apart = [(a[real] - b[real]).square().mean() / b[real].var() for a, b in pairs]
    said, wanted = (
        functional.log_softmax(model.get_output_embeddings()(out.last_hidden_state[:, :-1][asked]), dim=-1)
        for model, out in ((student, ours), (teacher, theirs))
    )
    divergence = functional.kl_div(said, wanted, log_target=True, reduction="sum") / max(1, len(said))
    return Distance(torch.stack(apart).mean(), divergence)
