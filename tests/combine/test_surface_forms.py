"""What candidates look like: learned from agreement, judged on other documents."""

from itertools import product

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from sklearn.feature_extraction import FeatureHasher

from el4ner.combine.corpus import estimate
from el4ner.combine.platt import logit
from el4ner.combine.surface_forms import MIN_CANDIDATES, cross_predict, surface_features, with_surface_forms
from el4ner.text.spans import Entity
from el4ner.vote.table import tabulate

FIRST = ("Ada", "Bo", "Cleo", "Dag", "Eva", "Finn", "Greta", "Hugo", "Ines", "Jon", "Kai", "Lea")
LAST = ("Berg", "Dahl", "Falk", "Holm", "Lind", "Moen", "Nord", "Ness", "Rud", "Sand", "Vik", "Wold")
TEXTS = [f"Yesterday {first} {last} spoke about nothing ." for first, last in product(FIRST, LAST)]
NAMES = [Entity(10, text.index(" spoke"), "PER") for text in TEXTS]
NOISE = [Entity(text.index("nothing"), text.index(" ."), "PER") for text in TEXTS]


def answers():
    """A member that finds every name, and two that find every third, and a common noun with every fourth document."""
    for number, (name, noise) in enumerate(zip(NAMES, NOISE, strict=True)):
        some = {name} if number % 3 == 0 else set()
        yield {"good": {name}, "poor": some, "noisy": some | ({noise} if number % 4 == 0 else set())}


@pytest.fixture
def table():
    return tabulate(list(answers()), ["good", "poor", "noisy"])


def test_what_one_member_finds_alone_is_believed_where_it_looks_like_what_all_find(table):
    right = table.contains([frozenset({name}) for name in NAMES])
    lone = right & (table.votes.sum(axis=1) == 1)
    before, after = estimate(table).probabilities, estimate(table, TEXTS).probabilities
    assert after[lone].min() > before[lone].max()
    assert after[~right].max() < before[~right].min()


def test_both_views_weigh_the_same_whatever_agreement_says(table):
    """The logit of the result is the mean of the two views' logits."""
    targets = np.linspace(0.1, 0.9, len(table))
    given = [np.full(len(table), value) for value in (0.2, 0.7)]
    logits = [logit(with_surface_forms(table, TEXTS, probabilities, targets)) for probabilities in given]
    assert logits[1] - logits[0] == pytest.approx((logit(given[1]) - logit(given[0])) / 2)
    looks = cross_predict(surface_features(table, TEXTS), targets, table.document % 5)
    assert logits[0] == pytest.approx((logit(looks) + logit(given[0])) / 2)


def test_a_probability_is_learned_from_as_so_much_right_and_the_rest_wrong():
    """Without features, a candidate is as probable as the others are on the average."""
    targets, fold = np.array([0.1, 0.2, 0.3, 0.4, 0.9, 0.5]), np.array([0, 0, 0, 1, 1, 1])
    said = cross_predict(csr_matrix((6, 2)), targets, fold)
    assert said == pytest.approx([0.6] * 3 + [0.2] * 3, abs=1e-3)


def test_the_weight_of_a_feature_is_held_near_nothing():
    """One feature that half of 400 candidates of 0.9 have, and none of those of 0.1: compared with the penalised optimum."""
    present, targets, fold = np.tile([1.0, 0.0], 400), np.tile([0.9, 0.1], 400), np.repeat([0, 1], 400)
    said = cross_predict(csr_matrix(present[:, None]), targets, fold)[:2]

    def loss(theta: np.ndarray) -> float:
        p = np.clip(1 / (1 + np.exp(-theta[0] - theta[1] * present[:400])), 1e-12, 1 - 1e-12)
        likelihood = targets[:400] * np.log(p) + (1 - targets[:400]) * np.log(1 - p)
        return float(-likelihood.sum() / 5 + theta[1] ** 2 / 2)

    offset, weight = minimize(loss, np.zeros(2)).x
    assert logit(said, 0) == pytest.approx([offset + weight, offset], abs=0.02)


@pytest.mark.parametrize(
    ("text", "mention", "inside", "beside"),
    [
        (
            "Old Anna-Marie Berg, sang",
            "Anna-Marie Berg",
            ["words 2", "shape Xx-Xx Xx", "first anna-marie", "last berg", "ends erg", "begins ann", "capital True"],
            ["before old", "before shape Xx", "after ,", "after shape ,"],
        ),
        (
            "in 1987 sang",
            "1987",
            ["words 1", "shape 9", "first 1987", "last 1987", "ends 987", "begins 198", "capital False"],
            ["before in", "before shape x", "after sang", "after shape x"],
        ),
        (
            "张三",
            "张三",
            ["words 2", "shape z z", "first 张", "last 三", "ends 张三", "begins 张三", "capital False"],
            ["before ", "before shape ", "after ", "after shape "],
        ),
    ],
)
def test_a_candidate_is_described_by_its_words_and_their_neighbours(
    text: str, mention: str, inside: list[str], beside: list[str]
):
    """Each feature for all types together, and for the type of the candidate."""
    at = text.index(mention)
    found = tabulate([{"m": {Entity(at, at + len(mention), "PER")}}], ["m"])
    named = [*inside, *beside, *(f"0 {feature}" for feature in [*inside, *beside])]
    expected = FeatureHasher(2**13, input_type="string", alternate_sign=False).transform([named])
    assert (surface_features(found, [text]).toarray() == expected.toarray()).all()


def test_no_document_is_judged_by_what_it_taught_itself(table):
    fold = table.document % 5
    features, targets = surface_features(table, TEXTS), np.linspace(0.1, 0.9, len(table))
    changed = np.where(fold == 2, 1 - targets, targets)
    same = cross_predict(features, targets, fold) == cross_predict(features, changed, fold)
    assert same[fold == 2].all() and not same[fold != 2].any()


def test_a_hundred_candidates_are_enough_to_learn_from(table):
    for count, learned in ((MIN_CANDIDATES - 1, False), (MIN_CANDIDATES, True)):
        part, known = table.take(np.arange(count)), np.full(count, 0.4)
        said = with_surface_forms(part, TEXTS, known, np.linspace(0.1, 0.9, count))
        assert (said != known).all() == learned


def test_of_few_candidates_and_of_one_document_nothing_is_learned(table):
    probabilities = np.full(len(table), 0.4)
    few = tabulate(list(answers())[: MIN_CANDIDATES // 3], ["good", "poor", "noisy"])
    assert (
        with_surface_forms(few, TEXTS, probabilities[: len(few)], probabilities[: len(few)])
        == probabilities[: len(few)]
    ).all()
    entities = {Entity(at, at + 1, "PER") for at in range(2 * MIN_CANDIDATES)}
    single = tabulate([{"good": entities, "poor": entities}], ["good", "poor"])
    known = np.full(len(single), 0.4)
    assert (with_surface_forms(single, ["x" * 2 * MIN_CANDIDATES], known, known) == known).all()


def test_equal_candidates_in_equal_places_look_the_same(table):
    features = surface_features(table, TEXTS).toarray()
    noise = np.flatnonzero(~table.contains([frozenset({name}) for name in NAMES]))
    assert (features[noise] == features[noise[0]]).all()
    assert features.sum(axis=1).min() == 2 * (7 + 2 + 2)
