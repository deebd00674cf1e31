from collections import Counter

import pytest
from hypothesis import given

from el4ner.scoring.counts import micro, strict_counts
from el4ner.scoring.mismatches import Outcome, break_down, match_entities
from el4ner.text.spans import Entity

from .strategies import entity_sets, labellings

CASES = {
    "correct": ({(0, 5, "PER")}, {(0, 5, "PER")}, {"correct": 1}),
    "type": ({(0, 5, "PER")}, {(0, 5, "ORG")}, {"type": 1}),
    "boundary": ({(0, 5, "PER")}, {(0, 7, "PER")}, {"boundary": 1}),
    "both": ({(0, 5, "PER")}, {(3, 7, "ORG")}, {"boundary+type": 1}),
    "touching is not overlapping": (
        {(2, 5, "PER")},
        {(0, 2, "PER"), (5, 7, "PER")},
        {"missed": 1, "spurious": 2},
    ),
    "missed": ({(0, 5, "PER")}, set(), {"missed": 1}),
    "spurious": (set(), {(0, 5, "PER")}, {"spurious": 1}),
    "split mention": ({(0, 9, "PER")}, {(0, 4, "PER"), (5, 9, "PER")}, {"boundary": 1, "spurious": 1}),
    "merged mentions": ({(0, 4, "PER"), (5, 9, "PER")}, {(0, 9, "PER")}, {"boundary": 1, "missed": 1}),
    "right type is preferred to more overlap": (
        {(0, 10, "PER")},
        {(0, 9, "ORG"), (8, 12, "PER")},
        {"boundary": 1, "spurious": 1},
    ),
    "nested, inner one missed": ({(0, 20, "ORG"), (14, 20, "LOC")}, {(0, 20, "ORG")}, {"correct": 1, "missed": 1}),
    "nested, both found": ({(0, 20, "ORG"), (14, 20, "LOC")}, {(0, 20, "ORG"), (14, 20, "LOC")}, {"correct": 2}),
    "nested, inner one mistyped": (
        {(0, 20, "ORG"), (14, 20, "LOC")},
        {(0, 20, "ORG"), (14, 20, "ORG")},
        {"correct": 1, "type": 1},
    ),
    "two types on a span": ({(0, 4, "LOC")}, {(0, 4, "LOC"), (0, 4, "ORG")}, {"correct": 1, "spurious": 1}),
}


def entity_set(rows):
    return frozenset(Entity(*row) for row in rows)


@pytest.mark.parametrize("case", CASES)
def test_outcomes_by_hand(case):
    gold, predicted, expected = CASES[case]
    matches = match_entities(entity_set(gold), entity_set(predicted))
    assert Counter(match.outcome.value for match in matches) == expected


def test_greater_overlap_is_paired_first():
    gold, near, far = Entity(4, 14, "PER"), Entity(5, 14, "PER"), Entity(0, 6, "PER")
    pair = match_entities({gold}, {near, far})[0]
    assert (pair.gold, pair.predicted) == (gold, near)


def test_equal_overlap_goes_to_the_earlier_one():
    gold, left, right = Entity(4, 8, "PER"), Entity(3, 7, "PER"), Entity(5, 9, "PER")
    assert match_entities({gold}, {right, left})[0].predicted == left


def test_types_and_confusions():
    gold = [entity_set({(0, 5, "PER"), (6, 9, "LOC")}), entity_set({(0, 3, "LOC")})]
    predicted = [entity_set({(0, 5, "ORG"), (6, 9, "LOC")}), entity_set({(1, 3, "ORG"), (7, 9, "ORG")})]
    breakdown = break_down(gold, predicted)
    assert breakdown.by_type == {
        "LOC": {Outcome.CORRECT: 1, Outcome.BOUNDARY_AND_TYPE: 1},
        "ORG": {Outcome.SPURIOUS: 1},
        "PER": {Outcome.TYPE: 1},
    }
    assert breakdown.confusions == {("PER", "ORG"): 1, ("LOC", "ORG"): 1}
    assert breakdown.type_accuracy == 0.5


def test_type_accuracy_is_unknown_where_no_span_was_found():
    assert break_down([entity_set({(0, 5, "PER")})], [frozenset()]).type_accuracy is None


@given(entity_sets, entity_sets)
def test_every_entity_has_one_outcome(gold, predicted):
    matches = match_entities(gold, predicted)
    assert sorted(match.gold for match in matches if match.gold) == sorted(gold)
    assert sorted(match.predicted for match in matches if match.predicted) == sorted(predicted)


@given(entity_sets, entity_sets)
def test_no_overlapping_pair_is_left_over(gold, predicted):
    matches = match_entities(gold, predicted)
    missed = [match.gold for match in matches if match.outcome is Outcome.MISSED]
    spurious = [match.predicted for match in matches if match.outcome is Outcome.SPURIOUS]
    assert not any(wanted.span.overlaps(found.span) for wanted in missed for found in spurious)


@given(labellings)
def test_correct_ones_are_the_strict_true_positives(corpus):
    gold, predicted = [wanted for wanted, _ in corpus], [found for _, found in corpus]
    assert break_down(gold, predicted).total[Outcome.CORRECT] == micro(strict_counts(gold, predicted)).tp
