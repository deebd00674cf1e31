import pytest
from hypothesis import given
from seqeval.metrics import classification_report
from seqeval.scheme import IOB2

from el4ner.scoring.counts import Counts, document_counts, macro, micro, span_counts, strict_counts
from el4ner.text.spans import Entity

from .strategies import decode, labellings, tag_corpora


@given(tag_corpora())
def test_flat_data_agrees_with_seqeval(corpus):
    gold, predicted = corpus
    expected = classification_report(gold, predicted, mode="strict", scheme=IOB2, output_dict=True, zero_division=0)
    ours = strict_counts([decode(tags) for tags in gold], [decode(tags) for tags in predicted])
    rows = {**ours, "micro avg": micro(ours), "macro avg": macro(ours)}
    assert set(ours) == set(expected) - {"micro avg", "macro avg", "weighted avg"}
    for name, scores in rows.items():
        assert scores.precision == pytest.approx(expected[name]["precision"])
        assert scores.recall == pytest.approx(expected[name]["recall"])
        assert scores.f1 == pytest.approx(expected[name]["f1-score"])
    assert {name: counts.gold for name, counts in ours.items()} == {name: expected[name]["support"] for name in ours}


def test_nested_entities_by_hand():
    university, city = Entity(0, 20, "ORG"), Entity(14, 20, "LOC")
    gold = [frozenset({university, city})]
    predicted = [frozenset({university, Entity(14, 20, "ORG"), Entity(0, 10, "ORG")})]
    counts = strict_counts(gold, predicted)
    assert counts == {"LOC": Counts(tp=0, fp=0, fn=1), "ORG": Counts(tp=1, fp=2, fn=0)}
    assert micro(counts) == Counts(tp=1, fp=2, fn=1)
    assert micro(counts).f1 == pytest.approx(2 / 5)
    assert span_counts(gold, predicted) == Counts(tp=2, fp=1, fn=0)


def test_one_span_under_two_types_is_two_entities_but_one_span():
    gold = [frozenset({Entity(0, 4, "LOC"), Entity(0, 4, "ORG")})]
    predicted = [frozenset({Entity(0, 4, "LOC")})]
    assert micro(strict_counts(gold, predicted)) == Counts(tp=1, fp=0, fn=1)
    assert span_counts(gold, predicted) == Counts(tp=1, fp=0, fn=0)


def test_predictions_in_documents_without_entities_cost_precision():
    entity = Entity(0, 3, "PER")
    gold = [frozenset({entity}), frozenset()]
    scores = micro(strict_counts(gold, [frozenset({entity}), frozenset({entity})]))
    assert (scores.precision, scores.recall) == (0.5, 1.0)


def test_nothing_to_count_gives_zero():
    assert strict_counts([frozenset()], [frozenset()]) == {}
    assert (micro({}).precision, micro({}).recall, micro({}).f1) == (0.0, 0.0, 0.0)
    assert macro({}).f1 == 0.0
    assert document_counts([], []).shape == (0, 3)


def test_macro_is_the_mean_over_types():
    by_type = {"LOC": Counts(1, 0, 0), "ORG": Counts(0, 1, 2), "PER": Counts(1, 1, 0)}
    averages = macro(by_type)
    assert averages.precision == pytest.approx((1 + 0 + 1 / 2) / 3)
    assert averages.recall == pytest.approx((1 + 0 + 1) / 3)
    assert averages.f1 == pytest.approx((1 + 0 + 2 / 3) / 3)


def test_documents_must_correspond():
    with pytest.raises(ValueError, match="zip"):
        strict_counts([frozenset()], [])


@given(labellings)
def test_documents_add_up_to_the_corpus(corpus):
    gold, predicted = [wanted for wanted, _ in corpus], [found for _, found in corpus]
    total = micro(strict_counts(gold, predicted))
    assert document_counts(gold, predicted).sum(axis=0).tolist() == [total.tp, total.fp, total.fn]
    assert total.gold == sum(map(len, gold))
    assert total.predicted == sum(map(len, predicted))


@given(labellings)
def test_swapping_gold_and_predictions_swaps_precision_and_recall(corpus):
    gold, predicted = [wanted for wanted, _ in corpus], [found for _, found in corpus]
    there, back = micro(strict_counts(gold, predicted)), micro(strict_counts(predicted, gold))
    assert (there.precision, there.recall, there.f1) == (back.recall, back.precision, back.f1)
