"""One vote for windows and for files; probabilities as evidence; votes and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from el4ner.combine.agreement import fit_agreement
from el4ner.combine.confidence_bins import bin_by_confidence, confidence_quantiles
from el4ner.text.spans import Entity, Span
from el4ner.vote.rules import count_table, count_votes, elect_all
from el4ner.vote.table import ABSTAINED, FOUND, NEARLY_FOUND, NOT_FOUND, OTHER_TYPE, MemberOutput, tabulate
from el4ner.vote.votes import Candidate, Vote, member_outputs, parse_candidate
from tests.combine.apply import combine

TYPES = ("LOC", "ORG", "PER")
MEMBERS = ("a", "b", "c")
votes_st = st.lists(
    st.dictionaries(st.sampled_from(MEMBERS), st.sampled_from([*TYPES, None]), min_size=1), min_size=1, max_size=6
)
rules_st = st.sampled_from(["plurality", "majority", "probability", "two-stage"])


@given(votes_st, rules_st)
def test_a_window_and_a_file_of_the_same_votes_elect_the_same(votes, rule):
    votes = {Span(10 * n, 10 * n + 5): {m: Vote(t) for m, t in row.items()} for n, row in enumerate(votes)}
    rows = elect_all(count_votes(list(votes.values()), TYPES), rule).tolist()
    elected = {span: TYPES[row % 3] for span, row in zip(votes, rows, strict=True) if row >= 0}
    (output,) = combine([member_outputs(votes)], MEMBERS, rule)
    assert {entity.span: entity.type for entity in output} == elected


def test_options_of_many_spans_are_elected_span_by_span():
    counts = count_votes([{"a": Vote("PER")}, {"a": Vote(None)}, {"a": Vote("LOC"), "b": Vote("LOC")}], TYPES)
    for rule in ("plurality", "majority", "probability", "two-stage"):
        assert elect_all(counts, rule).tolist() == [2, -1, 6]
    assert elect_all(counts, "probability", threshold=1.1).tolist() == [-1, -1, -1]
    assert elect_all(count_votes([], TYPES), "plurality").tolist() == []


def test_two_stage_pools_types_and_takes_the_first_of_equal_ones():
    counts = count_votes([{"a": Vote("PER"), "b": Vote("LOC"), "c": Vote(None), "d": Vote(None)}], TYPES)
    assert elect_all(counts, "two-stage").tolist() == [0]
    assert elect_all(counts, "plurality").tolist() == [-1]


@pytest.mark.parametrize(("nones", "winner"), [(0, 2), (1, 2), (2, -1)])
def test_two_stage_takes_an_entity_by_half_of_the_votes(nones: int, winner: int):
    votes = {"a": Vote("PER")} | {f"n{number}": Vote(None) for number in range(nones)}
    assert elect_all(count_votes([votes], TYPES), "two-stage").tolist() == [winner]


def test_a_tie_of_the_most_votes_is_settled_as_asked():
    counts = count_votes([{"a": Vote("PER"), "b": Vote("LOC")}], TYPES)
    for tie, winner in (("none", -1), ("order", 0), ("probability", 0)):
        assert elect_all(counts, "plurality", tie).tolist() == [winner]
    soft = Vote(None, {None: 0.9, "LOC": 0.1})
    counts = count_votes([{"a": Vote("PER", {"PER": 0.6, "LOC": 0.4}), "b": soft}], TYPES)
    assert elect_all(counts, "plurality", "probability").tolist() == [-1]


def test_weights_that_add_up_to_the_same_are_a_tie_in_any_order():
    weights = [0.1, 0.2, 0.3]
    votes = {str(n): Vote("PER", weight=w) for n, w in enumerate(weights)} | {"x": Vote("LOC", weight=0.6)}
    assert elect_all(count_votes([votes], TYPES), "plurality").tolist() == [-1]


def test_an_output_tells_a_type_a_probability_and_no_answer_apart():
    first, second = Span(0, 3), Span(5, 9)
    votes = {
        first: {"a": Vote("PER", {"PER": 0.7, "LOC": 0.2, None: 0.1}), "b": Vote(None, {"PER": 0.3, None: 0.7})},
        second: {"b": Vote("LOC")},
    }
    said = member_outputs(votes)
    assert said["a"] == MemberOutput({Entity(0, 3, "PER"): 0.7}, {Entity(0, 3, "LOC"): 0.2}, frozenset({second}))
    table = tabulate([said], MEMBERS)
    assert [table.entity(row) for row in range(len(table))] == [Entity(0, 3, "PER"), Entity(5, 9, "LOC")]
    assert table.codes.tolist() == [[FOUND, NOT_FOUND, ABSTAINED], [ABSTAINED, FOUND, ABSTAINED]]
    assert np.nan_to_num(table.probabilities, nan=-1).tolist() == [[0.7, 0.3, -1], [-1, -1, -1]]


def test_the_mean_probability_of_a_file_counts_what_a_member_leaves_for_no_entity():
    rows = [{"a": {Entity(0, 3, "PER"): 0.4}, "b": {Entity(0, 3, "PER"): 0.5}}]
    counts = count_table(tabulate(rows, ["a", "b"]))
    assert (counts.mass.tolist(), counts.none_mass.tolist()) == ([0.9], pytest.approx([1.1]))
    assert combine(rows, ["a", "b"], "probability") == [()]
    assert len(combine(rows, ["a", "b"], "majority")[0]) == 1


def test_a_candidate_comes_back_from_its_record_with_what_is_left_for_none():
    votes = {"a": Vote("PER", {"PER": 0.75, "LOC": 0.0, None: 0.25}), "b": Vote(None)}
    assert parse_candidate(Candidate(Span(2, 5), votes).as_dict()) == Candidate(Span(2, 5), votes)
    assert "probabilities" not in Candidate(Span(2, 5), {"b": Vote(None)}).as_dict()


def soft(telling: bool) -> list[dict[str, MemberOutput]]:
    """Member a is silent about every second right thing; the probability it gives tells it from a wrong one, or does not."""
    entity = Entity(0, 4, "PER")
    yes, no = MemberOutput({entity: None}), MemberOutput({})
    rows = []
    for number in range(300):
        right = number % 3 > 0
        nearly = right if telling else number % 4 == 0
        mine = yes if number % 3 == 1 else MemberOutput({}, {entity: (0.4 if nearly else 0.1) + number * 1e-6})
        rows.append({"a": mine, "b": yes, "c": yes if right else no, "d": yes if right else no})
    return rows


@pytest.mark.parametrize(("telling", "least", "most"), [(True, 0.5, 1.5), (False, -0.3, 0.4)])
def test_a_silence_that_nearly_was_a_vote_counts_where_others_bear_it_out(telling: bool, least: float, most: float):
    table = tabulate(soft(telling), ["a", "b", "c", "d"])
    assert set(bin_by_confidence(table, confidence_quantiles(table))[:, 0].tolist()) == {NOT_FOUND, NEARLY_FOUND, FOUND}
    assert least < fit_agreement(table).values[NEARLY_FOUND] < most


def test_probabilities_of_other_types_do_not_hide_a_overlapping_candidate():
    rows = [
        {"a": MemberOutput({Entity(0, 3, "PER"): 0.5}, {Entity(0, 3, "LOC"): 0.49}), "b": {Entity(0, 3, "LOC"): 0.9}}
    ]
    assert tabulate(rows, ["a", "b"]).codes.tolist() == [[OTHER_TYPE, FOUND], [FOUND, OTHER_TYPE]]
