"""Votes: every rule, tie and abstention worked by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from el4ner.vote.rules import Rule, Tie, count_votes, elect_all
from el4ner.vote.votes import Vote, runner_up, share, support

TYPES = ("PER", "LOC", "ORG")


def elect(
    votes: dict[str, Vote],
    types: tuple[str, ...],
    *,
    rule: Rule = "plurality",
    tie: Tie = "none",
    total_weight: float | None = None,
    threshold: float | None = None,
) -> str | None:
    """The winning type of one candidate, or None for no entity."""
    (row,) = elect_all(count_votes([votes], types, total_weight), rule, tie, threshold).tolist()
    return None if row < 0 else types[row]


def hard(*types: str | None) -> dict[str, Vote]:
    """One vote a type, without probabilities."""
    return {f"m{i}": Vote(name) for i, name in enumerate(types)}


def soft(*votes: dict[str | None, float]) -> dict[str, Vote]:
    """Votes for their most probable type."""
    return {f"m{i}": Vote(max(given, key=given.__getitem__), given) for i, given in enumerate(votes)}


@pytest.mark.parametrize(
    ("types", "rule", "tie", "total_weight", "expected"),
    [
        (["PER", "PER", "LOC"], "plurality", "none", None, "PER"),
        (["PER"], "plurality", "none", None, "PER"),
        ([None, None, "LOC"], "plurality", "order", None, None),
        (["LOC", "PER", "ORG", "LOC", None], "plurality", "none", None, "LOC"),
        (["LOC", "PER"], "plurality", "none", None, None),
        (["LOC", "PER"], "plurality", "order", None, "PER"),
        (["LOC", None], "plurality", "none", None, None),
        (["LOC", None], "plurality", "order", None, "LOC"),
        (["LOC", "PER"], "plurality", "probability", None, "PER"),
        (["LOC", None], "plurality", "probability", None, "LOC"),
        (["LOC"], "plurality", "none", 3, None),
        (["LOC", "LOC"], "plurality", "none", 3, "LOC"),
        (["LOC"], "plurality", "none", 2, None),
        (["LOC"], "plurality", "order", 2, "LOC"),
        (["PER", "PER", "LOC"], "majority", "order", None, "PER"),
        (["PER", "LOC"], "majority", "order", None, None),
        (["PER", "PER", "LOC", "ORG"], "majority", "order", None, None),
        (["PER", "PER"], "majority", "none", 4, None),
        (["PER", "PER", "PER"], "majority", "none", 4, "PER"),
        ([None, None, "PER"], "majority", "none", None, None),
        (["PER", "LOC", "LOC"], "probability", "none", None, "LOC"),
        (["PER", "LOC"], "probability", "none", None, "PER"),
        (["PER", None], "probability", "none", 3, None),
        (["PER"], "probability", "none", 2, "PER"),
        (["PER"], "probability", "none", 3, None),
        ([], "plurality", "order", None, None),
        ([], "plurality", "order", 3, None),
    ],
)
def test_hard_votes(types, rule, tie, total_weight, expected):
    assert elect(hard(*types), TYPES, rule=rule, tie=tie, total_weight=total_weight) == expected


@pytest.mark.parametrize(
    ("votes", "rule", "tie", "total_weight", "expected"),
    [
        ([{"PER": 0.6, "LOC": 0.4}, {"LOC": 0.9, "PER": 0.1}], "plurality", "none", None, None),
        ([{"PER": 0.6, "LOC": 0.4}, {"LOC": 0.9, "PER": 0.1}], "plurality", "probability", None, "LOC"),
        ([{"PER": 0.6, "LOC": 0.4}, {None: 0.9, "PER": 0.1}], "plurality", "probability", None, None),
        ([{"PER": 0.5, "LOC": 0.4}, {"PER": 0.5, "LOC": 0.4}, {"LOC": 1.0}], "plurality", "none", None, "PER"),
        ([{"PER": 0.5, "LOC": 0.4}, {"PER": 0.5, "LOC": 0.4}, {"LOC": 1.0}], "probability", "none", None, "LOC"),
        ([{"PER": 0.6, "LOC": 0.4}], "probability", "none", 2, None),
        # the third type is probable to all, but is voted for by none: a tie is broken among the winners alone
        ([{"PER": 0.4, "ORG": 0.35}, {"LOC": 0.45, "ORG": 0.35}], "plurality", "probability", None, "LOC"),
    ],
)
def test_soft_votes(votes, rule, tie, total_weight, expected):
    assert elect(soft(*votes), TYPES, rule=rule, tie=tie, total_weight=total_weight) == expected


@pytest.mark.parametrize(
    ("types", "winner", "expected"),
    [
        (["PER", "PER", "LOC"], "PER", "LOC"),
        (["PER", "PER"], "PER", None),
        (["PER", None, None], "PER", None),
        (["PER", "PER", "LOC", "ORG", "ORG"], "PER", "ORG"),
        (["PER", "PER", "ORG", "LOC"], "PER", "LOC"),
        ([], "PER", None),
    ],
)
def test_runner_up(types, winner, expected):
    assert runner_up(hard(*types), winner, TYPES) == expected


def test_the_runner_up_among_equals_is_the_more_probable():
    votes = soft({"PER": 1.0}, {"PER": 0.9, "ORG": 0.1}, {"LOC": 0.5, "ORG": 0.4}, {"ORG": 0.9, "LOC": 0.1})
    assert runner_up(votes, "PER", TYPES) == "ORG"


@pytest.mark.parametrize(
    ("threshold", "total_weight", "winner"),
    [(None, None, None), (0.3, None, "LOC"), (0.31, None, None), (0.2, 3, "LOC"), (0.21, 3, None)],
)
def test_a_threshold_is_on_the_probability_of_the_winning_type(threshold, total_weight, winner):
    votes = soft({"LOC": 0.3, "PER": 0.2, None: 0.5}, {"LOC": 0.3, "PER": 0.1, None: 0.6})
    assert elect(votes, TYPES, rule="probability", threshold=threshold, total_weight=total_weight) == winner


@pytest.mark.parametrize(
    ("rule", "weight", "winner"),
    [("plurality", 1, "PER"), ("plurality", 3, "LOC"), ("majority", 2, None), ("majority", 3, "LOC"),
     ("probability", 1, "PER"), ("probability", 3, "LOC")],
)  # fmt: skip
def test_a_vote_counts_by_its_weight(rule, weight, winner):
    votes = {"a": Vote("LOC", weight=weight), "b": Vote("PER"), "c": Vote("PER")}
    assert elect(votes, TYPES, rule=rule) == winner
    assert share(votes, "LOC") == pytest.approx(weight / (weight + 2))
    assert support(votes, "PER", "probability") == pytest.approx(2 / (weight + 2))
    assert runner_up(votes, "PER", TYPES) == "LOC"
    assert elect(votes, TYPES, rule="majority", total_weight=weight + 2 + 2 * weight) is None


def test_support_is_a_mean_probability_or_a_share():
    mixed = {
        "a": Vote("PER", {"PER": 0.6, None: 0.4}),
        "b": Vote(None, {"PER": 0.2, None: 0.8}),
        "c": Vote("PER"),
    }
    assert support(mixed, "PER", "probability") == pytest.approx(0.6)
    assert support(mixed, "PER", "plurality") == pytest.approx(2 / 3)
    assert support({}, "PER", "probability") == 0.0


def test_share():
    assert share(hard("PER", "PER", None, "LOC"), "PER") == 0.5
    assert share({}, "PER") == 0.0


ballots_st = st.lists(st.sampled_from([*TYPES, None]), max_size=7)
rules = st.sampled_from(["plurality", "majority", "probability"])
ties = st.sampled_from(["none", "probability", "order"])


@given(ballots_st, rules, ties, st.randoms())
def test_the_order_of_the_members_does_not_matter(types, rule, tie, rng):
    votes = hard(*types)
    names = list(votes)
    rng.shuffle(names)
    shuffled = {name: votes[name] for name in names}
    assert elect(shuffled, TYPES, rule=rule, tie=tie) == elect(votes, TYPES, rule=rule, tie=tie)


@given(ballots_st, rules, ties)
def test_the_winner_was_voted_for(types, rule, tie):
    assert elect(hard(*types), TYPES, rule=rule, tie=tie) in {*types, None}


@given(ballots_st, ties, st.integers(0, 7))
def test_counting_abstentions_never_makes_another_type_win(types, tie, absent):
    votes = hard(*types)
    ignored = elect(votes, TYPES, rule="majority", tie=tie)
    assert elect(votes, TYPES, rule="majority", tie=tie, total_weight=len(types) + absent) in {ignored, None}
