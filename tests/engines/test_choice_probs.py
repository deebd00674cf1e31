"""Choice probabilities are derived from tokens only where the tokens show them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from el4ner.engines.choice_probs import Position, choice_log_probs, likeliest_choice


def at(**probabilities: float) -> Position:
    """A position; the first token is the generated one."""
    logs = {token: math.log(p) if p else -9999.0 for token, p in probabilities.items()}
    return Position(next(iter(logs)), logs)


def probabilities(log_probs: dict[str, float] | None) -> dict[str, float]:
    assert log_probs is not None
    return {choice: math.exp(value) for choice, value in log_probs.items()}


def test_distinct_first_tokens_are_normalised_over_the_choices():
    found = probabilities(choice_log_probs(["yes", "no"], [at(yes=0.6, no=0.2, maybe=0.2)]))
    assert found == pytest.approx({"yes": 0.75, "no": 0.25})


def test_several_tokens_of_one_choice_add_up():
    found = probabilities(choice_log_probs(["person", "none"], [at(person=0.5, per=0.2, p=0.1, none=0.2)]))
    assert found == pytest.approx({"person": 0.8, "none": 0.2})


def test_a_shared_beginning_is_resolved_where_the_tokens_differ():
    positions = [at(org=0.8, person=0.2), at(anisation=0.75, an=0.25)]
    found = probabilities(
        choice_log_probs(["organisation", "organ-", "person"], [positions[0], at(anisation=0.75, **{"an-": 0.25})])
    )
    assert found == pytest.approx({"organisation": 0.6, "organ-": 0.2, "person": 0.2})
    assert choice_log_probs(["organisation", "organ-", "person"], positions) is None


def test_white_space_before_the_choice_does_not_count():
    for positions in ([at(**{" ": 1.0}), at(人名=0.9, 地=0.1)], [at(人名=0.72, 地=0.08, **{"\n": 0.2})]):
        found = probabilities(choice_log_probs(["人名", "地名"], positions))
        assert found == pytest.approx({"人名": 0.9, "地名": 0.1})


@pytest.mark.parametrize(
    ("choices", "positions"),
    [
        (["yes", "no"], []),
        (["yes", "no"], [at(yes=0.9, sure=0.1)]),
        (["yes", "no"], [at(thoughts=0.5, yes=0.3, no=0.2)]),
        (["a", "ab"], [at(a=0.5, ab=0.5)]),
        (["xa", "xb", "c"], [at(c=0.5, x=0.3, xa=0.1, xb=0.1)]),
        (["xa", "xb"], [at(x=0.9, xa=0.05, xb=0.05)]),
    ],
    ids=[
        "no tokens",
        "choice unseen",
        "answer does not begin",
        "prefix",
        "ambiguous alternative",
        "path ends undecided",
    ],
)
def test_what_the_tokens_do_not_show_is_none(choices: list[str], positions: list[Position]):
    assert choice_log_probs(choices, positions) is None


def test_a_free_answer_that_strays_shows_the_choices_all_the_same():
    strayed = [at(The=0.5, yes=0.3, no=0.1), at(answer=1.0)]
    assert probabilities(choice_log_probs(["yes", "no"], strayed, free_answer=True)) == pytest.approx(
        {"yes": 0.75, "no": 0.25}
    )
    assert choice_log_probs(["yes", "no"], [at(The=0.5, yes=0.3)], free_answer=True) is None


@pytest.mark.parametrize(
    ("first", "choice"),
    [
        ({"The": 0.5, "per": 0.2, "person": 0.1, "no": 0.15}, "person"),
        ({"The": 0.5, "p": 0.3, "person": 0.1}, None),
        ({"The": 0.5}, None),
        (None, None),
    ],
)
def test_the_likeliest_choice_is_known_though_not_all_were_seen(first: dict[str, float] | None, choice: str | None):
    positions = [] if first is None else [at(**first)]
    assert likeliest_choice(["person", "place", "none"], positions) == choice


def test_a_choice_that_the_engine_rules_out_is_finite_and_next_to_impossible():
    found = choice_log_probs(["yes", "no"], [at(yes=1.0, no=0.0)])
    assert found is not None
    assert found["yes"] == pytest.approx(0.0)
    assert -math.inf < found["no"] < -1000


@given(st.lists(st.floats(-50, 0), min_size=2, max_size=6))
def test_log_probs_sum_to_one_and_keep_their_order(values: list[float]):
    choices = [f"{i}-label" for i in range(len(values))]
    alternatives = {choice[0]: value for choice, value in zip(choices, values, strict=True)}
    found = choice_log_probs(choices, [Position("0", alternatives)])
    assert found is not None
    assert sum(map(math.exp, found.values())) == pytest.approx(1.0)
    for i, j in zip(range(len(values)), range(1, len(values)), strict=False):
        assert found[choices[j]] - found[choices[i]] == pytest.approx(values[j] - values[i], abs=1e-6)
