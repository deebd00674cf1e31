"""What the nearest labelled sentences say without a model: their mentions, where they stand in the text.

A small sister of nearest-neighbour NER (kNN-NER, Wang and others 2022), which compares vectors of tokens; this compares letters.
"""

from collections.abc import Sequence

from el4ner.text.align import occurrences
from el4ner.text.documents import Document
from el4ner.text.spans import Entity


def lookup_mentions(text: str, sentences: Sequence[Document]) -> list[Entity]:
    """All places of the sentences' mentions in ``text``, in order.

    Of places of one type that lie in one another, the longest counts. A mention that bears two types in the sentences has both.
    """
    surfaces = {
        (entity.span.surface(document.text), entity.type)
        for document in sentences
        for entity in document.entities or ()
    }
    found = {Entity(at.start, at.end, kind) for surface, kind in surfaces for at in occurrences(surface, text)}
    return sorted(one for one in found if not any(_longer(other, one) for other in found))


def _longer(other: Entity, one: Entity) -> bool:
    return other.type == one.type and other.span != one.span and other.span.contains(one.span)
