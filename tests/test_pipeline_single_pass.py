"""Members of role single-pass in the pipeline: alone, beside one another, and beside the steps of the paper."""

from typing import Any

import pytest
from scripted_members import FixedRetriever, Rule, ScriptedMember, find, found, labelled, member, pipeline_of, window

from el4ner.errors import ConfigError, MemberError
from el4ner.members.base import Answer, Request

TEXT = "Ada Lovelace wrote from London to Paris."
SHOWN = labelled("shown", "Grace Hopper sailed from Boston.", PER="Grace Hopper", LOC="Boston")
ONE, TWO = {"one": {"role": "single-pass"}}, {name: {"role": "single-pass"} for name in ("one", "two")}


def marks(**types: str) -> Rule:
    """A copy with these surfaces marked: ``marks(London="location")``; underscores stand for spaces."""

    def answer(request: Request) -> str:
        text = request.copy_of or ""
        for surface, kind in types.items():
            name = surface.replace("_", " ")
            text = text.replace(name, f"[[{name}|{kind}]]")
        return text

    return answer


def marker(name: str = "one", **types: str) -> ScriptedMember:
    return ScriptedMember(name, {"mark": marks(**types)})


def test_one_call_a_window_gives_spans_and_types():
    one = marker(Ada_Lovelace="person", London="location")
    result = find(pipeline_of([one], **ONE), TEXT)
    assert found(result, TEXT) == [("Ada Lovelace", "PER"), ("London", "LOC")]
    assert result.members_answered == ("one",) and one.stages() == ["mark"]
    (asked,) = one.asked
    assert asked.copy_types == ("person", "location", "organization") and asked.copy_of == TEXT


def test_with_demonstrations_it_is_asked_again_and_its_first_spans_choose_them():
    one = ScriptedMember(
        "one",
        {"mark": lambda r: marks(**({"London": "location"} if len(r.messages) < 4 else {"Paris": "location"}))(r)},
    )
    shown = FixedRetriever(SHOWN)
    result = find(pipeline_of([one], shown, **ONE), TEXT)
    assert found(result, TEXT) == [("Paris", "LOC")]
    assert [TEXT[span.start : span.end] for span in shown.queries[0][1]] == ["London"]
    assert one.asked[1].messages[-2].content == "[[Grace Hopper|person]] sailed from [[Boston|location]]."


@pytest.mark.parametrize(("few_shot", "calls"), [(False, 1), ("doubtful", 1), (True, 2)])
def test_it_is_asked_once_where_the_members_agree_or_nothing_is_to_be_shown(few_shot: Any, calls: int):
    members = [marker(name, London="location") for name in TWO]
    pipeline = pipeline_of(members, FixedRetriever(SHOWN), settings={"extract": {"few_shot": few_shot}}, **TWO)
    assert found(find(pipeline, TEXT), TEXT) == [("London", "LOC")]
    assert [len(one.asked) for one in members] == [calls, calls]


def test_what_one_marks_and_the_other_does_not_is_put_to_the_vote():
    members = [marker("one", London="location", Paris="location"), marker("two", London="location", Paris="person")]
    result = find(pipeline_of(members, **TWO), TEXT)
    assert found(result, TEXT) == [("London", "LOC")]
    alone = [marker("one", London="location"), marker("two")]
    settings = {"classify": {"rule": "probability", "threshold": 0.4}}
    assert found(find(pipeline_of(alone, settings=settings, **TWO), TEXT), TEXT) == [("London", "LOC")]


def test_beside_members_of_the_papers_steps_its_marks_are_candidates_and_votes():
    steps = member("steps", ["Paris"], {"London": "LOC", "Paris": None})
    result = find(pipeline_of([steps, marker("one", London="location")], **ONE), TEXT)
    assert found(result, TEXT) == [("London", "LOC")]
    assert dict(result.entities[0].votes) == {"steps": "LOC", "one": "LOC"}


def test_a_cut_or_unreadable_answer_is_an_abstention():
    for reply in (Answer("[[Ada", "length"), "I see Ada.", MemberError("one", "is away")):
        rule = reply if isinstance(reply, Exception) else (lambda _, reply=reply: reply)
        result = find(
            pipeline_of([ScriptedMember("one", {"mark": rule}), marker("two", London="location")], **TWO), TEXT
        )
        assert found(result, TEXT) == [("London", "LOC")]
        assert result.members_answered == ("two",) and result.problems[0].startswith("one, mark: ")


def test_it_can_be_previewed_and_judges_nothing():
    ((stage, prompt),) = pipeline_of([marker()], **ONE).preview(window(TEXT))
    assert stage == "mark" and TEXT in prompt
    with pytest.raises(ConfigError, match="role single-pass and judges nothing"):
        pipeline_of([marker()], settings={"verify": {"member": "one"}}, **ONE)


def test_a_label_word_that_marks_cannot_hold_is_refused():
    labels = [{"name": "A", "words": {"en": "a|b"}}, {"name": "B", "words": {"en": "c"}}]
    with pytest.raises(ConfigError, match=r"label word 'a\|b' cannot stand in the typed marks"):
        pipeline_of([marker()], settings={"labels": labels}, **ONE)
    pipeline_of([member("steps")], settings={"labels": labels})
