"""One set of demonstrations for all questions about a text: every type shown and not shown, as far as the nearest allow."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")

from el4ner.config import DemonstrationConfig, MrcConfig
from el4ner.demos.balance import QuestionDemonstrations, choose_balanced
from el4ner.demos.retrieve import Retrieval
from el4ner.text.documents import Document
from el4ner.text.spans import Entity

TYPES = ("PER", "LOC", "ORG")


def holding(*names: str) -> Document:
    """A sentence with an entity of each of these types."""
    at = [name.split(".")[0] for name in names]
    return Document("+".join(names), "x" * 9, tuple(Entity(place, place + 1, name) for place, name in enumerate(at)))


class Ranked:
    """A retriever whose pool is ranked already."""

    def __init__(self, *documents: Document, order: str = "best-last", random: bool = False) -> None:
        self.documents, self.order, self.random = documents, order, random
        self.asked: list[dict[str, object]] = []

    def retrieve(self, text: str, spans: object, language: str, **asked: Any) -> Retrieval:
        self.asked.append(asked)
        able = [d for d in self.documents if d.entities or asked["method"] != "span"]
        found = list(enumerate(able))[: asked["k"]]
        scores = [None if self.random else 1.0 - place / 10 for place, _ in found]
        rows = list(zip([d for _, d in found], scores, strict=True))
        if self.order == "best-last":
            rows.reverse()
        elif self.order == "random":
            rows = rows[1:] + rows[:1]
        return Retrieval(tuple(d for d, _ in rows), tuple(s for _, s in rows), "span")


def test_the_best_stays_and_the_others_show_what_is_missing():
    ranked = [holding("PER"), holding("PER"), holding("LOC"), holding(), holding("LOC", "ORG")]
    assert choose_balanced(ranked, TYPES, 1) == [0]
    assert choose_balanced(ranked, TYPES, 2) == [0, 4]
    assert choose_balanced(ranked, TYPES, 3) == [0, 1, 4]


def test_without_anything_left_to_show_likeness_decides():
    ranked = [holding("PER", "LOC"), holding(), holding("ORG"), holding("PER")]
    assert choose_balanced(ranked, ("PER", "LOC"), 3) == [0, 1, 2]


def shown_needs(documents: list[Document]) -> set[tuple[str, bool]]:
    return {(name, any(e.type == name for e in d.entities or ())) for d in documents for name in TYPES}


@given(st.lists(st.sets(st.sampled_from(TYPES)), max_size=12), st.integers(0, 14))
def test_a_type_is_shown_both_ways_wherever_two_sentences_can_do_it(held: list[set[str]], count: int):
    ranked = [holding(*sorted(names)) for names in held]
    chosen = choose_balanced(ranked, TYPES, count)
    assert chosen == sorted(set(chosen)) and len(chosen) == min(count, len(ranked))
    assert not ranked or count == 0 or chosen[0] == 0
    if count >= 2 * len(TYPES):
        assert shown_needs([ranked[place] for place in chosen]) == shown_needs(ranked)


@pytest.mark.parametrize(("order", "shown"), [("best-last", ["LOC", "PER"]), ("best-first", ["PER", "LOC"])])
def test_they_stand_in_the_configured_order(order: str, shown: list[str]):
    retriever = Ranked(holding("PER"), holding("PER"), holding("LOC"), order=order)
    settings = DemonstrationConfig(k=2, order=order)
    found = QuestionDemonstrations(retriever, settings, MrcConfig(), ("PER", "LOC")).choose("text", [], "en", ("own",))
    assert [document.id for document in found] == shown
    assert retriever.asked == [{"k": 32, "exclude_ids": ("own",), "method": "span"}]


def test_a_sentence_without_spans_is_sought_by_likeness_where_span_similarity_finds_none():
    retriever = Ranked(holding("PER"), holding("PER"), holding())
    found = QuestionDemonstrations(retriever, DemonstrationConfig(k=2), MrcConfig(), ("PER",)).choose("text", [], "en")
    assert [document.id for document in found] == ["", "PER"]
    assert [asked["method"] for asked in retriever.asked] == ["span", "sentence"]


def test_unbalanced_ones_are_the_nearest():
    retriever = Ranked(holding("PER"), holding("PER"), holding("LOC"))
    settings, mrc = DemonstrationConfig(k=5), MrcConfig(balance=False, k=2)
    found = QuestionDemonstrations(retriever, settings, mrc, TYPES).choose("text", [], "en")
    assert [document.id for document in found] == ["PER", "PER"]
    assert retriever.asked == [{"k": 2, "exclude_ids": (), "method": "span"}]


def test_no_demonstrations_are_asked_for_where_none_are_wanted():
    retriever = Ranked(holding("PER"))
    assert (
        QuestionDemonstrations(retriever, DemonstrationConfig(k=3), MrcConfig(k=0), TYPES).choose("t", [], "en") == ()
    )
    assert retriever.asked == []


@pytest.mark.parametrize("method", ["random", "sentence"])
def test_in_random_order_they_are_the_same(method: str):
    documents = [holding("PER"), holding("PER"), holding()]
    settings = DemonstrationConfig(method=method, k=2, order="random")
    found = [
        QuestionDemonstrations(
            Ranked(*documents, order="random", random=method == "random"), settings, MrcConfig(), ("PER",)
        ).choose(text, [], "en")
        for text in ("one", "one", "two", "three")
    ]
    assert found[0] == found[1]
    assert {frozenset(document.id for document in shown) for shown in found} == {frozenset({"PER", ""})}
