"""Members of role single-pass in the pipeline: alone, beside one another, and beside the steps of the paper."""

import math
import re
from typing import Any

import pytest
from scripted_members import FixedRetriever, Rule, ScriptedMember, find, found, labelled, member, pipeline_of, window

from el4ner.batch.merge import MergeRules, merge
from el4ner.engines.base import Answer, Choice, Request
from el4ner.errors import ConfigError, MemberError
from el4ner.recognisers.proposal import Proposal
from el4ner.recognisers.rescoring import region_of
from el4ner.text.documents import Document
from el4ner.text.spans import Span
from el4ner.text.windows import cut_windows

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
    cannot = MemberError(name, "this server cannot go on from the beginning of an answer")
    return ScriptedMember(name, {"mark": marks(**types), "weigh": cannot})


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


def scored(**probabilities: float) -> Rule:
    """A copy with these surfaces marked as location, each with that probability: its opening sign has it, all else has 1."""

    def answer(request: Request) -> Answer:
        text = marks(**dict.fromkeys(probabilities, "location"))(request)
        shares = iter(probabilities.values())
        tokens = [(len(p.encode()), math.log(next(shares)) if p == "[[" else 0.0) for p in re.split(r"(\[\[)", text)]
        return Answer(text, "stop", token_log_probs=tuple(tokens))

    return answer


def test_a_mark_counts_for_as_much_as_its_tokens_are_probable():
    members = [
        ScriptedMember("one", {"mark": scored(London=0.9, Paris=0.6)}),
        ScriptedMember("two", {"mark": scored(London=0.7, Paris=0.3)}),
    ]
    settings = {"classify": {"rule": "probability", "threshold": 0.5}}
    result = find(pipeline_of(members, settings=settings, **TWO), TEXT)
    assert [(e.type, e.score) for e in result.entities] == [("LOC", 0.8)]
    assert result.counts["marks-without-probability"] == 0
    lower = {"classify": {"rule": "probability", "threshold": 0.4}}
    result = find(pipeline_of(members, settings=lower, **TWO), TEXT)
    assert [e.score for e in result.entities] == [0.8, 0.45]


def test_probabilities_of_the_first_pass_stay_with_its_spans():
    def rule(request: Request) -> Answer:
        return scored(London=0.9)(request) if len(request.messages) < 4 else scored(Paris=0.6)(request)

    one = ScriptedMember("one", {"mark": rule})
    settings = {"extract": {"few_shot": True, "keep_pre_extracted": True}}
    result = find(pipeline_of([one], FixedRetriever(SHOWN), settings=settings, **ONE), TEXT)
    assert [(TEXT[e.start : e.end], e.score) for e in result.entities] == [("London", 0.9), ("Paris", 0.6)]


def weighing(**probabilities: float) -> Rule:
    """Probabilities for the readings that mark a surface as location: ``weighing(Paris=0.8)``; the rest is for no mark."""

    def answer(request: Request) -> Choice:
        given = {choice: 1e-9 for choice in request.choices}
        for surface, chance in probabilities.items():
            given |= {choice: chance for choice in given if f"[[{surface}|location]]" in choice}
        plain = next(choice for choice in given if "[[" not in choice)
        given[plain] = max(1e-9, 1 - sum(given.values()))
        return Choice(max(given, key=given.__getitem__), {choice: math.log(p) for choice, p in given.items()})

    return answer


def test_what_members_disagree_about_is_weighed_and_nothing_else():
    one = ScriptedMember("one", {"mark": marks(London="location", Paris="location"), "weigh": weighing(Paris=0.9)})
    two = ScriptedMember("two", {"mark": marks(London="location"), "weigh": weighing(Paris=0.3)})
    settings = {"classify": {"rule": "probability", "threshold": 0.5}}
    result = find(pipeline_of([one, two], settings=settings, **TWO), TEXT)
    assert found(result, TEXT) == [("London", "LOC"), ("Paris", "LOC")]
    assert one.stages() == two.stages() == ["mark", "weigh"]
    asked = one.asked[1]
    assert asked.answer_prefix == "Ada Lovelace wrote from [[London|location]] to"
    assert asked.choices == (" Paris", " [[Paris|person]]", " [[Paris|location]]", " [[Paris|organization]]")
    assert asked.messages == one.asked[0].messages
    two = ScriptedMember("two", {"mark": marks(London="location"), "weigh": weighing(Paris=0.05)})
    assert found(find(pipeline_of([one, two], settings=settings, **TWO), TEXT), TEXT) == [("London", "LOC")]


def test_a_member_whose_mark_states_its_probability_is_not_asked_for_it():
    one = ScriptedMember("one", {"mark": scored(Paris=0.7), "weigh": weighing(Paris=0.1)})
    two = ScriptedMember("two", {"mark": marks(), "weigh": weighing(Paris=0.4)})
    settings = {"classify": {"rule": "probability", "threshold": 0.5}}
    result = find(pipeline_of([one, two], settings=settings, **TWO), TEXT)
    assert [(e.type, e.score) for e in result.entities] == [("LOC", 0.55)]
    assert (one.stages(), two.stages()) == (["mark"], ["mark", "weigh"])
    other = ScriptedMember("two", {"mark": marks(to_Paris="location"), "weigh": weighing()})
    find(pipeline_of([one, other], settings=settings, **TWO), TEXT)
    assert one.stages()[1:] == ["mark", "weigh"]


def test_candidates_that_overlap_are_readings_of_one_region():
    one = ScriptedMember("one", {"mark": marks(Ada_Lovelace="person"), "weigh": weighing()})
    two = ScriptedMember("two", {"mark": marks(Lovelace="person"), "weigh": weighing()})
    find(pipeline_of([one, two], **TWO), TEXT)
    (asked,) = [request for request in one.asked if request.stage == "weigh"]
    assert asked.answer_prefix == "" and len(asked.choices) == 7
    assert {"Ada Lovelace", "[[Ada Lovelace|person]]", "Ada [[Lovelace|person]]"} < set(asked.choices)


def test_what_a_member_cannot_weigh_is_a_full_vote():
    one = marker("one", London="location", Paris="location")
    two = marker("two", London="location")
    settings = {"classify": {"rule": "probability", "threshold": 0.5}}
    result = find(pipeline_of([one, two], settings=settings, **TWO), TEXT)
    assert found(result, TEXT) == [("London", "LOC"), ("Paris", "LOC")]
    assert result.counts["unweighed"] == 2 and not result.problems
    assert result.counts["marks-without-probability"] == 3


def test_weighing_may_be_switched_off():
    members = [marker("one", London="location"), marker("two")]
    find(pipeline_of(members, settings={"classify": {"rescore_disputed": False}}, **TWO), TEXT)
    assert [one.stages() for one in members] == [["mark"], ["mark"]]


@pytest.mark.parametrize(
    ("text", "span", "named", "start"),
    [
        ("to Paris.", (3, 8), [], 2),
        ("(Paris)", (1, 6), [], 1),
        ("Paris", (0, 5), [], 0),
        ("他说，他在北京工作", (5, 7), [], 3),
        ("张三在北京工作", (3, 5), [(0, 2)], 2),
        ("x" * 60, (50, 55), [], 26),
    ],
)
def test_a_region_begins_where_tokens_part(text: str, span: tuple[int, int], named: list[Any], start: int):
    answer = Proposal({Span(*place): ("PER",) for place in named}, complete=True)
    assert region_of([Span(*span)], text, answer).start == start


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


def test_what_it_marks_in_one_window_speaks_for_the_windows_in_which_it_overlooks_it():
    text = "At dawn Ilse Brandt rowed out. The nets were full. By noon Ilse Brandt was back on shore."

    def overlooks(request: Request) -> str:
        return marks(Ilse_Brandt="person")(request) if "dawn" in (request.copy_of or "") else str(request.copy_of)

    pipeline = pipeline_of([ScriptedMember("one", {"mark": overlooks})], **ONE)
    document = Document("d", text)
    windows = cut_windows(document, 40, 0)
    pairs = [(one, find(pipeline, one.text)) for one in windows]
    prediction = merge(document, pairs, MergeRules.of(pipeline.config, with_text=True)).prediction
    assert len(windows) > 1 and sum(len(result.entities) for _, result in pairs) == 1
    assert prediction.surfaces == ("Ilse Brandt",) * 2
    assert [(e.type, e.score, e.source) for e in prediction.entities] == [("PER", 1.0, None), ("PER", 0.75, "document")]


def test_a_first_answer_that_stands_is_weighed_after_the_prompt_that_it_answered():
    def cut_when_shown(request: Request) -> str | Answer:
        return Answer("[[", "length") if len(request.messages) > 2 else marks(London="location")(request)

    one = ScriptedMember("one", {"mark": cut_when_shown, "weigh": weighing(London=0.9)})
    two = ScriptedMember("two", {"mark": marks(), "weigh": weighing(London=0.3)})
    settings = {"extract": {"keep_pre_extracted": True}}
    find(pipeline_of([one, two], FixedRetriever(SHOWN), settings=settings, **TWO), TEXT)
    weighed = [next(r for r in member.asked if r.stage == "weigh").messages for member in (one, two)]
    assert weighed == [one.asked[0].messages, two.asked[1].messages]
    assert SHOWN.text in str(weighed[1]) and SHOWN.text not in str(weighed[0])
