"""Annotated documents and their entities, as the API returns them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from el4ner.batch.prediction import Status
from el4ner.errors import El4nerError
from el4ner.vote.entities import ScoreKind


@dataclass(frozen=True, slots=True)
class AnnotatedEntity:
    """An entity of an annotated document.

    Attributes:
        text: its surface.
        start: first code point of the document's text.
        end: code point after the last.
        type: type name.
        score: estimated probability that span and type are right, 0 to 1; the document's ``score_kind`` says which estimate.
            Nothing is fitted to those of kind ``votes``: measure on your own texts how far they can be trusted (``evaluate``).
        votes: per member that was asked, the type it gave, or None for no entity.
        verdicts: per judge that was asked about it and answered, whether it called span and type right; empty where nobody
            judged it. A verdict is one model's opinion, not a proof.
        source: ``document`` where nobody named this place, and the same surface elsewhere in the document speaks for it; it
            has no votes then. None where the members' votes do.
    """

    text: str
    start: int
    end: int
    type: str
    score: float | None = None
    votes: Mapping[str, str | None] = field(default_factory=dict)
    verdicts: Mapping[str, bool] = field(default_factory=dict)
    source: Literal["document"] | None = None


@dataclass(frozen=True, slots=True)
class AnnotatedDocument:
    """A document with what was found in it.

    Attributes:
        id: as given, or its number in the call, from 0.
        text: as given.
        status: ``ok``; ``partial``: a member is missing somewhere; ``failed``: there is no result.
        reason: what is missing, without text; None where the status is ``ok``.
        unread: stretches ``(start, end)`` of the text that have no result.
        score_kind: where the scores come from. ``votes``: the mean probability that the members give the type, an estimate
            that nothing was fitted to; ``calibrated``: a combiner learned from labelled documents. None: nothing was read.
    """

    id: str
    text: str
    status: Status
    reason: str | None
    _entities: tuple[AnnotatedEntity, ...] = ()
    unread: tuple[tuple[int, int], ...] = ()
    score_kind: ScoreKind | None = None

    @property
    def entities(self) -> tuple[AnnotatedEntity, ...]:
        """The entities, sorted by place.

        Raises:
            El4nerError: the document failed; an empty list would say that it has none.
        """
        if self.status == "failed":
            raise El4nerError(f"document {self.id!r} has no result: {self.reason}; look at status before entities")
        return self._entities
