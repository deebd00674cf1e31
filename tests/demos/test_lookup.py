"""Mentions of labelled sentences, looked up in a text."""

from el4ner.demos.lookup import lookup_mentions
from el4ner.text.documents import Document
from el4ner.text.spans import Entity


def test_the_longest_mentions_that_stand_in_the_text_are_found():
    shown = [
        Document("1", "海风公司经理", (Entity(0, 4, "ORG"), Entity(4, 6, "TITLE"))),
        Document("2", "海风", (Entity(0, 2, "ORG"),)),
    ]
    found = lookup_mentions("海风公司的经理任海风公司经理", shown)
    assert found == [Entity(0, 4, "ORG"), Entity(5, 7, "TITLE"), Entity(8, 12, "ORG"), Entity(12, 14, "TITLE")]


def test_a_mention_with_two_types_has_both_and_nothing_comes_of_nothing():
    shown = [Document("1", "Paris", (Entity(0, 5, "LOC"),)), Document("2", "Paris", (Entity(0, 5, "PER"),))]
    assert lookup_mentions("To Paris.", shown) == [Entity(3, 8, "LOC"), Entity(3, 8, "PER")]
    assert lookup_mentions("Parisian", shown) == lookup_mentions("To Paris.", []) == []
