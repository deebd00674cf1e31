"""Spans that look like candidates but are none."""

import random

import pytest

from el4ner.text.candidates import capitalised_runs, draw_negative, words
from el4ner.text.spans import Span


def test_words_are_runs_of_letters_and_digits_and_single_ideographs() -> None:
    text = "Mara’s inn-keeper, 王明 and x_1 of the U.S."
    assert [span.surface(text) for span in words(text)] == [
        *("Mara’s", "inn-keeper", "王", "明", "and", "x", "1", "of", "the", "U.S"),
    ]


def test_capitalised_words_with_single_spaces_between_them_are_one_run() -> None:
    text = "Old Harrow Bank met Bo, Ann  Li and Jo\nKay"
    assert [span.surface(text) for span in capitalised_runs(text)] == [
        "Old Harrow Bank",
        "Bo",
        "Ann",
        "Li",
        "Jo",
        "Kay",
    ]


@pytest.mark.parametrize(
    ("text", "gold", "drawn"),
    [
        ("Ann saw Bo", [Span(0, 3)], {"Ann saw", "saw", "Ann saw Bo", "saw Bo", "Bo"}),
        ("we saw five old men go", [], {"we", "we saw five old", "go", "old men go", "saw five old men"}),
        ("", [], set()),
        (". .", [], set()),
        ("Ann", [Span(0, 3)], set()),
    ],
)
def test_any_span_of_words_but_gold_may_be_drawn(text: str, gold: list[Span], drawn: set[str]) -> None:
    found = [draw_negative(text, gold, random.Random(seed)) for seed in range(400)]
    surfaces = {span.surface(text) for span in found if span is not None}
    assert surfaces == drawn if gold or not drawn else surfaces >= drawn
    assert all(len(surface.split()) <= 4 for surface in surfaces)


def test_half_of_the_draws_stand_at_gold_and_a_quarter_are_capitalised() -> None:
    text = " ".join([*["word"] * 20, "Gold", *["word"] * 20, "Capital", "Run", *["word"] * 20])
    gold = Span(100, 104)
    assert gold.surface(text) == "Gold"
    drawn = [draw_negative(text, [gold], random.Random(seed)) for seed in range(1000)]
    near = sum(span is not None and Span(95, 109).contains(span) for span in drawn)
    capitalised = sum(span is not None and span.surface(text) == "Capital Run" for span in drawn)
    assert 350 < near < 600 and 150 < capitalised < 350
