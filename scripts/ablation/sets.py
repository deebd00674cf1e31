"""The labelled sets of an experiment: which sentences are gold, and which may be shown as demonstrations."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ablation.design import Design, SetDesign
from el4ner.config import LabelConfig, Language
from el4ner.demos.pool import check_pool_labels, text_key, unique_texts
from el4ner.errors import ConfigError, InputError
from el4ner.scoring.predictions import read_gold
from el4ner.text.documents import Document

BLOCK = 20
"""Sentences of a file that are gold, then as many that are pool: neighbours, which name the same things, stay together."""


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """A set that is there.

    Attributes:
        name: also that of its folder.
        language: of all its sentences.
        labels: its entity types.
        gold: the sentences that are scored.
        pool: the sentences that demonstrations come from; none has the text of a gold sentence.
        left_out: how many sentences were left out of the pool because they stand in the gold file.
    """

    name: str
    language: Language
    labels: tuple[LabelConfig, ...]
    gold: tuple[Document, ...]
    pool: tuple[Document, ...]
    left_out: int

    def first(self, limit: int) -> list[Document]:
        """At most so many gold sentences at even distances."""
        return spread(self.gold, limit)


def read_sets(design: Design, data_root: Path) -> list[LabelledSet]:
    """The sets whose files are there; of each that is not, a line on standard error says so.

    Raises:
        El4nerError: a file cannot be read, or its labels are not those of the design.
    """
    return [_read(one, design.limit, data_root) for one in design.sets if _is_there(one, data_root)]


def spread(documents: Sequence[Document], limit: int | None) -> list[Document]:
    """At most ``limit`` documents at even distances, so that a file sorted by source is not cut to its first source."""
    count = len(documents) if limit is None else min(limit, len(documents))
    return [documents[place * len(documents) // count] for place in range(count)]


def halves(documents: Sequence[Document], block: int = BLOCK) -> tuple[list[Document], list[Document]]:
    """Two disjoint halves of a file, in blocks of sentences by turns: gold, pool."""
    turns = [(place // block) % 2 for place in range(len(documents))]
    gold, pool = (
        [document for document, turn in zip(documents, turns, strict=True) if turn == half] for half in (0, 1)
    )
    return gold, pool


def without(pool: Sequence[Document], gold: Sequence[Document]) -> list[Document]:
    """The pool sentences that do not have the text of a gold sentence, white space and case apart; each text once."""
    known = {text_key(document.text) for document in gold}
    return unique_texts(document for document in pool if text_key(document.text) not in known)


def _is_there(one: SetDesign, data_root: Path) -> bool:
    missing = [name for name in one.files if not (data_root / name).is_file()]
    if missing:
        print(
            f"{one.name}: skipped, {data_root / missing[0]} is not there (--data-root names another folder)",
            file=sys.stderr,
        )
    return not missing


def _read(one: SetDesign, limit: int, data_root: Path) -> LabelledSet:
    if one.halves is not None:
        gold, others = halves(read_gold(data_root / one.halves))
    else:
        gold, others = read_gold(data_root / str(one.gold)), read_gold(data_root / str(one.pool))
    pool = without(others, gold)
    if not gold or not pool:
        raise InputError(
            f"set {one.name}: no sentences are left for {'the pool' if gold else 'gold'}; give other files"
        )
    _check_labels(one, [*gold, *pool])
    left_out = len(unique_texts(others)) - len(pool)
    return LabelledSet(one.name, one.language, one.labels, tuple(spread(gold, limit)), tuple(pool), left_out)


def _check_labels(one: SetDesign, documents: Sequence[Document]) -> None:
    try:
        check_pool_labels(documents, [label.name for label in one.labels])
    except ConfigError as error:
        raise ConfigError(f"set {one.name}: {error}") from None
