"""One document's record: a line of ``predictions.jsonl``."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from el4ner.errors import InputError
from el4ner.text.documents import Item, Unreadable, digest
from el4ner.text.spans import check_surface
from el4ner.vote.entities import ScoreKind, VotedEntity
from el4ner.vote.votes import Candidate, parse_candidate

Status = Literal["ok", "partial", "failed"]
STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is said of one document.

    Attributes:
        id: the document's id.
        status: ``ok``: every member answered in every window. ``partial``: something is missing. ``failed``: no window has its
            quorum, or the document could not be worked on; there are no entities then.
        entities: in document offsets, sorted by start, end and type.
        surfaces: the text of each entity, or None where texts are left out.
        members_answered: members, in the order of the configuration, that gave a usable extraction answer for every
            window they were asked for.
        reason: what is missing, without text; None where the status is ``ok``.
        candidates: all candidates with their votes, in document offsets; None: they are not kept.
        unread: stretches ``(start, end)`` of the document that nothing is known of: their windows had no quorum.
        score_kind: where the entities' scores come from; None where there is no result.
        text_hash: of the document's text, so that a record is never taken for that of a changed one; see :func:`hash_text`.
        input_hash: instead of it, where the document could not be read: of its bytes.
    """

    id: str
    status: Status
    entities: tuple[VotedEntity, ...] = ()
    surfaces: tuple[str, ...] | None = None
    members_answered: tuple[str, ...] = ()
    reason: str | None = None
    candidates: tuple[Candidate, ...] | None = None
    unread: tuple[tuple[int, int], ...] = ()
    score_kind: ScoreKind | None = None
    text_hash: str | None = None
    input_hash: str | None = None

    def to_line(self) -> bytes:
        """The JSON line in UTF-8, with its line end."""
        record: dict[str, Any] = {
            "id": self.id,
            "status": self.status,
            "entities": [self._entity(index) for index in range(len(self.entities))],
            "members_answered": list(self.members_answered),
        }
        if self.score_kind is not None:
            record["score_kind"] = self.score_kind
        if self.reason is not None:
            record["reason"] = self.reason
        if self.unread:
            record["unread"] = [list(stretch) for stretch in self.unread]
        if self.candidates is not None:
            record["candidates"] = [candidate.as_dict() for candidate in self.candidates]
        if self.text_hash is not None:
            record["text_hash"] = self.text_hash
        if self.input_hash is not None:
            record["input_hash"] = self.input_hash
        return json.dumps(record, ensure_ascii=False).encode() + b"\n"

    def check(self, document: Item) -> None:
        """Refuse a document that this cannot be the prediction of.

        Raises:
            InputError: it has another id or another text, or only one of the two is of an unreadable document.
            AlignmentError: an entity's surface is not the document's text at its offsets.
        """
        if self.id != document.id:
            raise InputError(f"the record of document {self.id!r} stands where document {document.id!r} is expected")
        if isinstance(document, Unreadable):
            if self.input_hash != document.digest:
                raise InputError(f"document {document.id!r} has changed: {document.reason}")
            return
        if self.input_hash is not None:
            raise InputError(f"document {document.id!r} can be read by now")
        if self.text_hash is not None and self.text_hash != hash_text(document.text):
            raise InputError(f"the text of document {self.id!r} has changed")
        for index, entity in enumerate(self.entities):
            surface = entity.span.surface(document.text) if self.surfaces is None else self.surfaces[index]
            check_surface(document.text, entity.span, surface, f"document {self.id!r}")

    def _entity(self, index: int) -> dict[str, Any]:
        entity = self.entities[index]
        surface = {} if self.surfaces is None else {"text": self.surfaces[index]}
        verdicts = {"verdicts": dict(entity.verdicts)} if entity.verdicts else {}
        return {
            "start": entity.start,
            "end": entity.end,
            "type": entity.type,
            **surface,
            "score": entity.score,
            "votes": dict(entity.votes),
            **verdicts,
            **({} if entity.source is None else {"source": entity.source}),
        }


def hash_text(text: str) -> str:
    """The digest of a text in UTF-8."""
    return digest(text.encode("utf-8", "surrogatepass"))


def parse_line(line: bytes, where: str) -> Prediction:
    """Read a line back.

    Raises:
        InputError: it is no record; ``where`` names the place.
    """
    try:
        record = json.loads(line)
        if record["status"] not in STATUSES:
            raise ValueError
        entities: Sequence[dict[str, Any]] = record["entities"]
        return Prediction(
            id=str(record["id"]),
            status=record["status"],
            entities=tuple(map(_parse_entity, entities)),
            surfaces=tuple(entity["text"] for entity in entities) if all("text" in e for e in entities) else None,
            members_answered=tuple(record["members_answered"]),
            reason=record.get("reason"),
            candidates=tuple(map(parse_candidate, record["candidates"])) if "candidates" in record else None,
            unread=tuple((int(start), int(end)) for start, end in record.get("unread", ())),
            score_kind=record.get("score_kind"),
            text_hash=record.get("text_hash"),
            input_hash=record.get("input_hash"),
        )
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError) as error:
        raise InputError(f"{where} is no prediction record") from error


def _parse_entity(entity: dict[str, Any]) -> VotedEntity:
    return VotedEntity(
        start=int(entity["start"]),
        end=int(entity["end"]),
        type=str(entity["type"]),
        score=entity["score"],
        votes=entity["votes"],
        verdicts=entity.get("verdicts", {}),
        source=entity.get("source"),
    )
