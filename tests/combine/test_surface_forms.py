"""What candidates look like: learned from agreement, judged on other documents."""

from itertools import product

import numpy as np
import pytest

from el4ner.combine.corpus import estimate
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


def test_no_document_is_judged_by_what_it_taught_itself(table):
    fold = table.document % 5
    features, targets = surface_features(table, TEXTS), np.linspace(0.1, 0.9, len(table))
    changed = np.where(fold == 2, 1 - targets, targets)
    same = cross_predict(features, targets, fold) == cross_predict(features, changed, fold)
    assert same[fold == 2].all() and not same[fold != 2].any()


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
