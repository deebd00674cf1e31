"""The questions of one member: requests, spans and votes, and what becomes of answers that cannot be read."""

import asyncio
from collections.abc import Mapping

import pytest
from scripted_members import ScriptedMember, pipeline_of

from el4ner.engines.base import Answer, Request
from el4ner.errors import ConfigError, MemberError
from el4ner.recognisers.base import WindowContext
from el4ner.recognisers.proposal import Proposal
from el4ner.text.documents import Document
from el4ner.text.spans import Entity, Span
from el4ner.vote.votes import Vote

TEXT = "Ada met Bo in Oslo; Bo left Oslo."
ADA, BO, OSLO, SECOND = Span(0, 3), Span(8, 10), Span(14, 18), Span(20, 22)
SHOWN = Document("s", "Ann lives in Rome.", (Entity(0, 3, "PER"), Entity(13, 17, "LOC")))


def reader(answers: Mapping[str, object], fits: int = 1000) -> ScriptedMember:
    """A member that answers by the word in the question: ``{"person": "Ada; Bo"}``; other questions are answered none."""

    def answer(request: Request) -> str | Answer:
        question = request.messages[-1].content.rsplit(" : ", 1)[1]
        reply = next((reply for word, reply in answers.items() if word in question), "none")
        if isinstance(reply, Exception):
            raise reply
        return reply  # type: ignore[return-value]

    return ScriptedMember("glm", {"mrc": answer}, fits)


def fresh() -> WindowContext:
    return WindowContext.of(TEXT, "en")


def ask(
    member: ScriptedMember, context: WindowContext | None = None, demonstrations=(), **settings: object
) -> Proposal:
    (mrc,) = pipeline_of([member], settings=settings, glm={"role": "mrc"}).members
    return asyncio.run(mrc.read(context or fresh(), demonstrations))


def test_one_question_a_type_gives_spans_with_types():
    member = reader({"person": "Ada; Bo", "location": "Oslo"})
    answers = ask(member)
    assert dict(answers.types) == {
        ADA: ("PER",), BO: ("PER",), SECOND: ("PER",), OSLO: ("LOC",), Span(28, 32): ("LOC",),
    }  # fmt: skip
    assert answers.complete and answers.usable
    assert member.stages() == ["mrc"] * 3


def test_a_marked_answer_names_the_places_that_it_marks():
    member = reader({"person": "[[Ada]] met Bo in Oslo; [[Bo]] left Oslo."})
    pipeline = pipeline_of(
        [member], settings={"mrc": {"answers": "marked"}}, glm={"role": "mrc", "prompt_style": "compact"}
    )
    answers = asyncio.run(pipeline.members[0].read(fresh(), ()))
    assert dict(answers.types) == {ADA: ("PER",), SECOND: ("PER",)}
    assert {request.copy_of for request in member.asked} == {TEXT}


def test_marks_cannot_answer_for_several_types():
    with pytest.raises(ConfigError, match="types_per_call to 1"):
        pipeline_of([reader({})], settings={"mrc": {"answers": "marked", "types_per_call": 2}}, glm={"role": "mrc"})


def test_several_types_may_share_a_call():
    member = reader({"person": "person: Ada\nlocation: none", "organization": "organization: Oslo"})
    answers = ask(member, mrc={"types_per_call": 2})
    assert dict(answers.types) == {ADA: ("PER",), OSLO: ("ORG",), Span(28, 32): ("ORG",)}
    assert answers.complete and len(member.asked) == 2


def test_a_named_span_is_a_vote_and_an_unnamed_one_is_none():
    answers = Proposal({ADA: ("PER",)}, complete=True)
    assert answers.vote(ADA, 2.0) == Vote("PER", None, 2.0)
    assert answers.vote(BO, 2.0) == Vote(None, None, 2.0, found=False)


def test_a_lost_answer_makes_it_abstain_on_what_it_did_not_name():
    answers = Proposal({ADA: ("PER",)}, complete=False)
    assert answers.vote(ADA, 1.0) == Vote("PER")
    assert answers.vote(BO, 1.0) is None
    assert answers.usable and not Proposal({}, complete=False).usable


def test_a_span_named_under_two_types_is_shared_between_them():
    answers = ask(reader({"person": "Oslo", "organization": "Oslo"}))
    vote = answers.vote(OSLO, 1.0)
    assert vote is not None and vote.type == "PER"
    assert vote.probabilities == {"PER": 0.5, "ORG": 0.5}


@pytest.mark.parametrize(
    "answer", ["", "<think>Ada or Bo", "I cannot help with that.", "Rome", Answer("Ada; B", "length")]
)
def test_an_unreadable_answer_is_a_counted_abstention_without_text(answer: object):
    context = fresh()
    answers = ask(reader({"person": answer, "location": "Oslo"}), context, [SHOWN])
    assert set(answers.types) == {OSLO, Span(28, 32)} and not answers.complete
    assert context.counts["unreadable-answer"] == 1 and len(context.problems) == 1
    assert context.problems[0].startswith("glm, mrc: ")
    assert not [word for word in ("Ada", "Rome", "help") if word in context.problems[0]]


def test_a_list_that_goes_round_in_circles_until_it_is_cut_counts_up_to_there():
    context = fresh()
    answers = ask(reader({"person": Answer("Ada; Bo; Ada; Bo; Ada; B", "length"), "location": "Oslo"}), context)
    assert set(answers.types) == {ADA, BO, SECOND, OSLO, Span(28, 32)} and answers.complete
    assert not context.problems


def test_strings_that_are_not_in_the_text_are_dropped_and_leaks_are_known():
    context = fresh()
    answers = ask(reader({"person": "Ada; Ann; Zoe"}), context, [SHOWN])
    assert list(answers.types) == [ADA] and answers.complete
    assert +context.counts == {"leaked-from-demonstration": 1, "not-in-text": 1}


def test_a_type_that_a_joint_answer_passes_over_is_an_abstention():
    context = fresh()
    answers = ask(reader({"person": "person: Ada"}), context, mrc={"types_per_call": 3})
    assert list(answers.types) == [ADA] and not answers.complete
    assert context.problems == ["glm, mrc: the answer passes over a type that it was asked about (2 times)"]
    assert context.counts["unreadable-answer"] == 2


def test_one_reason_is_one_problem_however_many_questions_it_hits():
    context = fresh()
    gone = MemberError("glm", "its server is down")
    answers = ask(reader({"person": gone, "location": gone, "organization": gone}), context)
    assert not answers.usable
    assert context.problems == ["glm, mrc: its server is down (3 times)"]
    assert context.counts == {"no-answer": 3}


def test_a_defect_of_the_program_is_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        ask(reader({"person": ZeroDivisionError()}))


def test_requests_share_all_but_the_question_and_allow_no_endless_answer():
    (mrc,) = pipeline_of([reader({})], glm={"role": "mrc"}).members
    requests = [mrc.question_request(fresh(), group, [SHOWN]) for group in mrc.questions.groups]
    assert len({request.messages for request in requests}) == 3
    beginnings = {request.messages[-1].content.rsplit(" : ", 1)[0] for request in requests}
    assert len(beginnings) == 1 and SHOWN.text in beginnings.pop()
    assert {(r.stage, r.copy_of, r.choices, r.template) for r in requests} == {
        ("mrc", None, (), mrc.questions.identity)
    }
    assert all(len(TEXT) < request.max_tokens <= 256 for request in requests)


def test_all_questions_are_under_way_at_once():
    together = asyncio.Barrier(3)

    class Waiting(ScriptedMember):
        async def generate(self, request: Request) -> Answer:
            await together.wait()
            return Answer("none", "stop")

    assert ask(Waiting("glm", {})).complete


def test_demonstrations_that_do_not_fit_are_left_out():
    class Narrow(ScriptedMember):
        async def generate(self, request: Request) -> Answer:
            from el4ner.errors import ContextOverflowError

            if request.messages[-1].content.count(SHOWN.text) > 1:
                raise ContextOverflowError("glm", "too long")
            return Answer("none", "stop")

    context = fresh()
    assert ask(Narrow("glm", {}), context, [SHOWN, SHOWN, SHOWN]).complete
    assert context.counts == {"demonstration-too-long": 6}
