import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from el4ner.batch.merge import Failure, MergeRules, merge, resolve_overlaps
from el4ner.batch.prediction import parse_line
from el4ner.errors import AlignmentError
from el4ner.text.documents import Document, Window
from el4ner.text.windows import cut_windows
from el4ner.vote.entities import VotedEntity, WindowResult

from .fakes import FOUND, MEMBERS, FakePipeline

RULES = MergeRules(dict.fromkeys(MEMBERS, ("en", "zh")))
WORDS = st.sampled_from(
    ["Berlin", "is", "far.", "张三", "😀", "𠮷野", "\r\n", "Anna-Lena", "e\u0301t\u00e9", "Rome", "。", "\u2028"]
)


def found_in(document, columns=40, overlap=10):
    pipeline = FakePipeline()
    windows = cut_windows(document, columns, overlap)
    return [(window, asyncio.run(pipeline.find(window))) for window in windows]


@given(st.lists(WORDS, max_size=60), st.integers(10, 80))
def test_what_stands_in_one_window_is_found_once_with_document_offsets(words, columns):
    document = Document("d", " ".join(words))
    prediction = merge(document, found_in(document, columns, columns // 2), RULES).prediction
    expected = [(match.start(), match.end(), match[0]) for match in FOUND.finditer(document.text)]
    found = [(e.start, e.end, s) for e, s in zip(prediction.entities, prediction.surfaces, strict=True)]
    assert [item for item in expected if len(item[2]) < columns // 4] == [
        item for item in found if len(item[2]) < columns // 4
    ]
    assert all(document.text[start:end] == surface for start, end, surface in found)


def entity(start, end, kind="PER", votes=3):
    given = {name: kind if index < votes else None for index, name in enumerate(MEMBERS)}
    return VotedEntity(start, end, kind, votes / len(MEMBERS), votes=given)


def test_overlaps_where_windows_meet_are_settled_by_score_then_length_then_place():
    chain = [entity(0, 6, votes=3), entity(4, 10, votes=2), entity(8, 12, votes=3)]
    assert resolve_overlaps(chain, RULES) == [chain[0], chain[2]]
    assert resolve_overlaps([entity(0, 3), entity(2, 9)], RULES) == [entity(2, 9)]
    assert resolve_overlaps([entity(0, 4), entity(3, 7)], RULES) == [entity(0, 4)]


def test_nested_entities_stay_where_they_are_wanted():
    rules = MergeRules(RULES.languages, flatten=False)
    inner, outer = entity(4, 6, "LOC"), entity(0, 9)
    assert resolve_overlaps([inner, outer, entity(8, 12, votes=1)], rules) == [outer, inner]


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9), st.integers(1, 3)), max_size=25))
def test_settled_entities_never_overlap_and_each_loser_met_a_winner(places):
    entities = list({(s, s + n): entity(s, s + n, votes=v) for s, n, v in places}.values())
    kept = resolve_overlaps(entities, RULES)
    assert all(a.end <= b.start for a, b in pairwise(kept))
    assert all(e in kept or any(e.span.overlaps(k.span) for k in kept) for e in entities)


def window(index=0, text="Anna met Rome", language="en"):
    return Window("d", index, 0, text, 0, len(text), language)


DOCUMENT = Document("d", "Anna met Rome")


def test_all_answers_everywhere_is_ok():
    prediction = merge(DOCUMENT, [(window(), WindowResult((entity(0, 4),), MEMBERS))], RULES).prediction
    assert (prediction.status, prediction.reason, prediction.members_answered) == ("ok", None, MEMBERS)


def test_a_document_without_windows_is_ok_and_asks_nobody():
    prediction = merge(Document("d", " \n"), [], RULES).prediction
    assert (prediction.status, prediction.entities, prediction.members_answered) == ("ok", (), ())


def test_a_problem_makes_it_partial_and_is_the_reason():
    result = WindowResult((entity(0, 4),), MEMBERS, ("two, classify: no answer",))
    prediction = merge(DOCUMENT, [(window(), result)], RULES).prediction
    assert (prediction.status, prediction.reason) == ("partial", "two, classify: no answer")
    assert len(prediction.entities) == 1


def test_a_member_missing_in_one_of_its_windows_has_not_answered():
    found = [(window(0), WindowResult((), MEMBERS)), (window(1), WindowResult((), ("one", "three")))]
    prediction = merge(DOCUMENT, found, RULES).prediction
    assert (prediction.status, prediction.members_answered) == ("partial", ("one", "three"))
    assert prediction.reason == "no answer from two"


def test_members_are_not_expected_in_languages_they_are_not_asked_in():
    rules = MergeRules({"one": ("en",), "two": ("zh",)})
    prediction = merge(DOCUMENT, [(window(), WindowResult((), ("one",)))], rules).prediction
    assert (prediction.status, prediction.members_answered) == ("ok", ("one",))


def test_a_window_below_the_quorum_is_a_part_without_result_and_the_others_stand():
    rules = MergeRules(RULES.languages, quorum=2)
    silent = WindowResult((entity(0, 4),), ("one",), ("two, extract: no answer",))
    text = "Anna met Rome" * 3
    windows = [Window("d", at, 13 * at, "Anna met Rome", 13 * at, 13 * at + 13, "en") for at in range(3)]
    whole = WindowResult((entity(0, 4),), MEMBERS)
    prediction = merge(
        Document("d", text), [(windows[0], whole), (windows[1], silent), (windows[2], Failure("boom"))], rules
    ).prediction
    assert (prediction.status, [(e.start, e.end) for e in prediction.entities]) == ("partial", [(0, 4)])
    assert prediction.unread == ((13, 39),)
    assert prediction.reason == (
        "window 2 of 3: 1 of 3 members answered, the quorum is 2; two, extract: no answer (and 1 more windows)"
    )
    assert parse_line(prediction.to_line(), "here").unread == prediction.unread


def test_a_document_of_which_no_window_has_the_quorum_fails_and_keeps_no_entities():
    rules = MergeRules(RULES.languages, quorum=2)
    silent = WindowResult((entity(0, 4),), ("one",), ("two, extract: no answer",))
    prediction = merge(DOCUMENT, [(window(0), silent)], rules).prediction
    assert (prediction.status, prediction.entities, prediction.unread) == ("failed", (), ())


def test_an_error_in_a_window_fails_the_document():
    found = [(window(0), Failure("boom")), (window(1), Failure("bang"))]
    outcome = merge(DOCUMENT, found, RULES)
    assert outcome.prediction.reason == "window 1 of 2: boom (and 1 more windows)"
    assert outcome.problems == ("boom", "bang")


def test_an_entity_outside_its_window_is_refused_without_quoting_it():
    with pytest.raises(AlignmentError) as caught:
        merge(DOCUMENT, [(window(), WindowResult((entity(5, 99),), MEMBERS))], RULES)
    assert "Rome" not in str(caught.value)


def test_what_is_sure_in_one_window_is_added_in_others_but_not_where_there_is_no_result():
    texts = ["We met Anna today.", " They saw Anna there.", " He likes Anna too."]
    document = Document("d", "".join(texts))
    starts = [0, len(texts[0]), len(texts[0]) + len(texts[1])]
    windows = [
        Window("d", n, at, text, at, at + len(text), "en")
        for n, (at, text) in enumerate(zip(starts, texts, strict=True))
    ]
    nothing = WindowResult((), MEMBERS)
    results = [WindowResult((entity(7, 11),), MEMBERS), nothing, Failure("gone")]
    found = list(zip(windows, results, strict=True))
    outcome = merge(document, found, RULES)
    assert [(e.start, e.source) for e in outcome.prediction.entities] == [(7, None), (28, "document")]
    assert outcome.prediction.surfaces == ("Anna", "Anna") and outcome.counts["from-document"] == 1
    again = parse_line(outcome.prediction.to_line(), "here")
    assert again == outcome.prediction
    off = MergeRules(RULES.languages, document_consistency=False)
    assert len(merge(document, found, off).prediction.entities) == 1
