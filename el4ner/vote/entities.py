"""What the ensemble says of a window and of a document."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from el4ner.text.spans import Span
from el4ner.vote.votes import Candidate

ScoreKind: TypeAlias = Literal["votes", "label-free", "calibrated"]
"""Where scores come from: ``votes``: the mean probability that the members give the type; ``label-free``: a model of the
members' agreement; both are estimates that no labels were fitted to. ``calibrated``: a combiner that was learned from labelled
documents."""


@dataclass(frozen=True, slots=True)
class VotedEntity:
    """An entity with the votes that made it.

    Attributes:
        start: first code point.
        end: code point after the last.
        type: type name.
        score: probability that span and type are right, from 0 to 1; ``ScoreKind`` says where it comes from. None where
            whoever combined the votes gives no scores.
        votes: per member that was asked, the type it gave, or None for "no entity"; members that abstained are missing.
        verdicts: per judge that was asked about it and answered, whether it called span and type right; empty where
            nobody judged it.
        source: ``document`` where nobody named this place, and the same surface elsewhere in the document speaks for it; it
            has no votes then. None where the members' votes do.
    """

    start: int
    end: int
    type: str
    score: float | None = None
    votes: Mapping[str, str | None] = field(default_factory=dict)
    verdicts: Mapping[str, bool] = field(default_factory=dict)
    source: Literal["document"] | None = None

    @property
    def span(self) -> Span:
        """Its span."""
        return Span(self.start, self.end)


@dataclass(frozen=True, slots=True)
class WindowResult:
    """What the pipeline found in one window; offsets are into the window's text.

    Attributes:
        entities: sorted by start, then end.
        members_answered: members with a usable extraction answer that, where there were candidates, voted on one.
        problems: one short line for each abstention or failure (member, stage, reason; never text); empty: all went well.
        counts: what was dropped or met on the way, for instance ``{"not-in-text": 2, "leaked-from-demonstration": 1}``.
        candidates: all candidates with their votes, where they are to be kept.
        score_kind: where the entities' scores come from.
    """

    entities: tuple[VotedEntity, ...]
    members_answered: tuple[str, ...]
    problems: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    candidates: tuple[Candidate, ...] = ()
    score_kind: ScoreKind = "votes"
