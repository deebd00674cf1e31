"""What may overlap in the output."""

from collections.abc import Callable, Iterable

from el4ner.text.spans import crosses
from el4ner.vote.entities import VotedEntity


def flatten(entities: Iterable[VotedEntity], strength: Callable[[VotedEntity], float]) -> list[VotedEntity]:
    """Entities without any overlap, sorted by place: the stronger stays, then the longer, then the earlier."""
    kept: list[VotedEntity] = []
    for entity in sorted(entities, key=lambda e: (-strength(e), e.start - e.end, e.start)):
        if not any(entity.span.overlaps(other.span) for other in kept):
            kept.append(entity)
    return sorted(kept, key=lambda e: (e.start, e.end))


def nest(entities: Iterable[VotedEntity], strength: Callable[[VotedEntity], float]) -> list[VotedEntity]:
    """Entities that lie apart or inside one another, sorted by place; of two that cross, the stronger stays."""
    kept: list[VotedEntity] = []
    for entity in sorted(entities, key=lambda e: (-strength(e), e.start - e.end, e.start)):
        if not any(crosses(entity.span, other.span) for other in kept):
            kept.append(entity)
    return sorted(kept, key=lambda e: (e.start, e.end))
