"""Members of role mrc in the pipeline: alone, and beside members that go through the paper's steps."""

from collections.abc import Sequence
from typing import Any

import pytest
from scripted_members import FixedRetriever, Rule, ScriptedMember, find, found, labelled, member, pipeline_of, window

from el4ner.demos.retrieve import Retrieval
from el4ner.engines.base import Request
from el4ner.errors import ConfigError, MemberError
from el4ner.text.spans import Span
from el4ner.vote.votes import Candidate

TEXT = "Ada Lovelace wrote from London to Paris."
TYPES = {"Ada Lovelace": "PER", "London": "LOC", "Paris": "LOC"}
SHOWN = labelled("shown", "Grace Hopper sailed from Boston.", PER="Grace Hopper", LOC="Boston")
MRC = {"glm": {"role": "mrc"}}


class Pool(FixedRetriever):
    """Shows the same demonstrations, also where a number is asked for."""

    def retrieve(self, text: str, spans: Sequence[Span], language: str, **_: Any) -> Retrieval:
        return super().retrieve(text, spans, language)


def rule(answers: dict[str, Any]) -> Rule:
    """Answers by the asked word: ``{"person": "Ada Lovelace"}``; what is not named is answered none."""

    def answer(request: Request) -> str:
        reply = next(
            (r for word, r in answers.items() if word in request.messages[-1].content.rsplit(" : ", 1)[1]), "none"
        )
        if isinstance(reply, Exception):
            raise reply
        return str(reply)

    return answer


def reader(**answers: Any) -> ScriptedMember:
    """A member of role mrc."""
    return ScriptedMember("glm", {"mrc": rule(answers)})


def test_it_runs_alone():
    glm = reader(person="Ada Lovelace", location="London; Paris")
    result = find(pipeline_of([glm], **MRC), TEXT)
    assert found(result, TEXT) == [("Ada Lovelace", "PER"), ("London", "LOC"), ("Paris", "LOC")]
    assert [dict(entity.votes) for entity in result.entities] == [{"glm": "PER"}, {"glm": "LOC"}, {"glm": "LOC"}]
    assert result.members_answered == ("glm",)
    assert glm.stages() == ["mrc"] * 3


def test_an_answer_of_none_to_every_question_is_an_answer():
    result = find(pipeline_of([reader()], **MRC), TEXT)
    assert (result.entities, result.members_answered, result.problems) == ((), ("glm",), ())


def test_alone_it_is_verified_by_nobody():
    result = find(pipeline_of([reader(person="Ada Lovelace")], settings={"verify": {"mode": "one"}}, **MRC), TEXT)
    assert [entity.verdicts for entity in result.entities] == [{}]


def test_it_adds_candidates_and_votes_and_judges_nothing():
    glm = reader(person="Ada Lovelace", location="Paris")
    other = member("b", ["London"], TYPES)
    settings = {"verify": {"mode": "all"}, "batch": {"candidates": True}, "classify": {"tie": "order"}}
    result = find(pipeline_of([glm, other], settings=settings, **MRC), TEXT)
    votes = {c.span.surface(TEXT): {n: (b.type, b.found) for n, b in c.votes.items()} for c in result.candidates}
    assert votes == {
        "Ada Lovelace": {"glm": ("PER", True), "b": ("PER", False)},
        "London": {"glm": (None, False), "b": ("LOC", True)},
        "Paris": {"glm": ("LOC", True), "b": ("LOC", False)},
    }
    assert isinstance(result.candidates[0], Candidate)
    assert found(result, TEXT) == [("Ada Lovelace", "PER"), ("London", "LOC"), ("Paris", "LOC")]
    assert all(entity.verdicts for entity in result.entities)
    assert other.stages() == ["pre-extract", *["classify"] * 3, *["verify"] * 3]
    assert glm.stages() == ["mrc"] * 3


def test_where_an_answer_is_lost_it_abstains_on_what_it_did_not_name():
    glm = reader(person="Ada Lovelace", organization=MemberError("glm", "gone"))
    result = find(pipeline_of([glm, member("b", ["London"], TYPES)], **MRC), TEXT)
    assert {e.span.surface(TEXT): dict(e.votes) for e in result.entities} == {
        "Ada Lovelace": {"glm": "PER", "b": "PER"},
        "London": {"b": "LOC"},
    }
    assert result.problems == ("glm, mrc: gone",)


def test_one_that_cannot_answer_at_all_has_not_answered():
    gone = MemberError("glm", "gone")
    glm = reader(person=gone, location=gone, organization=gone)
    assert find(pipeline_of([glm], **MRC), TEXT).members_answered == ()
    result = find(pipeline_of([glm, member("b", ["London"], TYPES)], **MRC), TEXT)
    assert result.members_answered == ("b",) and found(result, TEXT) == [("London", "LOC")]


def test_its_vote_weighs_what_the_configuration_says():
    glm, other = reader(person="London"), member("b", ["London"], TYPES)
    heavy = {"glm": {"role": "mrc", "weight": {"en": 3}}}
    assert found(find(pipeline_of([glm, other], **heavy), TEXT), TEXT) == [("London", "PER")]


def test_demonstrations_are_chosen_by_the_spans_of_the_others():
    glm, pool = reader(location="Paris"), Pool(SHOWN)
    find(pipeline_of([glm, member("b", ["London"], TYPES)], pool, **MRC), TEXT)
    london = Span(TEXT.index("London"), TEXT.index(" to"))
    assert {tuple(spans) for _, spans, _ in pool.queries} == {(london,)}
    assert SHOWN.text in glm.asked[0].messages[-1].content


def test_alone_its_own_zero_shot_answers_choose_them():
    glm, pool = reader(location="Paris"), Pool(SHOWN)
    find(pipeline_of([glm], pool, **MRC), TEXT)
    assert {tuple(spans) for _, spans, _ in pool.queries} == {(Span(TEXT.index("Paris"), len(TEXT) - 1),)}
    assert [SHOWN.text in request.messages[-1].content for request in glm.asked] == [False] * 3 + [True] * 3


def changing(first: dict[str, Any], later: dict[str, Any]) -> ScriptedMember:
    """A member of role mrc that answers otherwise once it is shown something."""
    before, after = rule(first), rule(later)
    rules = {"mrc": lambda request: (after if SHOWN.text in request.messages[-1].content else before)(request)}
    return ScriptedMember("glm", rules)


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        (False, [("Lovelace", "PER"), ("Paris", "LOC")]),
        (True, [("Lovelace", "PER"), ("London", "LOC"), ("Paris", "LOC")]),
    ],
)
def test_alone_its_zero_shot_answers_are_kept_where_the_later_say_nothing(keep: bool, expected: list[tuple[str, str]]):
    glm = changing({"person": "Ada Lovelace", "location": "London"}, {"person": "Lovelace", "location": "Paris"})
    settings = {"extract": {"keep_pre_extracted": keep}}
    result = find(pipeline_of([glm], Pool(SHOWN), settings, **MRC), TEXT)
    assert found(result, TEXT) == expected
    assert [dict(entity.votes) for entity in result.entities] == [{"glm": kind} for _, kind in expected]


def test_what_the_nearest_sentences_name_is_added_where_it_overlaps_nothing():
    pool = labelled("pool", "Ada of London came to Paris.", PER="Ada", LOC="London", ORG="Paris")
    glm = reader(person="Ada Lovelace", location="Paris")
    for many, expected in ((0, []), (1, [("London", "LOC")])):
        result = find(
            pipeline_of([glm], Pool(pool), {"mrc": {"lookup": many}, "pool": {"path": "pool.jsonl"}}, **MRC), TEXT
        )
        assert found(result, TEXT) == [("Ada Lovelace", "PER"), *expected, ("Paris", "LOC")]


def test_nothing_can_be_looked_up_without_a_pool():
    with pytest.raises(ConfigError, match=r"mrc\.lookup looks mentions up in the pool; set pool\.path"):
        pipeline_of([reader()], settings={"mrc": {"lookup": 2}}, **MRC)


def test_zero_shot_answers_stand_in_for_later_ones_that_were_lost():
    gone = MemberError("glm", "gone")
    glm = changing({"location": "London"}, {"person": gone, "location": gone, "organization": gone})
    for keep, expected in ((False, []), (True, [("London", "LOC")])):
        result = find(pipeline_of([glm], Pool(SHOWN), {"extract": {"keep_pre_extracted": keep}}, **MRC), TEXT)
        assert found(result, TEXT) == expected and "glm, mrc: gone (3 times)" in result.problems


@pytest.mark.parametrize(("retriever", "method"), [(None, "span"), (Pool(SHOWN), "sentence"), (Pool(SHOWN), "random")])
def test_alone_it_is_asked_once_where_spans_choose_nothing(retriever: Any, method: str):
    glm = reader(location="Paris")
    find(pipeline_of([glm], retriever, {"demonstrations": {"method": method}}, **MRC), TEXT)
    assert len(glm.asked) == 3


def test_the_preview_shows_one_question():
    pipeline = pipeline_of([member("b"), reader()], Pool(SHOWN), **MRC)
    shown = dict(pipeline.preview(window(TEXT)))
    assert list(shown) == ["pre-extract", "extract", "classify", "verify", "mrc"]
    assert TEXT in shown["mrc"] and SHOWN.text in shown["mrc"]
    assert list(dict(pipeline_of([reader()], **MRC).preview(window(TEXT)))) == ["mrc"]


def test_questions_are_part_of_the_provenance():
    templates = pipeline_of([member("b"), reader()], **MRC).provenance()["templates"]
    assert [name.split("@")[0] for name in templates] == ["mrc-v1/compact", "v1/compact"]


def test_it_can_be_no_judge():
    with pytest.raises(ConfigError, match="'glm' has role mrc and judges nothing"):
        pipeline_of([reader(), member("b")], settings={"verify": {"mode": "one", "member": "glm"}}, **MRC)


def test_its_answers_are_no_json():
    with pytest.raises(ConfigError, match="leave answer_format out"):
        pipeline_of([reader()], glm={"role": "mrc", "answer_format": "json"})
