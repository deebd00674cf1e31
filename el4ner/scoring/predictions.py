"""Reading gold and prediction files, and bringing both to the same documents and the same offsets."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from el4ner.errors import InputError
from el4ner.scoring.labels import nearest
from el4ner.text.documents import Document
from el4ner.text.files import CONLL_SUFFIXES, JSONL_SUFFIXES, numbered_lines
from el4ner.text.formats import read_labelled
from el4ner.text.spans import Entity

_IDS_SHOWN = 3
_STATUSES = ("ok", "partial", "failed")


@dataclass(frozen=True, slots=True)
class Predictions:
    """One system's predictions for the gold documents.

    Attributes:
        entities: of each gold document, in gold order; empty where the document is missing or failed.
        missing: ids of gold documents that the file lacks.
        failed: ids whose record has the status failed; whatever entities it states are not counted.
        partial: ids whose record has the status partial; their entities are counted.
        repeated: how many entities stood twice in their document.
        scores: of each gold document's entities, in gold order; entities without a score are missing.
    """

    entities: tuple[frozenset[Entity], ...]
    missing: tuple[str, ...]
    failed: tuple[str, ...]
    partial: tuple[str, ...]
    repeated: int
    scores: tuple[dict[Entity, float], ...]


@dataclass(frozen=True, slots=True)
class _Record:
    id: str
    status: str
    entities: tuple[Entity, ...]
    scores: tuple[float | None, ...] = ()

    def scored(self) -> dict[Entity, float]:
        if self.status == "failed":
            return {}
        pairs = zip(self.entities, self.scores, strict=False)
        return {entity: score for entity, score in pairs if score is not None}


def read_gold(*paths: Path) -> list[Document]:
    """The labelled documents of files or folders, in their order.

    Raises:
        InputError: one cannot be read or holds no document, a document has no labels, or two files share an id.
    """
    documents: list[Document] = []
    homes: dict[str, Path] = {}
    for path in paths:
        read = list(read_labelled(path))
        if not read:
            raise InputError(f"gold {path} holds no document; give JSONL with id, text and entities, or CoNLL")
        for document in read:
            if document.id in homes:
                raise InputError(
                    f"gold document {document.id!r} stands in {homes[document.id]} and in {path}; "
                    "make the ids differ (in columns by comments: # id = ...), or score the files apart"
                )
        homes.update((document.id, path) for document in read)
        documents += read
    return documents


def read_predictions(path: Path, gold: Sequence[Document]) -> Predictions:
    """The predictions of a file for the gold documents.

    JSON lines are brought to gold by id. Column files are too, if gold has all their ids (``# id = X`` comments); else
    by order, and then they must hold as many sentences as gold. Sentences of a column file may differ from gold in
    white space only; their offsets are carried over to gold's text.

    Raises:
        InputError: a record is malformed, is for a document that gold does not have, stands twice, or has offsets that
            do not fit gold's text.
    """
    suffix = path.suffix.lower()
    if suffix in JSONL_SUFFIXES:
        return _collect(_jsonl_records(path, {document.id: document for document in gold}), gold)
    if suffix in CONLL_SUFFIXES:
        return _collect(_conll_records(path, gold), gold)
    known = ", ".join(sorted(JSONL_SUFFIXES | CONLL_SUFFIXES))
    raise InputError(f"predictions {path}: unknown suffix; rename the file to one of {known}")


def _collect(records: Iterable[_Record], gold: Sequence[Document]) -> Predictions:
    by_id = {record.id: record for record in records}
    sets = {name: frozenset(() if r.status == "failed" else r.entities) for name, r in by_id.items()}
    return Predictions(
        entities=tuple(sets.get(document.id, frozenset()) for document in gold),
        missing=tuple(document.id for document in gold if document.id not in by_id),
        failed=tuple(name for name, record in by_id.items() if record.status == "failed"),
        partial=tuple(name for name, record in by_id.items() if record.status == "partial"),
        repeated=sum(len(r.entities) - len(sets[name]) for name, r in by_id.items() if r.status != "failed"),
        scores=tuple(by_id[document.id].scored() if document.id in by_id else {} for document in gold),
    )


def _jsonl_records(path: Path, gold: dict[str, Document]) -> Iterator[_Record]:
    places: dict[str, str] = {}
    unknown: list[str] = []
    for place, data in _objects(path):
        identity = _identity(data, place)
        if identity in places:
            raise InputError(
                f"{place}: a second record for document {identity!r}, first in {places[identity]}; keep one"
            )
        places[identity] = place
        if identity in gold:
            yield _record(data, gold[identity], place)
        else:
            unknown.append(identity)
    if unknown:
        raise InputError(_unknown_ids(path, unknown, list(gold)))


def _objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        with path.open("rb") as stream:
            for number, line in numbered_lines(stream, str(path)):
                if line.strip():
                    place = f"{path}, line {number}"
                    yield place, _parse(line, place)
    except OSError as error:
        raise InputError(
            f"cannot read predictions {path}: {error.strerror or error}; give the path of a file"
        ) from error


def _parse(line: str, place: str) -> dict[str, Any]:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        problem = (
            error.msg if isinstance(error, json.JSONDecodeError) else "it is nested too deeply or a number is too long"
        )
        raise InputError(
            f"{place}: not JSON ({problem}); was the file cut off? Finish the run, or delete the line"
        ) from None
    if not isinstance(data, dict) or not isinstance(data.get("entities"), list):
        raise InputError(f'{place}: expected an object with "id" and a list of "entities"')
    return data


def _identity(data: dict[str, Any], place: str) -> str:
    value = data.get("id")
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise InputError(f'{place}: "id" must be a string or a whole number, the one that gold has')
    return str(value)


def _record(data: dict[str, Any], document: Document, place: str) -> _Record:
    status = data.get("status", "ok")
    if status not in _STATUSES:
        raise InputError(f'{place}: "status" must be one of {", ".join(_STATUSES)}')
    if data.get("text") not in (None, document.text):
        raise InputError(
            f"{place}: its text is not gold's text of document {document.id!r}; offsets would not be comparable"
        )
    numbered = [(item, f"{place}, entity {number}") for number, item in enumerate(data["entities"], 1)]
    entities = tuple(_entity(item, document.text, where) for item, where in numbered)
    return _Record(document.id, status, entities, tuple(_score(item, where) for item, where in numbered))


def _entity(item: Any, text: str, place: str) -> Entity:
    start, end, kind, surface = (
        (item.get(k) for k in ("start", "end", "type", "text")) if isinstance(item, dict) else [None] * 4
    )
    if type(start) is not int or type(end) is not int or not isinstance(kind, str) or not kind:
        raise InputError(f'{place}: expected whole numbers "start" and "end", and a "type"')
    if not 0 <= start < end <= len(text):
        raise InputError(
            f"{place}: [{start}, {end}) does not lie in gold's text of {len(text)} characters; is it the same text?"
        )
    if surface is not None and text[start:end] != surface:
        raise InputError(
            f"{place}: gold's text at [{start}, {end}) is not the stated surface; "
            "offsets must be code points into gold's text"
        )
    return Entity(start, end, kind)


def _score(item: dict[str, Any], place: str) -> float | None:
    score = item.get("score")
    if score is not None and (type(score) not in (int, float) or math.isnan(score)):
        raise InputError(f'{place}: the "score" must be a number or null')
    return score


def _conll_records(path: Path, gold: Sequence[Document]) -> Iterator[_Record]:
    sentences = list(read_labelled(path))
    by_id = {document.id: document for document in gold}
    if all(sentence.id in by_id for sentence in sentences):
        pairs = [(sentence, by_id[sentence.id]) for sentence in sentences]
    elif len(sentences) == len(gold):
        pairs = list(zip(sentences, gold, strict=True))
    else:
        raise InputError(
            f"{path} holds {len(sentences):,} sentences, gold {len(gold):,} documents; "
            "give as many, or name each with a comment: # id = ..."
        )
    for sentence, document in pairs:
        yield _Record(document.id, "ok", _carry_over(sentence, document, path))


def _carry_over(sentence: Document, document: Document, path: Path) -> tuple[Entity, ...]:
    """The sentence's entities at gold's offsets; the two texts have the same characters but for white space."""
    entities = sentence.entities or ()
    if sentence.text == document.text:
        return entities
    ours, theirs = _dark(sentence.text), _dark(document.text)
    if [sentence.text[i] for i in ours] != [document.text[i] for i in theirs]:
        raise InputError(
            f"{path}: sentence {sentence.id!r} is not gold's document {document.id!r}; "
            "both files must hold the same sentences in the same order, or name them with comments: # id = ..."
        )
    place = dict(zip(ours, theirs, strict=True))
    return tuple(Entity(place[e.start], place[e.end - 1] + 1, e.type) for e in entities)


def _dark(text: str) -> list[int]:
    return [index for index, character in enumerate(text) if not character.isspace()]


def _unknown_ids(path: Path, unknown: Sequence[str], known: Sequence[str]) -> str:
    shown = ", ".join(map(repr, unknown[:_IDS_SHOWN])) + (", ..." if len(unknown) > _IDS_SHOWN else "")
    return (
        f"{path} has {len(unknown):,} record(s) for documents that gold does not have: {shown}"
        f"{nearest(unknown[0], known)}; give the gold file of the same input"
    )
