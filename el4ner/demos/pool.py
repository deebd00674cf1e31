"""The labelled pool: the sentences that demonstrations come from."""

import hashlib
import json
import logging
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from el4ner.errors import ConfigError, InputError
from el4ner.text.documents import Document
from el4ner.text.formats import read_labelled
from el4ner.text.nearest import did_you_mean
from el4ner.text.spans import Span, uncrossed

logger = logging.getLogger(__name__)


def read_pool(path: Path) -> list[Document]:
    """The labelled sentences of a file, the first of each group with the same text (the number of others is logged).

    Raises:
        InputError: the file cannot be read, an entity does not fit its text, or there is no sentence.
    """
    pool = unique_texts(read_labelled(path))
    if not pool:
        raise InputError(f"pool {path} holds no labelled sentence; give JSONL with id, text and entities, or CoNLL")
    return pool


def unique_texts(documents: Iterable[Document]) -> list[Document]:
    """The documents without repetitions of a text, and without blank ones; how many were left out is logged."""
    kept: dict[str, Document] = {}
    seen = blank = 0
    for document in documents:
        if key := text_key(document.text):
            seen += 1
            kept.setdefault(key, document)
        else:
            blank += 1
    crossed = sum(len(uncrossed(spans)) < len(spans) for spans in map(_spans, kept.values()))
    if crossed:
        logger.warning(
            "pool: %d sentence(s) have entities that cross; marked copies of them show the longer one", crossed
        )
    if blank:
        logger.warning("pool: %d sentence(s) without a character are left out", blank)
    if seen > len(kept):
        logger.info("pool: %d of %d sentences repeat the text of another and are left out", seen - len(kept), seen)
    return list(kept.values())


def text_key(text: str) -> str:
    """What two texts share that count as the same: compatibility form, case folded, white space collapsed.

    >>> text_key("  Acme\\tLtd. ") == text_key("ACME Ltd.")
    True
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def check_pool_labels(pool: Sequence[Document], type_names: Sequence[str]) -> None:
    """Refuse a pool with entity types that the configuration does not know.

    Raises:
        ConfigError: naming each unknown type, how often it occurs, and the nearest known type.
    """
    counts: dict[str, int] = {}
    for document in pool:
        for entity in document.entities or ():
            counts[entity.type] = counts.get(entity.type, 0) + 1
    unknown = sorted(set(counts) - set(type_names))
    if unknown:
        lines = [f"  - {name!r} ({counts[name]} entities){did_you_mean(name, type_names)}" for name in unknown]
        known = ", ".join(type_names)
        raise ConfigError(f"the pool uses types that labels does not list (known: {known}):\n" + "\n".join(lines))


def pool_hash(pool: Sequence[Document]) -> str:
    """The sha256 (hex) of the pool's ids, texts and entities, in order."""
    digest = hashlib.sha256()
    for document in pool:
        entities = [[entity.start, entity.end, entity.type] for entity in document.entities or ()]
        digest.update(json.dumps([document.id, document.text, entities]).encode() + b"\n")
    return digest.hexdigest()


def _spans(document: Document) -> set[Span]:
    return {entity.span for entity in document.entities or ()}
