"""One window through all stages, with members that answer from rules."""

import asyncio
from math import log

import numpy as np
import pytest
from scripted_members import (
    FixedRetriever,
    ScriptedMember,
    find,
    found,
    judging,
    labelled,
    marking,
    member,
    pipeline_of,
    probable,
    typing,
    weighing,
    window,
)

from el4ner.config import DemonstrationConfig
from el4ner.demos.index import SpanIndex, gold_spans
from el4ner.demos.retrieve import Retriever
from el4ner.demos.weights import build_weights
from el4ner.engines.base import Answer, Choice
from el4ner.errors import MemberError
from el4ner.prompts.copying import escape_marks
from el4ner.recognisers.base import WindowContext
from el4ner.text.spans import Span

TEXT = "Ada Lovelace wrote from London to Paris."
TYPES = {"Ada Lovelace": "PER", "London": "LOC", "Paris": "LOC"}
SHOWN = labelled("shown", "Grace Hopper sailed from Boston.", PER="Grace Hopper", LOC="Boston")
EVERYTHING_FAILS = dict.fromkeys(("pre_extract", "extract", "classify", "verify"), MemberError("bad", "refused"))


def test_the_spans_of_all_members_are_united_and_every_member_votes_on_each():
    a = member("a", ["Ada Lovelace"], TYPES)
    b = member("b", ["London"], TYPES)
    result = find(pipeline_of([a, b]), TEXT)
    assert found(result, TEXT) == [("Ada Lovelace", "PER"), ("London", "LOC")]
    assert [dict(entity.votes) for entity in result.entities] == [{"a": "PER", "b": "PER"}, {"a": "LOC", "b": "LOC"}]
    assert all(entity.score == 1.0 and not entity.verdicts for entity in result.entities)
    assert result.score_kind == "votes"
    assert result.members_answered == ("a", "b")
    assert result.problems == ()


@pytest.mark.parametrize(("keep", "expected"), [(False, ["Paris"]), (True, ["London", "Paris"])])
def test_zero_shot_spans_choose_demonstrations_and_are_candidates_only_if_kept(keep: bool, expected: list[str]):
    a = member("a", ["Paris"], TYPES, pre_extract=marking("London"))
    retriever = FixedRetriever(SHOWN)
    result = find(pipeline_of([a], retriever, {"extract": {"keep_pre_extracted": keep}}), TEXT)
    assert [surface for surface, _ in found(result, TEXT)] == expected
    assert retriever.queries == [(TEXT, [Span(TEXT.index("London"), TEXT.index(" to"))], "en")]
    assert a.stages()[:2] == ["pre-extract", "extract"]


def test_without_few_shot_there_is_one_extraction_a_member():
    a = member("a", ["Paris"], TYPES)
    find(pipeline_of([a], FixedRetriever(SHOWN), {"extract": {"few_shot": False}}), TEXT)
    assert a.stages() == ["pre-extract", "classify"]


@pytest.mark.parametrize(
    ("marked", "asked_again"),
    [((["Paris"], ["Paris"]), False), ((["Paris"], []), True), (([], []), False), ((["Paris"],), True)],
)
def test_doubtful_shows_demonstrations_only_where_members_disagree(marked: tuple[list[str], ...], asked_again: bool):
    members = [
        member(name, ["London"], TYPES, pre_extract=marking(*surfaces))
        for name, surfaces in zip("ab", marked, strict=False)
    ]
    result = find(pipeline_of(members, FixedRetriever(SHOWN), {"extract": {"few_shot": "doubtful"}}), TEXT)
    assert all(("extract" in one.stages()) == asked_again for one in members)
    assert [surface for surface, _ in found(result, TEXT)] == (["London"] if asked_again else marked[0])


def test_members_that_are_shown_the_same_share_one_retrieval():
    members, retriever = [member("a", ["Paris"], TYPES), member("b", ["London"], TYPES)], FixedRetriever(SHOWN)
    find(pipeline_of(members, retriever), TEXT)
    assert len(retriever.queries) == 1
    assert all(SHOWN.text in str(one.asked[1].messages) for one in members)


def test_a_mention_leaked_from_a_demonstration_is_counted_and_dropped():
    answers = member("a", [], TYPES, extract='["Boston", "Atlantis", "Paris"]')
    result = find(pipeline_of([answers], FixedRetriever(SHOWN), a={"answer_format": "json"}), TEXT)
    assert found(result, TEXT) == [("Paris", "LOC")]
    assert result.counts["leaked-from-demonstration"] == 1
    assert result.counts["not-in-text"] == 3


@pytest.mark.parametrize("answer", ["I cannot help with that.", "", "<think>let me see", Answer("[[Ada", "length")])
def test_an_unreadable_answer_is_an_abstention_and_never_an_empty_one(answer: object):
    broken = member("broken", [], TYPES, extract=lambda request: answer)
    result = find(pipeline_of([broken, member("b", ["Paris"], TYPES)]), TEXT)
    assert result.members_answered == ("b",)
    assert len(result.problems) == 1
    assert result.problems[0].startswith("broken, pre-extract: ")
    assert result.counts["unreadable-answer"] == 1
    assert found(result, TEXT) == [("Paris", "LOC")]


def test_a_member_that_fails_in_the_few_shot_pass_has_not_answered():
    late = member("late", [], TYPES, pre_extract=marking("Paris"), extract=MemberError("late", "gone"))
    result = find(pipeline_of([late], FixedRetriever(SHOWN)), TEXT)
    assert result.members_answered == ()
    assert result.problems == ("late, extract: gone",)


def test_a_member_that_votes_on_nothing_has_not_answered():
    mute = member("mute", ["Paris"], TYPES, classify=MemberError("mute", "gone"))
    assert find(pipeline_of([mute, member("b", ["London"], TYPES)]), TEXT).members_answered == ("b",)
    assert find(pipeline_of([mute]), TEXT).members_answered == ()


def test_a_member_that_fails_everywhere_does_not_stop_the_others():
    bad = member("bad", **EVERYTHING_FAILS)
    pipeline = pipeline_of([bad, member("b", ["Paris"], TYPES)], FixedRetriever(SHOWN), {"verify": {"mode": "all"}})
    result = find(pipeline, TEXT)
    assert found(result, TEXT) == [("Paris", "LOC")]
    assert result.entities[0].votes == {"b": "LOC"}
    assert result.entities[0].verdicts == {"b": True}
    assert [problem.split(":")[0] for problem in result.problems] == [
        "bad, pre-extract",
        "bad, extract",
        "bad, classify",
        "bad, verify",
    ]
    assert result.counts["no-answer"] == 4


def test_where_every_member_fails_nobody_has_answered():
    result = find(pipeline_of([member("bad", **EVERYTHING_FAILS)]), TEXT)
    assert (result.entities, result.members_answered) == ((), ())
    assert result.problems


def test_problems_and_counts_hold_no_document_text():
    members = [
        member("a", [], {}, extract="Lovelace sends her regards, and refuses"),
        member("b", [], {}, extract="<think>London or Paris"),
        member("c", [], {}, extract='["London", "Par'),
        member("d", **EVERYTHING_FAILS),
    ]
    result = find(pipeline_of(members, FixedRetriever(SHOWN), c={"answer_format": "json"}), TEXT)
    said = " ".join([*result.problems, *result.counts])
    assert len(result.problems) == 8
    for word in ("Ada", "Lovelace", "London", "Paris", "Grace", "Boston"):
        assert word not in said


def test_a_bug_is_no_abstention():
    broken = member("broken", [], TYPES, extract=ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        find(pipeline_of([broken]), TEXT)


def test_the_first_demonstrations_are_dropped_until_the_prompt_fits():
    others = [labelled(str(i), f"Sentence {i} names Oslo.", LOC="Oslo") for i in range(2)]
    small = member("small", ["Paris"], TYPES, fits=3)
    result = find(pipeline_of([small], FixedRetriever(*others, SHOWN)), TEXT)
    assert found(result, TEXT) == [("Paris", "LOC")]
    answered = [request for request in small.asked if request.stage == "extract"][-1]
    assert [message.content for message in answered.messages if message.role == "assistant"] == [
        "[[Grace Hopper]] sailed from [[Boston]]."
    ]
    assert result.counts["demonstration-too-long"] == 4
    assert result.problems == ()


def test_a_text_that_fits_no_context_is_an_abstention():
    tiny = member("tiny", ["Paris"], TYPES, fits=0)
    result = find(pipeline_of([tiny], FixedRetriever(SHOWN)), TEXT)
    assert result.members_answered == ()
    assert "do not fit" in result.problems[0]


class LetterEmbedder:
    """Counts of letters: enough for nearest sentences."""

    dim, fingerprint = 26, "letters"

    def encode(self, texts):
        rows = np.array([[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts], dtype=np.float32)
        rows = rows.reshape(len(texts), 26)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


@pytest.mark.parametrize("method", ["span", "sentence", "random"])
@pytest.mark.parametrize("text", [TEXT, "See [[Paris]] and London."])
def test_the_sentence_itself_is_never_its_demonstration(method: str, text: str):
    pool = [labelled("self", text, LOC="Paris"), labelled("same", f" {text.upper()} ", LOC="PARIS"), SHOWN]
    settings = DemonstrationConfig(method=method, k=3, weights="uniform")
    embedder = LetterEmbedder()
    index = SpanIndex.build(pool, gold_spans(pool), embedder)
    retriever = Retriever(settings, pool, index, embedder, build_weights(settings, pool), 1)
    a = member("a", ["Paris"], TYPES)
    find(pipeline_of([a], retriever), text)
    prompts = [r.messages for r in a.asked if r.stage == "extract"]
    assert [[m.content for m in messages if m.role == "user"] for messages in prompts] == [
        [f"{SHOWN.text} : find", f"{escape_marks(text)} : find"]
    ]


@pytest.mark.parametrize(
    ("on_reject", "expected", "verdicts"),
    [("drop", [], None), ("flag", [("Paris", "PER")], {"a": False}), ("retype", [("Paris", "LOC")], {})],
)
def test_what_a_rejection_does(on_reject: str, expected: list[tuple[str, str]], verdicts: dict[str, bool] | None):
    wrong = {"Paris": "PER"}
    members = [
        member("a", ["Paris"], wrong, verify=judging("Paris = person")),
        member("b", [], wrong),
        member("c", [], TYPES),
    ]
    result = find(pipeline_of(members, None, {"verify": {"mode": "one", "on_reject": on_reject}}), TEXT)
    assert found(result, TEXT) == expected
    assert [entity.verdicts for entity in result.entities] == [verdicts] * len(expected)
    assert all(entity.score == (0.3333 if entity.type == "LOC" else 0.6667) for entity in result.entities)
    assert result.counts[f"rejected-{on_reject}"] == 1


def test_a_rejected_entity_without_another_type_is_dropped_by_retype():
    a = member("a", ["Paris"], TYPES, verify="no")
    result = find(pipeline_of([a], None, {"verify": {"mode": "one", "on_reject": "retype"}}), TEXT)
    assert result.entities == ()


@pytest.mark.parametrize("mode", ["off", "one"])
def test_candidates_and_votes_for_no_entity_are_counted(mode: str):
    a, b = member("a", ["Paris", "London"], {"Paris": "LOC"}), member("b", ["wrote"], {})
    result = find(pipeline_of([a, b], None, {"verify": {"mode": mode}, "classify": {"rule": "majority"}}), TEXT)
    counts = {name: result.counts.get(name) for name in ("candidates", "voted-out", "none-by-a", "none-by-b")}
    assert counts == {"candidates": 3, "voted-out": 3, "none-by-a": 2, "none-by-b": 3}
    assert result.entities == ()


def test_verification_off_asks_nobody():
    a = member("a", ["Paris"], TYPES, verify="no")
    assert found(find(pipeline_of([a], None, {"verify": {"mode": "off"}}), TEXT), TEXT) == [("Paris", "LOC")]
    assert "verify" not in a.stages()


def test_verification_by_one_asks_the_named_judge_alone():
    a, b = member("a", ["Paris"], TYPES), member("b", [], TYPES, verify="no")
    result = find(pipeline_of([a, b], None, {"verify": {"mode": "one", "member": "b"}}), TEXT)
    assert result.entities == ()
    assert ("verify" in a.stages(), "verify" in b.stages()) == (False, True)


@pytest.mark.parametrize(("refusing", "kept"), [(0, True), (1, True), (2, False), (3, False)])
def test_verification_by_all_goes_by_majority(refusing: int, kept: bool):
    members = [member(str(i), ["Paris"], TYPES, verify="no" if i < refusing else "yes") for i in range(3)]
    result = find(pipeline_of(members, None, {"verify": {"mode": "all"}}), TEXT)
    assert bool(result.entities) is kept
    given = {str(i): i >= refusing for i in range(3)}
    assert all(entity.verdicts == given for entity in result.entities)


def test_a_tie_of_the_judges_is_a_rejection():
    members = [member("a", ["Paris"], TYPES, verify="no"), member("b", [], TYPES)]
    assert find(pipeline_of(members, None, {"verify": {"mode": "all"}}), TEXT).entities == ()


def test_only_doubtful_pairs_reach_the_judge():
    split = TYPES | {"London": "ORG"}
    members = [
        member("a", ["London", "Paris"], TYPES, verify="no"),
        member("b", [], TYPES),
        member("c", [], split),
    ]
    result = find(pipeline_of(members, None, {"verify": {"mode": "doubtful"}}), TEXT)
    assert found(result, TEXT) == [("Paris", "LOC")]
    assert result.entities[0].verdicts == {}
    assert members[0].stages().count("verify") == 1


@pytest.mark.parametrize(("probability", "right"), [(0.51, True), (0.49, False)])
def test_a_judge_confirms_from_one_half_on(probability: float, right: bool):
    unsure = Choice("no", {"yes": log(probability), "no": log(1 - probability)})
    a = member("a", ["Paris"], TYPES, verify=lambda request: unsure)
    settings = {"verify": {"mode": "one", "on_reject": "flag"}}
    assert find(pipeline_of([a], None, settings), TEXT).entities[0].verdicts == {"a": right}


def test_a_judge_that_cannot_answer_leaves_the_entity_without_a_verdict():
    a = member("a", ["Paris"], TYPES, verify=MemberError("a", "busy"))
    result = find(pipeline_of([a], None, {"verify": {"mode": "one"}}), TEXT)
    assert found(result, TEXT) == [("Paris", "LOC")]
    assert result.entities[0].verdicts == {}
    assert result.problems == ("a, verify: busy",)


@pytest.mark.parametrize(
    ("nested", "expected"),
    [
        ("keep", [("University of Graz", "ORG"), ("Graz", "LOC")]),
        ("flatten", [("University of Graz", "ORG")]),
    ],
)
def test_nested_entities_are_kept_or_flattened(nested: str, expected: list[tuple[str, str]]):
    text = "The University of Graz opened."
    types = {"University of Graz": "ORG", "Graz": "LOC"}
    a = member("a", [], types, extract="The [[University of [[Graz]]]] opened.")
    result = find(pipeline_of([a], None, {"entities": {"nested": nested}}), text)
    assert found(result, text) == expected
    assert result.counts.get("overlapping", 0) == 2 - len(expected)


def test_flattening_goes_by_votes_before_length():
    text = "The University of Graz opened."
    both = {"University of Graz": "ORG", "Graz": "LOC"}
    members = [member("a", ["Graz"], both), member("b", ["University of Graz"], both), member("c", [], {"Graz": "LOC"})]
    assert found(find(pipeline_of(members), text), text) == [("Graz", "LOC")]


@pytest.mark.parametrize(
    ("classify", "score"),
    [
        ({"rule": "probability"}, 0.55),  # (0.6 + 0.1 + 0.95) / 3
        ({"rule": "plurality"}, 0.55),
        (
            {"rule": "probability", "unextracted_vote_discount": 0.5, "threshold": 0.1},
            0.375,
        ),  # (0.6 + 0.05 + 0.475) / 3
    ],
)
def test_a_score_is_the_mean_probability_of_the_type_as_the_vote_counts_it(classify: dict[str, object], score: float):
    a = member("a", ["Paris"], classify=lambda request: probable(location=0.6, organization=0.4))
    b = member("b", [], classify=lambda request: probable(none=0.9, location=0.1))
    c = member("c", [], classify=lambda request: probable(location=0.95, none=0.05))
    (entity,) = find(pipeline_of([a, b, c], None, {"classify": classify}), TEXT).entities
    assert entity.type == "LOC" and entity.score == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize(("abstention", "score"), [("ignore", 0.75), ("none", 0.6)])
def test_weights_count_in_a_score_and_so_does_who_is_missing_where_that_is_a_vote(abstention: str, score: float):
    a = member("a", ["Paris"], TYPES)
    b = member("b", ["Paris"], {})
    bad = member("bad", **EVERYTHING_FAILS)
    settings = {"classify": {"abstention": abstention}}
    (entity,) = find(pipeline_of([a, b, bad], None, settings, a={"weight": {"en": 3}}), TEXT).entities
    assert entity.score == score


@pytest.mark.parametrize(("trust", "kept"), [(1.0, ("University of Graz", "ORG")), (0.5, ("Graz", "LOC"))])
@pytest.mark.parametrize("rule", ["probability", "plurality"])
def test_overlaps_are_settled_by_what_the_vote_counted(trust: float, kept: tuple[str, str], rule: str):
    text = "The University of Graz opened."
    outer, inner = probable(organization=0.9, none=0.1), probable(location=0.85, none=0.15)
    unsure = probable(none=0.6, location=0.4)
    members = [
        member("a", ["University of Graz", "Graz"], classify=weighing({"University of Graz": outer, "Graz": inner})),
        member("b", ["Graz"], classify=weighing({"University of Graz": outer, "Graz": inner})),
        member("c", [], classify=weighing({"University of Graz": outer, "Graz": unsure})),
    ]
    settings = {"classify": {"rule": rule, "unextracted_vote_discount": trust, "tie": "order"}}
    assert found(find(pipeline_of(members, None, settings), text), text) == [kept]


@pytest.mark.parametrize(("mark", "questions"), [("occurrence", 2), ("surface", 1)])
def test_candidates_are_typed_by_place_or_by_surface(mark: str, questions: int):
    text = "Paris greets Paris."
    a = member("a", ["Paris"], TYPES)
    result = find(pipeline_of([a], None, {"classify": {"ask_per": mark}}), text)
    assert found(result, text) == [("Paris", "LOC")] * 2
    assert a.stages().count("classify") == questions
    first = next(request for request in a.asked if request.stage == "classify")
    assert first.messages[-1].content == "Paris greets Paris. : type [[Paris]] greets Paris"


@pytest.mark.parametrize(("occurrences", "expected"), [("all", [0, 13]), ("marked", [13])])
def test_every_occurrence_or_the_marked_one(occurrences: str, expected: list[int]):
    a = member("a", [], TYPES, extract="Paris greets [[Paris]].")
    result = find(pipeline_of([a], None, {"extract": {"occurrences": occurrences}}), "Paris greets Paris.")
    assert [entity.start for entity in result.entities] == expected


def test_brackets_of_the_document_do_not_shift_offsets():
    text = "See [[Paris]] [London] ]] and [[ Ada Lovelace"
    a = member("a", ["Paris", "London", "Ada Lovelace"], TYPES)
    result = find(pipeline_of([a]), text)
    assert found(result, text) == [("Paris", "LOC"), ("London", "LOC"), ("Ada Lovelace", "PER")]
    assert "[[" not in a.asked[0].messages[-1].content


def test_brackets_of_a_demonstration_are_no_marks():
    shown = labelled("wiki", "The [[river]] crosses Oslo.", LOC="Oslo")
    a = member("a", ["Paris"], TYPES)
    find(pipeline_of([a], FixedRetriever(shown)), TEXT)
    solved = [m.content for r in a.asked if r.stage == "extract" for m in r.messages if m.role == "assistant"]
    assert solved == ["The ⟦⟦river⟧⟧ crosses [[Oslo]]."]


@pytest.mark.parametrize("text", ["", "[[a]]", "[[[[", "]]]", "a]][[b", "[]", "🙂[[張]]"])
def test_escaped_marks_keep_every_offset(text: str):
    safe = escape_marks(text)
    assert len(safe) == len(text)
    assert "[[" not in safe and "]]" not in safe
    assert all(a == b for a, b in zip(safe, text, strict=True) if b not in "[]")


def test_windows_go_only_to_members_of_their_language():
    zh, both = member("zh", ["Paris", "巴黎"], {}), member("both", ["Paris", "巴黎"], TYPES | {"巴黎": "LOC"})
    pipeline = pipeline_of([zh, both], zh={"languages": ["zh"]})
    result = find(pipeline, TEXT)
    assert (zh.asked, result.members_answered) == ([], ("both",))
    assert result.entities[0].votes == {"both": "LOC"}
    assert find(pipeline, "我去巴黎。", "zh").members_answered == ("both", "zh")


def test_the_judge_is_one_that_takes_the_language():
    zh, en = member("zh", [], {}), member("en", ["Paris"], TYPES, verify="no")
    pipeline = pipeline_of([zh, en], None, {"verify": {"mode": "one", "member": "zh"}}, zh={"languages": ["zh"]})
    assert find(pipeline, TEXT).entities == ()
    assert zh.asked == []


def test_a_language_that_nobody_takes_is_answered_by_nobody():
    pipeline = pipeline_of([member("zh", ["Paris"], {})], zh={"languages": ["zh"]})
    result = find(pipeline, TEXT)
    assert (result.entities, result.members_answered) == ((), ())


@pytest.mark.parametrize(("abstention", "expected"), [("ignore", [("Paris", "LOC")]), ("none", [])])
def test_an_abstention_is_ignored_or_a_vote_for_no_entity(abstention: str, expected: list[tuple[str, str]]):
    members = [
        member("a", ["Paris"], TYPES),
        member("b", classify=MemberError("b", "busy")),
        member("c", classify=MemberError("c", "busy")),
    ]
    result = find(pipeline_of(members, None, {"classify": {"abstention": abstention}}), TEXT)
    assert found(result, TEXT) == expected


def test_soft_votes_are_averaged():
    members = [
        member("a", ["Paris"], classify=lambda r: probable(person=0.51, location=0.49)),
        member("b", [], classify=lambda r: probable(location=0.9, person=0.1)),
    ]
    result = find(pipeline_of(members, None, {"classify": {"rule": "probability"}}), TEXT)
    assert found(result, TEXT) == [("Paris", "LOC")]
    assert result.entities[0].votes == {"a": "PER", "b": "LOC"}


def test_many_windows_at_once_do_not_mix():
    places = [f"Place{i:02}" for i in range(20)]
    pipeline = pipeline_of([ScriptedMember("a", {"extract": marking(*places), "classify": typing({})})])
    texts = [f"{place} is here." for place in places]

    async def together():
        return await asyncio.gather(*(pipeline.pre_extract(WindowContext.of(text, "en")) for text in texts))

    results = asyncio.run(together())
    assert [spans[0].surface(text) for (spans, _), text in zip(results, texts, strict=True)] == places


def test_results_are_the_same_each_time():
    def once():
        members = [member("a", ["Ada Lovelace", "Paris"], TYPES), member("b", ["London"], {"London": "ORG"})]
        return find(pipeline_of(members, FixedRetriever(SHOWN), {"verify": {"mode": "all"}}), TEXT)

    assert once() == once()


def test_the_preview_shows_a_prompt_of_each_stage():
    pipeline = pipeline_of([member("a")], FixedRetriever(SHOWN))
    shown = dict(pipeline.preview(window(TEXT)))
    assert list(shown) == ["pre-extract", "extract", "classify", "verify"]
    assert shown["pre-extract"] == f"[user]\n{TEXT} : find"
    assert SHOWN.text in shown["extract"]
    assert shown["verify"].endswith("Ada Lovelace wrote from London to Paris. : check [[Ada]] Lovelace wrote = person")


def test_closing_closes_every_member():
    members = [member("a"), member("b")]
    asyncio.run(pipeline_of(members).close())
    assert all(m.closed for m in members)


def test_the_provenance_names_models_templates_and_pool():
    pipeline = pipeline_of([member("a")], FixedRetriever(SHOWN))
    assert pipeline.provenance() == {
        "members": {"a": "scripted:a"},
        "templates": [pipeline.members[0].templates],
        "retrieval": {"pool": "fixed"},
    }
