"""Stages 1 and 3: the spans of all members united (EL4NER, ``S = U_i M_i(X, I)``)."""

from collections.abc import Iterable, Mapping

from el4ner.text.spans import Span


def unite(found: Mapping[str, Iterable[Span]], min_members: int = 1) -> list[Span]:
    """Spans that at least ``min_members`` members found, sorted; nested and crossing spans are all kept.

    >>> unite({"a": [Span(0, 2)], "b": [Span(0, 2), Span(3, 5)]}, min_members=2)
    [Span(start=0, end=2)]
    """
    counts: dict[Span, int] = {}
    for spans in found.values():
        for span in set(spans):
            counts[span] = counts.get(span, 0) + 1
    return sorted(span for span, count in counts.items() if count >= min_members)
