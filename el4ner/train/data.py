"""Labelled sentences for training: read, mapped to the label set, repeated or thinned, split."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from el4ner.config import LabelConfig, Language
from el4ner.errors import InputError
from el4ner.text.documents import Document
from el4ner.text.formats import read_labelled
from el4ner.text.language import columns
from el4ner.text.spans import Entity
from el4ner.train.config import DataConfig, WindowConfig
from el4ner.train.label_sets import read_label_sets

SEPARATORS = {"en": (" ", " ", " ", "\n", "\n\n"), "zh": ("", "", "", "\n", "\n\n")}
"""What stands between the sentences of a window, drawn by chance."""
_ENDS = (".", "!", "?", "。", "！", "？", "”", '"')
"""What a sentence ends with that another may follow on its line."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A labelled sentence, or several that are read as one window.

    Attributes:
        document: the sentence.
        language: of the sentence.
        repeat: how often it is seen in an epoch.
        types: the types that its file labels; None: all.
        labels: the label set of its file; None: the configuration's.
        parts: ids of the sentences that a window was joined from; empty: it is one sentence.
    """

    document: Document
    language: Language
    repeat: float
    types: frozenset[str] | None = None
    labels: tuple[LabelConfig, ...] | None = None
    parts: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """Of the document, or of the sentences that it was joined from."""
        return self.parts or (self.document.id,)


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


def joined(sentences: Sequence[Sentence], settings: WindowConfig, seed: int) -> list[Sentence]:
    """The sentences, some of them joined with those that follow in their file: windows of documents hold several as well.

    Each sentence stands in one place of the result.
    """
    rng, rest, made = random.Random(f"{seed}:windows"), list(reversed(sentences)), []
    while rest:
        window = rest.pop()
        if rng.random() < settings.share:
            room = rng.randint(settings.max_columns // 2, settings.max_columns)
            while rest and _go_together(window, rest[-1]) and _columns(window) + _columns(rest[-1]) <= room:
                window = _with_next(window, rest.pop(), rng)
        made.append(window)
    return made


def _columns(sentence: Sentence) -> int:
    return columns(sentence.document.text)


def _go_together(one: Sentence, other: Sentence) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in ("language", "repeat", "types", "labels"))


def _with_next(window: Sentence, following: Sentence, rng: random.Random) -> Sentence:
    first, second = window.document, following.document
    separator = rng.choice(SEPARATORS[window.language]) if first.text.rstrip().endswith(_ENDS) else "\n"
    text = first.text + separator
    entities = (Entity(len(text) + e.start, len(text) + e.end, e.type) for e in second.entities or ())
    document = Document(f"{first.id}+", text + second.text, (*(first.entities or ()), *entities))
    return replace(window, document=document, parts=(*window.ids, *following.ids))


def _documents(item: DataConfig) -> Iterable[Document]:
    """The labelled sentences of a file, or of one set of a file of marked sentences."""
    if item.section is None:
        return read_labelled(Path(item.path))
    return next(one.documents for one in read_label_sets(Path(item.path)) if one.name == item.section)


def _mapped(document: Document, item: DataConfig) -> Document:
    entities = document.entities or ()
    if item.map:
        entities = tuple(
            Entity(entity.start, entity.end, item.map[entity.type])
            for entity in entities
            if entity.type in item.map and any(map(str.isalnum, document.text[entity.start : entity.end]))
        )
    return Document(f"{Path(item.path).parent.name}/{document.id}", document.text, entities)
