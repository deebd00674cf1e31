"""The JSON lines that combination reads and writes: systems' entities, a run's candidates, combined records."""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from el4ner.ensemble.ballots import Candidate, parse_candidate
from el4ner.ensemble.entities import ScoreKind, VotedEntity
from el4ner.ensemble.table import Answers
from el4ner.errors import InputError
from el4ner.text.files import numbered_lines
from el4ner.text.spans import Entity

Found: TypeAlias = dict[Entity, float | None]
"""A system's entities in one document, each with its score, or None where it states none."""


def read_entities(path: Path) -> Iterator[tuple[str, Found | None]]:
    """The id and the entities of each record; None: its status is failed.

    Raises:
        InputError: the file cannot be read, or a record is malformed.
    """
    for data, place in _records(path):
        identity = _identity(data, place)
        if not isinstance(data.get("entities"), list):
            raise InputError(f'{place}: expected an object with "id" and a list of "entities"')
        yield identity, None if data.get("status") == "failed" else _entities(data["entities"], place)


def read_candidates(path: Path) -> Iterator[tuple[str, tuple[str, ...], list[Candidate] | None]]:
    """The id, the members that answered and all candidates of each record of a run; None: the document failed.

    Raises:
        InputError: the file cannot be read, or a record is malformed or holds no candidates.
    """
    for data, place in _records(path):
        identity = _identity(data, place)
        if data.get("status") == "failed":
            yield identity, (), None
            continue
        if "candidates" not in data:
            raise InputError(
                f"{place}: a run's record without candidates; run with batch.candidates: true, or name the file as a "
                "system: NAME=FILE"
            )
        try:
            yield identity, tuple(map(str, data["members_answered"])), list(map(parse_candidate, data["candidates"]))
        except (ValueError, TypeError, KeyError, AttributeError):
            raise InputError(f"{place}: a malformed candidate; write the file anew with el4ner.run") from None


def to_line(
    identity: str, answers: Answers, entities: Sequence[VotedEntity], members: Sequence[str], kind: ScoreKind | None
) -> str:
    """One document's record as a JSON line: ``failed`` where nobody answered, ``partial`` where somebody did not.

    ``kind`` says where the scores come from; None: there are none.
    """
    absent = [name for name in members if name not in answers]
    record: dict[str, Any] = {
        "id": identity,
        "status": "failed" if not answers else "partial" if absent else "ok",
        "entities": [
            {"start": e.start, "end": e.end, "type": e.type, "score": e.score, "votes": dict(e.votes)} for e in entities
        ],
        "members_answered": [name for name in members if name in answers],
    }
    if kind is not None:
        record["score_kind"] = kind
    if absent:
        record["reason"] = f"no answer from {', '.join(absent)}"
    return json.dumps(record, ensure_ascii=False) + "\n"


def _records(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    try:
        with path.open("rb") as stream:
            for number, line in numbered_lines(stream, str(path)):
                if line.strip():
                    yield _object(line, f"{path}, line {number}"), f"{path}, line {number}"
    except OSError as error:
        raise InputError(f"cannot read predictions {path}: {error.strerror or error}; give a file's path") from error


def _object(line: str, place: str) -> dict[str, Any]:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        raise InputError(f"{place}: not JSON; was the file cut off? Finish the run, or delete the line") from None
    if not isinstance(data, dict):
        raise InputError(f'{place}: expected an object with "id" and a list of "entities"')
    return data


def _identity(data: dict[str, Any], place: str) -> str:
    identity = data.get("id")
    if isinstance(identity, bool) or not isinstance(identity, str | int) or identity == "":
        raise InputError(f'{place}: "id" must be a string or a whole number')
    return str(identity)


def _entities(items: list[Any], place: str) -> Found:
    found: Found = {}
    for item in items:
        try:
            start, end, kind, score = item["start"], item["end"], item["type"], item.get("score")
        except (TypeError, KeyError, AttributeError):
            start, end, kind, score = None, None, None, None
        if type(start) is not int or type(end) is not int or not 0 <= start < end or type(kind) is not str or not kind:
            raise InputError(f'{place}: an entity needs whole numbers 0 <= "start" < "end", and a "type"')
        if score is not None and (type(score) not in (int, float) or math.isnan(score)):
            raise InputError(f'{place}: the "score" of an entity must be a number or null')
        found[Entity(start, end, kind)] = score
    return found
