"""Which candidate a demonstration shows, and what counts as a candidate that is none."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from el4ner.prompts.demonstrated import demonstrated_candidates
from el4ner.text.candidates import capitalised_runs, draw_negative, words
from el4ner.text.documents import Document
from el4ner.text.spans import Entity, Span

CITY = Document("1", "Tom met Ann in Graz.", (Entity(0, 3, "PER"), Entity(8, 11, "PER"), Entity(15, 19, "LOC")))
RAIN = Document("2", "It rained all day in the old town.", ())


@pytest.mark.parametrize(("surface", "shown"), [("Anna", "Ann"), ("GRAZ", "Graz"), ("TOM", "Tom"), ("???", "Tom")])
def test_the_entity_most_like_the_candidate_is_shown(surface: str, shown: str):
    [(document, candidate)] = demonstrated_candidates([CITY], surface)
    assert document.text[candidate.start : candidate.end] == shown
    assert isinstance(candidate, Entity)


def test_a_demonstration_without_entities_shows_a_span_that_is_none_always_the_same():
    [(_, candidate)] = demonstrated_candidates([RAIN], "Graz")
    assert isinstance(candidate, Span)
    assert demonstrated_candidates([RAIN], "another") == [(RAIN, candidate)]


def test_a_demonstration_without_words_shows_nothing_and_the_order_is_kept():
    empty = Document("3", "... !", ())
    assert [document.id for document, _ in demonstrated_candidates([RAIN, empty, CITY], "Ann")] == ["2", "1"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's St.-Jean's U.S. bank_note", ["It's", "St", "Jean's", "U.S", "bank", "note"]),
        ("去Oslo吧", ["去", "Oslo", "吧"]),
        ("...", []),
    ],
)
def test_words(text: str, expected: list[str]):
    assert [span.surface(text) for span in words(text)] == expected


def test_capitalised_runs():
    text = "The New York Times and  Big Ben, London"
    assert [span.surface(text) for span in capitalised_runs(text)] == ["The New York Times", "Big Ben", "London"]


@given(st.text(max_size=40), st.lists(st.tuples(st.integers(0, 39), st.integers(1, 10)), max_size=4), st.integers())
def test_a_negative_is_a_span_of_the_text_that_is_not_gold(text: str, places: list[tuple[int, int]], seed: int):
    gold = [Span(start, start + length) for start, length in places if start + length <= len(text)]
    drawn = draw_negative(text, gold, random.Random(seed))
    assert drawn == draw_negative(text, gold, random.Random(seed))
    if drawn is not None:
        assert drawn not in gold
        assert drawn.surface(text).strip()


def test_where_every_span_is_gold_there_is_no_negative():
    assert draw_negative("Oslo", [Span(0, 4)], random.Random(1)) is None
