"""What callers of the API give, as documents: texts, pairs of an id and a text, dictionaries."""

import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from el4ner.errors import InputError
from el4ner.text.documents import Document
from el4ner.text.jsonl import parse_document

Text: TypeAlias = str | tuple[str, str] | Mapping[str, Any]
"""A text; or an id and a text; or ``{"text": ..., "id": ...}``."""


def documents_of(items: Iterable[Mapping[str, Any]], what: str) -> list[Document]:
    """Labelled documents; ``what`` names them in messages.

    Raises:
        InputError: one is no labelled document, or two have the same id.
    """
    documents = [labelled_document(item, number, what) for number, item in enumerate(items)]
    names = sorted(document.id for document in documents)
    twice = next((one for one, other in itertools.pairwise(names) if one == other), None)
    if twice is not None:
        raise InputError(f"{what}: the id {twice!r} stands twice; give each document an id of its own")
    return documents


def labelled_document(item: Mapping[str, Any], number: int, what: str) -> Document:
    """A document with its entities.

    Raises:
        InputError: it is none.
    """
    document = document_of(item, number, what)
    if document.entities is None:
        raise InputError(f'{what}, item {number}: "entities" is missing; an empty list says that there are none')
    return document


def document_of(item: Text, number: int, what: str) -> Document:
    """A document out of what a caller gives; where it has no id, its number is one.

    Raises:
        InputError: it is none.
    """
    if isinstance(item, str):
        record: Mapping[str, Any] = {"text": item}
    elif isinstance(item, tuple) and len(item) == 2:
        record = {"id": item[0], "text": item[1]}
    elif isinstance(item, Mapping):
        record = item
    else:
        raise InputError(
            f"{what}, item {number}: a text, a pair (id, text) or a dictionary is expected, not {type(item).__name__}"
        )
    try:
        line = json.dumps({"id": str(number), **record})
    except (TypeError, ValueError) as error:
        raise InputError(f"{what}, item {number}: it holds what JSON cannot; give strings and numbers") from error
    return parse_document(line, str(number), f"{what}, line {number}")
