"""Surfaces found in texts, against a plain search token by token."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from el4ner.combine.surfaces import find_surfaces, tokenise

words = st.lists(st.sampled_from(["a", "B", "b", "c", "張", ","]), max_size=8).map(" ".join)


@given(st.lists(words, max_size=4), st.lists(words, max_size=6))
def test_every_occurrence_is_found_once(texts: list[str], surfaces: list[str]):
    numbers, found = find_surfaces(texts, surfaces)
    tokens = [tokenise(text) for text in texts]
    expected: Counter[tuple[int, int]] = Counter()
    for number, key in {n: tokenise(s) for n, s in zip(numbers.tolist(), surfaces, strict=True)}.items():
        for document, text in enumerate(tokens):
            starts = range(len(text) - len(key) + 1 if key else 0)
            expected[number, document] += sum(text[at : at + len(key)] == key for at in starts)
    assert Counter(map(tuple, found.tolist())) == +expected


@given(st.lists(words, max_size=8))
def test_surfaces_are_alike_where_their_tokens_are(surfaces: list[str]):
    numbers, _ = find_surfaces([], surfaces)
    pairs = {(number, tuple(tokenise(surface))) for number, surface in zip(numbers.tolist(), surfaces, strict=True)}
    assert len(pairs) == len({number for number, _ in pairs}) == len({key for _, key in pairs})
