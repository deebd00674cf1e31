"""Reading several systems' predictions for the same documents; an abstention is not an empty answer."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from el4ner.ensemble.entities import VotedEntity
from el4ner.ensemble.table import Answers
from el4ner.errors import InputError
from el4ner.text.files import CONLL_SUFFIXES, JSONL_SUFFIXES, numbered_lines
from el4ner.text.formats import read_documents, read_labelled
from el4ner.text.spans import Entity

Found: TypeAlias = dict[Entity, float | None]
"""A system's entities in one document, each with its confidence, or None where it states none."""


def read_system(path: Path) -> dict[str, Found | None]:
    """The entities that a file holds for each document id, in its order; None: the system failed there.

    JSON lines have an ``id`` and ``entities`` with ``start``, ``end``, ``type`` and perhaps a ``score``, greater where
    the system is surer (a probability, or its logarithm); a record with the status failed is an
    abstention. Column files have ``# id = X`` comments, or else sentences meet by their number.

    Raises:
        InputError: the file cannot be read, a record is malformed, or an id stands twice.
    """
    suffix = path.suffix.lower()
    if suffix in JSONL_SUFFIXES:
        records = _jsonl(path)
    elif suffix in CONLL_SUFFIXES:
        own = f"{path.stem}:"
        records = ((d.id.removeprefix(own), dict.fromkeys(d.entities or ())) for d in read_labelled(path))
    else:
        known = ", ".join(sorted(JSONL_SUFFIXES | CONLL_SUFFIXES))
        raise InputError(f"predictions {path}: unknown suffix; rename the file to one of {known}")
    found: dict[str, Found | None] = {}
    for identity, entities in records:
        if identity in found:
            raise InputError(f"{path}: a second record for document {identity!r}; keep one")
        found[identity] = entities
    return found


def side_by_side(
    systems: Mapping[str, Mapping[str, Found | None]],
) -> tuple[list[str], list[Answers]]:
    """All document ids, in the order they are first met, and what each system that answered found in each of them."""
    ids = list(dict.fromkeys(identity for system in systems.values() for identity in system))
    rows: list[Answers] = []
    for identity in ids:
        stated = ((name, system.get(identity)) for name, system in systems.items())
        rows.append({name: entities for name, entities in stated if entities is not None})
    return ids, rows


def read_gold(path: Path) -> dict[str, frozenset[Entity]]:
    """The gold entities of each labelled document, by its id as ``read_system`` gives it.

    Raises:
        InputError: the file cannot be read, or a document has no labels.
    """
    own = f"{path.stem}:"
    return {d.id.removeprefix(own): frozenset(d.entities or ()) for d in read_labelled(path)}


def read_texts(inputs: Sequence[str], ids: Sequence[str]) -> list[str]:
    """The texts of the documents with these ids, in their order.

    Raises:
        InputError: an input cannot be read, or lacks a document.
    """
    texts: dict[str, str] = {}
    for path in inputs:
        own = f"{Path(path).stem}:"
        texts.update((d.id.removeprefix(own), d.text) for d in read_documents([path]))
    missing = [identity for identity in ids if identity not in texts]
    if missing:
        raise InputError(f"--documents lacks {len(missing):,} predicted documents, the first is {missing[0]!r}")
    return [texts[identity] for identity in ids]


def to_line(
    identity: str, answers: Answers, entities: Sequence[VotedEntity], members: Sequence[str], calibration: str
) -> str:
    """One document's record as a JSON line: ``failed`` where nobody answered, ``partial`` where somebody did not.

    ``calibration`` says where the scores come from: ``labelled``, or ``label-free``, which is an estimate.
    """
    absent = [name for name in members if name not in answers]
    record: dict[str, Any] = {
        "id": identity,
        "status": "failed" if not answers else "partial" if absent else "ok",
        "entities": [
            {"start": e.start, "end": e.end, "type": e.type, "score": e.score, "votes": dict(e.votes), "verified": None}
            for e in entities
        ],
        "calibration": calibration,
        "members_answered": [name for name in members if name in answers],
    }
    if absent:
        record["reason"] = f"no answer from {', '.join(absent)}"
    return json.dumps(record, ensure_ascii=False) + "\n"


def _jsonl(path: Path) -> Iterator[tuple[str, Found | None]]:
    try:
        with path.open("rb") as stream:
            for number, line in numbered_lines(stream, str(path)):
                if line.strip():
                    yield _record(line, f"{path}, line {number}")
    except OSError as error:
        raise InputError(f"cannot read predictions {path}: {error.strerror or error}; give a file's path") from error


def _record(line: str, place: str) -> tuple[str, Found | None]:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        raise InputError(f"{place}: not JSON; was the file cut off? Finish the run, or delete the line") from None
    if not isinstance(data, dict) or not isinstance(data.get("entities"), list):
        raise InputError(f'{place}: expected an object with "id" and a list of "entities"')
    identity = data.get("id")
    if isinstance(identity, bool) or not isinstance(identity, str | int) or identity == "":
        raise InputError(f'{place}: "id" must be a string or a whole number')
    if data.get("status") == "failed":
        return str(identity), None
    return str(identity), dict(_entity(item, place) for item in data["entities"])


def _entity(item: Any, place: str) -> tuple[Entity, float | None]:
    keys = ("start", "end", "type", "score")
    start, end, kind, score = (item.get(k) for k in keys) if isinstance(item, dict) else (None,) * 4
    if type(start) is not int or type(end) is not int or not 0 <= start < end or not isinstance(kind, str) or not kind:
        raise InputError(f'{place}: an entity needs whole numbers 0 <= "start" < "end", and a "type"')
    if score is not None and (isinstance(score, bool) or not isinstance(score, int | float) or score != score):
        raise InputError(f'{place}: the "score" of an entity must be a number or null')
    return Entity(start, end, kind), score
