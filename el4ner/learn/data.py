"""Labelled sentences for training: read, mapped to the label set, repeated or thinned, split."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from el4ner.config import LabelConfig, Language
from el4ner.errors import InputError
from el4ner.learn.config import DataConfig
from el4ner.learn.marked import read_marked
from el4ner.text.documents import Document
from el4ner.text.formats import read_labelled
from el4ner.text.spans import Entity


@dataclass(frozen=True, slots=True)
class Sentence:
    """A labelled sentence.

    Attributes:
        document: the sentence.
        language: of the sentence.
        repeat: how often it is seen in an epoch.
        types: the types that its file labels; None: all.
        labels: the label set of its file; None: the configuration's.
    """

    document: Document
    language: Language
    repeat: float
    types: frozenset[str] | None = None
    labels: tuple[LabelConfig, ...] | None = None


def read_sentences(data: Sequence[DataConfig]) -> list[Sentence]:
    """All labelled sentences, with ids made unique by their file.

    Raises:
        InputError: a file is not labelled as it should be, or nothing is left.
    """
    sentences = [
        Sentence(_mapped(document, item), item.language, item.repeat, frozenset(item.map.values()) or None, item.labels)
        for item in data
        for document in _documents(item)
        if document.text.strip()
    ]
    if not sentences:
        raise InputError("the data files hold no sentences; check data.path")
    return sentences


def split(sentences: Sequence[Sentence], fraction: float, seed: int) -> tuple[list[Sentence], list[Sentence]]:
    """Training and held-out sentences; equal texts stay on one side."""
    texts = sorted({sentence.document.text for sentence in sentences})
    random.Random(seed).shuffle(texts)
    held_out = set(texts[: round(len(texts) * fraction)])
    train = [s for s in sentences if s.document.text not in held_out]
    return train, [s for s in sentences if s.document.text in held_out]


def _documents(item: DataConfig) -> Iterable[Document]:
    """The labelled sentences of a file, or of one set of a file of marked sentences."""
    if item.section is None:
        return read_labelled(Path(item.path))
    return next(one.documents for one in read_marked(Path(item.path)) if one.name == item.section)


def _mapped(document: Document, item: DataConfig) -> Document:
    entities = document.entities or ()
    if item.map:
        entities = tuple(
            Entity(entity.start, entity.end, item.map[entity.type])
            for entity in entities
            if entity.type in item.map and any(map(str.isalnum, document.text[entity.start : entity.end]))
        )
    return Document(f"{Path(item.path).parent.name}/{document.id}", document.text, entities)
