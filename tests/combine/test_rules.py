"""The rules, the threshold, and the consistent set."""

import itertools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from el4ner.combine.agreement import fit_agreement
from el4ner.combine.answer_weights import answer_weights, strongest_overlapping
from el4ner.combine.confidence_bins import bin_by_confidence, confidence_quantiles
from el4ner.combine.corpus import corpus_evidence, estimate
from el4ner.combine.decision import Preference, decide
from el4ner.combine.rules import RULES, CombinationRule
from el4ner.errors import ConfigError
from el4ner.text.spans import Entity
from el4ner.vote.table import (
    ABSTAINED,
    FOUND,
    FOUND_SURE,
    FOUND_UNSURE,
    NEARLY_FOUND,
    NOT_FOUND,
    OVERLAPS_SAME_TYPE,
    MemberOutputs,
    tabulate,
)
from tests.combine.apply import combine

A, B = Entity(0, 4, "PER"), Entity(0, 4, "LOC")
WIDE, APART = Entity(0, 9, "PER"), Entity(12, 15, "ORG")
ENTITIES = st.builds(
    lambda start, length, kind: Entity(start, start + length, kind),
    st.integers(0, 12),
    st.integers(1, 5),
    st.sampled_from(["PER", "LOC"]),
)


def found(rows: list[MemberOutputs], rule: CombinationRule, **options: object) -> list[set[Entity]]:
    members = sorted({name for row in rows for name in row})
    outputs = combine(rows, members, rule, **options)  # type: ignore[arg-type]
    return [{Entity(e.start, e.end, e.type) for e in row} for row in outputs]


def row(**members: set[Entity]) -> MemberOutputs:
    return {name: frozenset(entities) for name, entities in members.items()}


@given(st.lists(st.frozensets(ENTITIES, max_size=5), min_size=1, max_size=4), st.sampled_from(RULES))
def test_every_rule_gives_flat_entities_that_somebody_found(sets: list[frozenset[Entity]], rule: CombinationRule):
    (kept,) = found([{f"m{i}": s for i, s in enumerate(sets)}], rule)
    assert kept <= frozenset().union(*sets)
    assert not any(a.span.overlaps(b.span) for a, b in itertools.combinations(kept, 2))


def test_a_tie_with_no_entity_or_between_types_gives_none_by_plurality():
    assert found([row(x={A}, y=set())], "plurality") == [set()]
    assert found([row(x={A}, y={B}, z={APART})], "plurality") == [set()]
    assert found([row(x={A}, y={A}, z={B})], "plurality") == [{A}]


def test_two_stage_pools_the_votes_of_competing_types():
    assert found([row(x={A}, y={B}, z=set())], "two-stage") == [{B}]
    assert found([row(x={A}, y=set(), z=set())], "two-stage") == [set()]


def test_an_abstention_is_no_vote_for_nothing():
    assert found([row(x={A}, y={A})], "intersection") == [{A}]
    assert found([row(x={A}, y={A}, z=set())], "intersection") == [set()]
    (output,) = combine([row(x={A}, y=set())], ["x", "y", "absent"], "union")
    assert output[0].votes == {"x": "PER", "y": None}


def test_nested_output_keeps_what_lies_inside():
    rows = [row(x={A, WIDE}, y={A, WIDE})]
    assert found(rows, "at-least", nested=True) == [{A, WIDE}]
    assert len(found(rows, "at-least")[0]) == 1


def test_at_least_zero_is_refused():
    with pytest.raises(ConfigError, match="1 or more"):
        combine([], [], "at-least", at_least=0)


def test_the_threshold_is_half_of_the_reachable_f1():
    table = tabulate([row(x={A, APART})], ["x"])
    decision = decide(table, np.array([1.0, 0.1]))
    assert decision.kept.tolist() == [True, False]
    assert decision.expected == pytest.approx(2 * 1.0 / (1 + 1.1))
    assert decision.threshold <= decision.expected / 2 + 1e-9
    assert decide(tabulate([], ["x"]), np.zeros(0)).expected == 0.0


@pytest.mark.parametrize(("prefer", "beta"), [("f1", 1.0), ("precision", 0.5), ("recall", 2.0)])
@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=12), st.floats(0, 5))
def test_no_other_set_of_apart_candidates_has_a_greater_expected_f(
    prefer: Preference, beta: float, probabilities: list[float], missing: float
):
    table = tabulate([row(x={Entity(10 * i, 10 * i + 5, "A") for i in range(len(probabilities))})], ["x"])
    decision = decide(table, np.array(probabilities), prefer=prefer, missing=missing)
    ranked = sorted(probabilities, reverse=True)
    right = sum(probabilities) + missing
    reached = [(1 + beta**2) * sum(ranked[:k]) / (k + beta**2 * right) for k in range(1, len(ranked) + 1)]
    assert decision.expected == pytest.approx(max(reached), abs=1e-6)
    assert decision.threshold == pytest.approx(decision.expected / (1 + beta**2))
    assert reached[decision.kept.sum() - 1] == pytest.approx(max(reached), abs=1e-6)


@pytest.mark.parametrize(("prefer", "kept"), [("precision", 1), ("f1", 2), ("recall", 3)])
def test_what_is_preferred_moves_the_threshold(prefer: Preference, kept: int):
    table = tabulate([row(x={Entity(10 * i, 10 * i + 5, "A") for i in range(3)})], ["x"])
    assert decide(table, np.array([0.95, 0.6, 0.3]), prefer=prefer).kept.sum() == kept


def test_codes_tell_overlaps_omission_abstention_and_confidence():
    moved = Entity(1, 4, "PER")
    rows = [{"x": {A: 0.9, APART: 0.2, Entity(20, 22, "A"): 0.5}, "y": frozenset({moved}), "z": frozenset()}]
    table = tabulate(rows, ["x", "y", "z", "absent"])
    codes = bin_by_confidence(table, confidence_quantiles(table))
    assert codes[0].tolist() == [FOUND_SURE, OVERLAPS_SAME_TYPE, NOT_FOUND, ABSTAINED]
    assert table.entity(1) == moved
    assert codes[1].tolist() == [OVERLAPS_SAME_TYPE, FOUND, NOT_FOUND, ABSTAINED]
    assert codes[2].tolist() == [FOUND_UNSURE, NOT_FOUND, NOT_FOUND, ABSTAINED]
    assert table.n_overlapping.tolist() == [1, 1, 0, 0]
    assert strongest_overlapping(table, np.array([0.3, 0.6, 0.1, 0.1]))[:2].tolist() == [0.6, 0.3]


def test_a_overlapping_candidate_counts_where_it_foretells_a_further_vote():
    helpful = [[FOUND, FOUND, OVERLAPS_SAME_TYPE]] * 50 + [[FOUND, NOT_FOUND, NOT_FOUND]] * 50
    hollow = [[FOUND, FOUND, NOT_FOUND]] * 50 + [[FOUND, NOT_FOUND, OVERLAPS_SAME_TYPE]] * 50
    both = [[FOUND, FOUND, FOUND]] * 50
    assert answer_weights(np.array(helpful + both, dtype=np.int8))[OVERLAPS_SAME_TYPE] > 0.5
    assert answer_weights(np.array(hollow + both, dtype=np.int8))[OVERLAPS_SAME_TYPE] < 0
    assert answer_weights(np.array([[FOUND, NOT_FOUND]], dtype=np.int8)).tolist() == [0, 0, 0, 0, 0, 1, 1, 1]


def test_the_corpus_speaks_for_a_surface_that_is_an_entity_elsewhere():
    texts = ["Ada sat.", "Ada ran.", "ada hid.", "Bob sat.", "Bob, Bob."]
    first, other = Entity(0, 3, "PER"), Entity(0, 3, "LOC")
    rows = [row(x={first}), row(x={first}), row(x={first, other}), row(x={first}), row(x=set())]
    table = tabulate(rows, ["x"])
    codes = corpus_evidence(table, texts, np.ones(len(table))).codes
    said = {(int(d), table.types[k]): int(c) for d, k, c in zip(table.document, table.type, codes, strict=True)}
    assert said == {
        (0, "PER"): FOUND_SURE,
        (1, "PER"): FOUND_SURE,
        (2, "PER"): FOUND_SURE,
        (2, "LOC"): NOT_FOUND,
        (3, "PER"): NOT_FOUND,
    }
    assert (
        corpus_evidence(table, ["Ada", "Eve", "Joe", "Kim", "-"], np.ones(len(table))).codes.tolist() == [ABSTAINED] * 5
    )


@pytest.mark.parametrize(
    ("elsewhere", "said"), [(1.0, FOUND_SURE), (0.8, FOUND), (0.3, NEARLY_FOUND), (0.1, NOT_FOUND)]
)
def test_the_corpus_is_as_sure_as_the_probability_elsewhere(elsewhere, said):
    texts = ["Ada sat.", "Ada ran.", *(f"Eve{n} hid." for n in range(30))]
    table = tabulate([row(x={Entity(0, 3, "PER")})] * len(texts), ["x"])
    probabilities = np.array([1.0, elsewhere, *[1.0] * 30])
    assert decide(table, probabilities).threshold == pytest.approx(0.5, abs=0.02)
    assert corpus_evidence(table, texts, probabilities).codes[0] == said


def test_what_the_corpus_says_moves_the_probability():
    texts = ["Ada sat."] * 20 + ["Bob sat."] * 20
    rows = [row(x={Entity(0, 3, "PER")}, y={Entity(0, 3, "PER")}, z=set()) for _ in range(19)] + [
        row(x={Entity(0, 3, "PER")}, y=set(), z=set())
    ]
    rows += [row(x={Entity(0, 3, "PER")}, y=set(), z=set())] + [row(x=set(), y=set(), z=set()) for _ in range(19)]
    table = tabulate(rows, ["x", "y", "z"])
    per_document = estimate(table).probabilities
    heard = estimate(table, texts).probabilities
    assert per_document[19] == pytest.approx(per_document[20])
    assert heard[19] > heard[20] + 0.1


def ensemble(
    recalls: list[float], noise: list[int], n_documents: int = 100
) -> tuple[list[MemberOutputs], list[set[Entity]]]:
    """Independent members that find planted entities, and invent others."""
    rng = random.Random(5)
    rows, gold = [], []
    for _ in range(n_documents):
        planted = {Entity(10 * i, 10 * i + 5, rng.choice("AB")) for i in range(4)}
        answers = {}
        for index, (recall, wrong) in enumerate(zip(recalls, noise, strict=True)):
            hits = {e for e in planted if rng.random() < recall}
            invented = {Entity(s, s + 3, rng.choice("AB")) for s in rng.sample(range(100, 400, 4), wrong)}
            answers[f"m{index}"] = frozenset(hits | invented)
        rows.append(answers)
        gold.append(planted)
    return rows, gold


def f1(outputs: list[set[Entity]], gold: list[set[Entity]]) -> float:
    right = sum(len(a & b) for a, b in zip(outputs, gold, strict=True))
    return 2 * right / (sum(map(len, outputs)) + sum(map(len, gold)))


def test_agreement_notices_the_clearly_better_member():
    rows, gold = ensemble([0.95, 0.4, 0.4, 0.4], [0, 3, 3, 3])
    model = fit_agreement(tabulate(rows, ["m0", "m1", "m2", "m3"]))
    assert model.discrimination.argmax() == model.reliability.argmax() == 0
    combined = f1(found(rows, "agreement"), gold)
    assert combined > max(f1(found(rows, "at-least", at_least=k), gold) for k in (1, 2, 3, 4)) + 0.1
    assert combined > f1([set(r["m0"]) for r in rows], gold) - 0.02


def test_of_seven_candidates_members_are_as_probable_as_they_can_be_under_the_prior():
    """Compared with a search for the greatest posterior: of candidates that somebody marked, of a standard normal trait, of
    members whose easiness is near -2 (precision 0.05) and whose discrimination is near 1.5 (precision 4)."""
    rows, _ = ensemble([0.9, 0.6, 0.5], [0, 1, 2], 1)
    table = tabulate(rows, ["m0", "m1", "m2"])
    model = fit_agreement(table)
    trait = np.linspace(-4, 4, 33)
    share = np.exp(-(trait**2) / 2) / np.exp(-(trait**2) / 2).sum()
    marked = model.evidence(table)[:, :, None]

    def loss(theta: np.ndarray) -> float:
        marks = 1 / (1 + np.exp(-theta[:3, None] - theta[3:, None] * trait))
        likelihood = (marks**marked * (1 - marks) ** (1 - marked)).prod(axis=1) @ share
        seen = 1 - (1 - marks).prod(axis=0) @ share
        prior = 0.05 * (theta[:3] + 2) ** 2 + 4 * (theta[3:] - 1.5) ** 2
        return float(-np.log(likelihood / seen).sum() + prior.sum() / 2)

    best = minimize(loss, np.repeat([-2.0, 1.5], 3)).x
    assert model.easiness == pytest.approx(best[:3], abs=0.04)
    assert model.discrimination == pytest.approx(best[3:], abs=0.01)


def test_probabilities_do_not_depend_on_the_order_of_members_or_documents():
    rows, _ = ensemble([0.8, 0.6, 0.5], [1, 2, 2], 40)
    table, turned = tabulate(rows, ["m0", "m1", "m2"]), tabulate(rows[::-1], ["m2", "m0", "m1"])
    probabilities = {(39 - int(turned.document[i]), turned.entity(i)): p for i, p in enumerate(_probabilities(turned))}
    for i, p in enumerate(_probabilities(table)):
        assert probabilities[int(table.document[i]), table.entity(i)] == pytest.approx(p, abs=1e-6)


def _probabilities(table) -> list[float]:  # type: ignore[no-untyped-def]
    return fit_agreement(table).probabilities(table).tolist()


def test_a_further_vote_never_lowers_a_probability():
    rows, _ = ensemble([0.8, 0.6, 0.5], [1, 2, 2], 60)
    table = tabulate(rows, ["m0", "m1", "m2"])
    probabilities = {tuple(v): p for v, p in zip(table.votes.tolist(), _probabilities(table), strict=True)}
    for votes, p in probabilities.items():
        for other, q in probabilities.items():
            if all(a <= b for a, b in zip(votes, other, strict=True)) and not table.n_overlapping.any():
                assert p <= q + 1e-9


@pytest.mark.parametrize("rule", RULES)
def test_one_member_or_none_is_no_trouble(rule: CombinationRule):
    assert found([row(x={A})], rule) == [set() if rule == "at-least" else {A}]
    assert combine([{}, row(x=set())], ["x"], rule) == [(), ()]


def test_agreement_beats_every_one_of_equal_members():
    rows, gold = ensemble([0.6] * 5, [2] * 5)
    singles = [f1([set(r[f"m{i}"]) for r in rows], gold) for i in range(5)]
    assert f1(found(rows, "agreement"), gold) > max(singles) + 0.1


def test_prefer_moves_the_number_of_entities():
    rows, _ = ensemble([0.6] * 5, [2] * 5)
    sizes = [sum(map(len, found(rows, "agreement", prefer=p))) for p in ("precision", "f1", "recall")]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2]
