"""Label sets that differ from conversation to conversation, so that a model learns to read any, and not a few types by heart."""

import random
from collections.abc import Sequence

from el4ner.config import LabelConfig
from el4ner.train.config import SchemaConfig
from el4ner.train.data import Sentence

KEEP_PROBABILITY = 0.5
"""Chance that a type stays where some are left out."""
MAX_DISTRACTORS = 2


class LabelSetSampler:
    """Draws the label set that a conversation about a sentence asks about.

    Args:
        settings: what may change.
        labels: of sentences whose file has no label set of its own.
    """

    def __init__(self, settings: SchemaConfig, labels: Sequence[LabelConfig]) -> None:
        self._settings = settings
        self._labels = tuple(labels)

    def draw(self, sentence: Sentence, rng: random.Random) -> list[LabelConfig]:
        """Some or all types that the sentence's file labels, in any order, perhaps under other words and with distractors."""
        settings = self._settings
        labels = [
            label for label in sentence.labels or self._labels if sentence.types is None or label.name in sentence.types
        ]
        if rng.random() < settings.subset_share:
            labels = [label for label in labels if rng.random() < KEEP_PROBABILITY] or [rng.choice(labels)]
        labels = [self._with_synonym(label, sentence, rng) for label in labels]
        if rng.random() < settings.distractor_share:
            labels += self._distractors(labels, sentence, rng)
        if rng.random() < settings.undefined_share:
            labels = [label.model_copy(update={"definitions": {}}) for label in labels]
        rng.shuffle(labels)
        return labels

    def _with_synonym(self, label: LabelConfig, sentence: Sentence, rng: random.Random) -> LabelConfig:
        synonyms = self._settings.synonyms.get(label.word(sentence.language), ())
        if not synonyms or rng.random() >= self._settings.synonym_share:
            return label
        return label.model_copy(update={"words": {sentence.language: rng.choice(synonyms)}})

    def _distractors(self, labels: Sequence[LabelConfig], sentence: Sentence, rng: random.Random) -> list[LabelConfig]:
        """Types that are called otherwise than the labels; their names are those of no entity."""
        language = sentence.language
        taken = {label.word(language).casefold() for label in labels}
        others = [
            label
            for label in self._settings.distractors
            if language in label.words and label.word(language).casefold() not in taken
        ]
        drawn = rng.sample(others, min(len(others), rng.randint(1, MAX_DISTRACTORS)))
        return [label.model_copy(update={"name": f"distractor: {label.name}"}) for label in drawn]
