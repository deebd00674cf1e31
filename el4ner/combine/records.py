"""The JSON lines that combination reads and writes: systems' entities, a run's candidates, combined records."""

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from el4ner.errors import InputError
from el4ner.text.files import numbered_lines
from el4ner.text.spans import Entity
from el4ner.vote.entities import ScoreKind, VotedEntity
from el4ner.vote.table import MemberOutputs
from el4ner.vote.votes import Candidate, parse_candidate

Found: TypeAlias = dict[Entity, float | None]
"""A system's entities in one document, each with its score, or None where it states none."""
_log = logging.getLogger(__name__)


def read_entities(path: Path) -> Iterator[tuple[str, Found | None]]:
    """The id and the entities of each record; None: its status is failed. Entities with an empty type are left out, and counted.

    Raises:
        InputError: the file cannot be read, or a record is malformed.
    """
    untyped = 0
    for data, place in _records(path):
        identity = _identity(data, place)
        if data.get("status") == "failed":
            yield identity, None
            continue
        items = _listed(data, place)
        typed = [item for item in items if not (isinstance(item, dict) and item.get("type") == "")]
        untyped += len(items) - len(typed)
        yield identity, _entities(typed, place)
    if untyped:
        _log.warning("%s: %d entities with an empty type are left out", path, untyped)


def check_offsets(path: Path, texts: Mapping[str, str], names: Mapping[str, str]) -> None:
    """See that each entity of JSON lines lies in the text of its document, and is the surface that it states, if it states one.

    Args:
        path: the file.
        texts: by id.
        names: what ids of the file are called in ``texts``, where they differ.

    Raises:
        InputError: one does not; names the line and the entity.
    """
    for data, place in _records(path):
        identity = _identity(data, place)
        text = texts.get(names.get(identity, identity))
        if text is None or data.get("status") == "failed":
            continue
        for number, item in enumerate(_listed(data, place), 1):
            _check_offsets(item, text, f"{place}, entity {number}")


def _check_offsets(item: dict[str, Any], text: str, place: str) -> None:
    start, end, surface = item["start"], item["end"], item.get("text")
    if end > len(text):
        raise InputError(
            f"{place}: [{start}, {end}) does not lie in the text of {len(text)} characters; is it the same text?"
        )
    if surface is not None and text[start:end] != surface:
        raise InputError(
            f"{place}: the text at [{start}, {end}) is not the stated surface; offsets must be code points into the document"
        )


def _listed(data: dict[str, Any], place: str) -> list[Any]:
    if not isinstance(data.get("entities"), list):
        raise InputError(f'{place}: expected an object with "id" and a list of "entities"')
    return list(data["entities"])


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
    identity: str,
    answers: MemberOutputs,
    entities: Sequence[VotedEntity],
    members: Sequence[str],
    kind: ScoreKind | None,
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
        surface = item.get("text") if isinstance(item, dict) else None
        if type(start) is not int or type(end) is not int or not 0 <= start < end or type(kind) is not str or not kind:
            raise InputError(f'{place}: an entity needs whole numbers 0 <= "start" < "end", and a "type"')
        if isinstance(surface, str) and len(surface) != end - start:
            raise InputError(
                f"{place}: the stated surface of [{start}, {end}) is {len(surface)} characters long; offsets must be code points"
            )
        if score is not None and (type(score) not in (int, float) or math.isnan(score)):
            raise InputError(f'{place}: the "score" of an entity must be a number or null')
        found[Entity(start, end, kind)] = score
    return found
