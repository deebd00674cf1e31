"""Votes on candidates that a member did not find itself."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from el4ner.text.spans import Span
from el4ner.vote.votes import Candidate, Vote, discounted, parse_candidate

UNSURE: dict[str | None, float] = {"PER": 0.6, "LOC": 0.1, None: 0.3}


def test_doubt_moves_probability_to_no_entity_and_the_vote_with_it():
    vote = discounted(Vote("PER", UNSURE, weight=3, found=False), 0.5)
    assert vote.probabilities == pytest.approx({"PER": 0.3, "LOC": 0.05, None: 0.65})
    assert (vote.type, vote.weight) == (None, 3)
    assert discounted(Vote("PER", UNSURE, found=False), 0.9).type == "PER"


@pytest.mark.parametrize("vote", [Vote("PER", UNSURE), Vote("PER", found=False)])
def test_what_a_member_found_or_gives_no_probabilities_for_is_not_doubted(vote: Vote):
    assert discounted(vote, 0.0) == vote


@given(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), st.floats(0, 1))
def test_a_discounted_vote_is_still_a_distribution_and_never_surer_of_a_type(masses: list[float], discount: float):
    probabilities: dict[Any, float] = {
        kind: mass / sum(masses) for kind, mass in zip(("PER", "LOC", None), masses, strict=True)
    }
    after = discounted(Vote("PER", probabilities, found=False), discount)
    assert after.probabilities is not None
    assert sum(after.probabilities.values()) == pytest.approx(1)
    assert after.probability("PER") <= probabilities["PER"] and after.probability(None) >= probabilities[None] - 1e-9


def test_who_found_a_candidate_is_kept_in_its_record():
    candidate = Candidate(Span(0, 4), {"a": Vote("PER"), "b": Vote(None, found=False)})
    assert candidate.as_dict()["found"] == ["a"]
    assert parse_candidate(candidate.as_dict()) == candidate
