"""Retrieval: methods, fallbacks, exclusion of the input itself, order, determinism."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from el4ner.config import DemonstrationConfig
from el4ner.demos.index import SpanIndex, gold_spans
from el4ner.demos.retrieve import Retriever
from el4ner.demos.weights import UniformWeights
from el4ner.text.spans import Span

from .conftest import span_of

TEXT = "Harbour Bank moved from Porto to Oslo."
SPANS = [span_of(TEXT, "Harbour Bank"), span_of(TEXT, "Porto")]


@pytest.fixture
def make(pool, embedder):
    index = SpanIndex.build(pool, gold_spans(pool), embedder)

    def build(seed=13, **settings):
        config = DemonstrationConfig(**{"k": 3, "weights": "uniform", **settings})
        return Retriever(config, pool, index, embedder, UniformWeights(), seed)

    return build


def ids(retrieval):
    return [demonstration.id for demonstration in retrieval.demonstrations]


def test_span_method_brings_the_best_last(make):
    retrieval = make().retrieve(TEXT, SPANS, "en")
    assert retrieval.method_used == "span" and ids(retrieval)[-1] == "bank"
    assert list(retrieval.scores) == sorted(retrieval.scores) and len(retrieval.scores) == 3


def test_best_first_is_the_reverse_and_random_order_a_permutation(make):
    last = ids(make().retrieve(TEXT, SPANS, "en"))
    assert ids(make(order="best-first").retrieve(TEXT, SPANS, "en")) == last[::-1]
    shuffled = make(order="random").retrieve(TEXT, SPANS, "en")
    assert sorted(ids(shuffled)) == sorted(last)
    best = dict(zip(last, make().retrieve(TEXT, SPANS, "en").scores, strict=True))
    assert shuffled.scores == tuple(best[name] for name in ids(shuffled))


def test_k_overrides_the_configuration_and_0_gives_none(make):
    assert len(make().retrieve(TEXT, SPANS, "en", k=1).demonstrations) == 1
    assert make().retrieve(TEXT, SPANS, "en", k=0).method_used == "none"
    assert make(method="none").retrieve(TEXT, SPANS, "en").demonstrations == ()


@pytest.mark.parametrize("method", ["span", "sentence", "random"])
def test_the_input_itself_is_never_shown(make, pool, method):
    retriever = make(method=method, k=9)
    for document_ in pool:
        text = "  " + document_.text.upper()
        shown = ids(retriever.retrieve(text, [Span(2, 5)], "zh" if document_.id.startswith("zh") else "en"))
        assert shown and document_.id not in shown


@pytest.mark.parametrize("method", ["span", "sentence", "random"])
def test_a_document_can_be_left_out_by_id(make, method):
    shown = ids(make(method=method, k=9).retrieve(TEXT, SPANS, "en", exclude_ids=["bank"]))
    assert "bank" not in shown and len(shown) >= 4


def test_demonstrations_are_in_the_same_language(make):
    assert set(ids(make(method="random", k=9).retrieve("王芳", [], "zh"))) == {"zh-city", "zh-firm", "zh-rain"}
    assert make().retrieve("bonjour", [], "fr").method_used == "none"


def test_the_nearest_sentences_are_taken_where_no_span_was_found(make):
    retrieval = make().retrieve("It rained in the morning.", [], "en")
    assert retrieval.method_used == "sentence" and len(retrieval.demonstrations) == 3


def test_spans_of_which_nothing_is_known_fall_back(make):
    assert make().retrieve("🙂 rain", [Span(0, 1)], "en").method_used == "sentence"
    assert make(method="sentence").retrieve("🙂", [], "en").method_used == "random"


def test_random_is_the_same_for_the_same_text_and_seed(make):
    first = make(method="random").retrieve(TEXT, [], "en")
    assert first == make(method="random").retrieve(TEXT, [], "en") and first.scores == (None, None, None)
    draws = {tuple(ids(make(seed, method="random").retrieve(TEXT, [], "en"))) for seed in range(8)}
    assert len(draws) > 1


def test_many_threads_get_the_same_answer(make):
    retriever = make()
    alone = retriever.retrieve(TEXT, SPANS, "en")
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: retriever.retrieve(TEXT, SPANS, "en"), range(40)))
    assert all(answer == alone for answer in answers)


def test_a_surface_that_occurs_twice_counts_once(make):
    text = "Porto, Porto, Porto and Harbour Bank"
    once = [span_of(text, "Porto"), span_of(text, "Harbour Bank")]
    twice = [*once, Span(7, 12), Span(14, 19)]
    assert make().retrieve(text, once, "en").scores == make().retrieve(text, twice, "en").scores
