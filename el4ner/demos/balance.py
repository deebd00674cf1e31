"""Demonstrations that show every type and its absence, for questions about types that share one set of demonstrations.

A question about a type is best shown with a sentence that has the type and one that has not (Ye, Tang, Guo, Wu 2024). Where all
questions about a text are to begin with the same tokens, one set of k sentences must do that for all types together.
"""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from el4ner.config import DemonstrationConfig, MrcConfig
from el4ner.demos.retrieve import Method, Retrieval, Retriever
from el4ner.text.documents import Document
from el4ner.text.spans import Span

CANDIDATES = 32
"""The nearest pool sentences that balanced demonstrations are chosen from."""
TypeExample = tuple[str, bool]
"""A type, and whether a sentence with it is wanted or one without."""


def choose_balanced(ranked: Sequence[Document], types: Sequence[str], count: int) -> list[int]:
    """Places of the ``count`` sentences to show, in order of rank.

    The best is always there. Each further one is the one that shows most of what is not shown yet (a type, or its absence);
    of equally useful ones the better ranked.

    Args:
        ranked: labelled sentences, most similar first.
        types: the types that are asked about.
        count: how many to choose.
    """
    offers = [_shown(document, types) for document in ranked]
    chosen: list[int] = []
    missing: set[TypeExample] = {(name, there) for name in types for there in (True, False)}
    while len(chosen) < min(count, len(ranked)):
        left = [place for place in range(len(ranked)) if place not in chosen]
        pick = max(left, key=lambda place: (len(offers[place] & missing), -place)) if chosen else 0
        chosen.append(pick)
        missing -= offers[pick]
    return sorted(chosen)


@dataclass(frozen=True, slots=True)
class QuestionDemonstrations:
    """How the demonstrations of all questions about a text are chosen; the same in training and inference.

    Attributes:
        retriever: over the pool.
        settings: how it retrieves.
        mrc: how many to show, and whether they are to show every type and its absence.
        types: the types that are asked about.
    """

    retriever: Retriever
    settings: DemonstrationConfig
    mrc: MrcConfig
    types: Sequence[str]

    def choose(
        self, text: str, spans: Sequence[Span], language: str, exclude_ids: Collection[str] = ()
    ) -> tuple[Document, ...]:
        """The demonstrations of all questions about a text, in prompt order.

        Args:
            text: what is asked about; never among the demonstrations.
            spans: what is known of its mentions, for span-level similarity.
            language: of the text.
            exclude_ids: pool documents to leave out.
        """
        settings, types = self.settings, self.types
        count = settings.k if self.mrc.k is None else self.mrc.k
        if count == 0:
            return ()

        def ranked(method: Method, many: int) -> list[Document]:
            found = self.retriever.retrieve(text, spans, language, exclude_ids=exclude_ids, k=many, method=method)
            return _best_first(found, settings.order)

        if not self.mrc.balance:
            return _in_order(ranked(settings.method, count), settings.order, text)
        nearest = ranked(settings.method, max(count, CANDIDATES))
        if settings.method == "span" and not _shows_all(nearest, types):
            # SpanSim ranks no sentence without spans, and those are what shows that a type may be absent.
            further = ranked("sentence", max(count, CANDIDATES))
            nearest += [document for document in further if document not in nearest]
        chosen = [nearest[place] for place in choose_balanced(nearest, types, count)]
        return _in_order(chosen, settings.order, text)


def _best_first(found: Retrieval, order: str) -> list[Document]:
    """Demonstrations that stand in prompt order, the most similar first."""
    documents = list(found.demonstrations)
    if order == "random":
        places = sorted(range(len(documents)), key=lambda place: -(found.scores[place] or 0.0))
        return [documents[place] for place in places]
    return documents if order == "best-first" else documents[::-1]


def _in_order(chosen: list[Document], order: str, text: str) -> tuple[Document, ...]:
    if order == "random":
        return tuple(random.Random(text).sample(chosen, len(chosen)))
    return tuple(chosen if order == "best-first" else chosen[::-1])


def _shows_all(documents: Sequence[Document], types: Sequence[str]) -> bool:
    shown = set().union(*(_shown(document, types) for document in documents))
    return len(shown) == 2 * len(types)


def _shown(document: Document, types: Sequence[str]) -> set[TypeExample]:
    there = {entity.type for entity in document.entities or ()}
    return {(name, name in there) for name in types}
