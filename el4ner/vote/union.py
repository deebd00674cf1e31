"""Stages 1 and 3: the spans of all members united (EL4NER, ``S = U_i M_i(X, I)``)."""

from collections.abc import Iterable, Mapping

from el4ner.text.spans import Span


def unite(found: Mapping[str, Iterable[Span]]) -> list[Span]:
    """The spans that any member found, sorted; nested and crossing spans are all kept.

    >>> unite({"a": [Span(0, 2)], "b": [Span(0, 2), Span(3, 5)]})
    [Span(start=0, end=2), Span(start=3, end=5)]
    """
    return sorted(set().union(*found.values()))
