"""From a training configuration to batches: sentences read and split, examples planned, encoded and packed."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from el4ner.errors import ConfigError
from el4ner.prompts.formats import answer_format
from el4ner.prompts.questions import Questions
from el4ner.prompts.render import Prompts
from el4ner.train.batches import Batches, Limits
from el4ner.train.config import TrainConfig
from el4ner.train.data import Sentence, joined, read_sentences, split
from el4ner.train.examples import ExampleMaker, plan_epochs
from el4ner.train.questions import QuestionMaker, Retrieve
from el4ner.train.retrieval import build_retrieves
from el4ner.train.schemas import LabelSetSampler

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingSets:
    """What a run learns from and is evaluated on.

    Attributes:
        train: batches of all epochs.
        held_out: batches of the held-out sentences, once each; None where none are held out.
        sentences: how many are learnt from, alone or in windows.
        held_out_sentences: how many are held out.
    """

    train: Batches
    held_out: Batches | None
    sentences: int
    held_out_sentences: int

    @property
    def counts(self) -> dict[str, int]:
        """The numbers that stand in the model card."""
        return {
            "sentences": self.sentences,
            "held out": self.held_out_sentences,
            "left out as too long": self.train.too_long,
        }


def build_sets(config: TrainConfig, tokenizer: Any) -> TrainingSets:
    """The batches of a configuration; demonstrations come from the sentences that are learnt from.

    Raises:
        ConfigError: no task is on.
        InputError: the data cannot be read, or none of it fits.
    """
    learnt, held_out = split(read_sentences(config.data), config.evaluation.fraction, config.seed)
    retrieves = build_retrieves(learnt, config)
    windows = joined(learnt, config.windows, config.seed)
    train = _batches(windows, config.optimisation.epochs, config, retrieves, tokenizer)
    evaluation = _batches(held_out, 1.0, config, retrieves, tokenizer) if held_out else None
    return TrainingSets(train, evaluation, len(learnt), len(held_out))


def _batches(
    part: Sequence[Sentence],
    epochs: float,
    config: TrainConfig,
    retrieves: tuple[Retrieve, Retrieve],
    tokenizer: Any,
) -> Batches:
    retrieve, for_questions = retrieves
    shows, o = config.demonstrations.method != "none", config.optimisation
    questions = _questions(config, for_questions)
    maker = ExampleMaker(
        part,
        Prompts(config.prompt_style, config.labels),
        answer_format(config.answer_format),
        [label.name for label in config.labels],
        retrieve,
        config.seed,
        questions,
        LabelSetSampler(config.schemas, config.labels),
    )
    max_demonstrations = config.demonstrations.k if shows else 0
    plans = plan_epochs(part, config.tasks, max_demonstrations, epochs, config.seed, questions)
    if not plans:
        raise ConfigError("tasks are all 0, so there is nothing to learn; set one of them above 0")
    log.info("%d examples from %d sentences", len(plans), len(part))
    made = Batches(
        plans,
        maker,
        tokenizer,
        Limits(o.batch_tokens, o.max_length),
        config.seed,
        share_prefix=o.share_prefix,
    )
    log.info("%s", made.cost)
    return made


def _questions(config: TrainConfig, retrieve: Retrieve) -> QuestionMaker | None:
    if not config.tasks.mrc:
        return None
    k = config.demonstrations.k if config.mrc.k is None else config.mrc.k
    questions = Questions(
        config.prompt_style,
        config.labels,
        config.mrc.types_per_call,
        marked=config.mrc.answers == "marked",
    )
    max_demonstrations = 0 if config.demonstrations.method == "none" else k
    return QuestionMaker(questions, retrieve, max_demonstrations)
