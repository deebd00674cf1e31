"""Which candidate a demonstration shows in a classification prompt; the same choice in training and inference."""

import random
from collections.abc import Sequence
from difflib import SequenceMatcher

from el4ner.text.candidates import draw_negative
from el4ner.text.documents import Document
from el4ner.text.spans import Entity, Span


def demonstrated_candidates(demonstrations: Sequence[Document], surface: str) -> list[tuple[Document, Entity | Span]]:
    """One solved candidate of each demonstration: the entity most like ``surface``, or a span that is none.

    A demonstration without entities shows a span that is no entity, drawn by a seed that is its own text, so that the none
    answer is seen as well.
    """
    chosen: list[tuple[Document, Entity | Span]] = []
    for document in demonstrations:
        candidate = _most_alike(document, surface) or draw_negative(document.text, (), random.Random(document.text))
        if candidate is not None:
            chosen.append((document, candidate))
    return chosen


def _most_alike(document: Document, surface: str) -> Entity | None:
    def likeness(entity: Entity) -> tuple[float, int]:
        shown = document.text[entity.start : entity.end]
        return SequenceMatcher(None, shown.casefold(), surface.casefold(), autojunk=False).ratio(), -entity.start

    return max(document.entities or (), key=likeness, default=None)
