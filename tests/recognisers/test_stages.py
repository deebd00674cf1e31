"""Requests of each stage, and what is made of the answers."""

import asyncio
from collections.abc import Sequence
from math import log

import pytest
from scripted_members import member, pipeline_of, probable

from el4ner.config import ExtractConfig
from el4ner.engines.base import Answer, Choice, Request, Usage
from el4ner.errors import ContextOverflowError, ParseError
from el4ner.prompts.formats import Mention
from el4ner.recognisers.base import WindowContext
from el4ner.recognisers.language_model import locate, most_similar
from el4ner.recognisers.prompted import PromptedRecogniser
from el4ner.text.documents import Document
from el4ner.text.spans import Entity, Span

TEXT = "Paris greets Paris; party art."
SHOWN = Document("s", "Ann lives in Oslo.", (Entity(0, 3, "PER"), Entity(13, 17, "LOC")))


def prompted(scripted, **fields: object) -> PromptedRecogniser:
    return pipeline_of([scripted], None, None, a=fields).members[0]


def fresh(text: str = TEXT, language: str = "en") -> WindowContext:
    return WindowContext.of(text, language)


@pytest.mark.parametrize(
    ("mentions", "settings", "places", "counts"),
    [
        ([Mention("Paris")], {}, [(0, 5), (13, 18)], {}),
        ([Mention("paris")], {}, [(0, 5), (13, 18)], {}),
        ([Mention("art")], {}, [(26, 29)], {}),
        ([Mention("Paris", Span(13, 18))], {}, [(0, 5), (13, 18)], {}),
        ([Mention("Paris", Span(13, 18))], {"occurrences": "marked"}, [(13, 18)], {}),
        ([Mention("Paris", None)], {"occurrences": "marked"}, [(0, 5), (13, 18)], {}),
        (
            [Mention("Oslo"), Mention("Ann"), Mention("Bergen")],
            {},
            [],
            {"leaked-from-demonstration": 2, "not-in-text": 1},
        ),
        ([], {}, [], {}),
    ],
)
def test_mentions_become_spans(mentions, settings, places, counts):
    context = fresh()
    spans = locate(mentions, context, [SHOWN], ExtractConfig(**settings))
    assert [(span.start, span.end) for span in spans] == places
    assert +context.counts == counts


@pytest.mark.parametrize(("length", "kept"), [(200, 1), (201, 0)])
def test_mentions_of_more_than_200_characters_are_dropped_and_counted(length: int, kept: int):
    context = WindowContext.of("x" * length, "en")
    spans = locate([Mention("x" * length)], context, [], ExtractConfig())
    assert (len(spans), context.counts["too-long-mention"]) == (kept, 1 - kept)


def test_an_extraction_request_allows_a_full_copy_and_no_endless_answer():
    ask = prompted(member("a"))
    request = ask.extraction_request(fresh(), ())
    assert (request.stage, request.copy_of, request.choices) == ("pre-extract", TEXT, ())
    assert len(TEXT) < request.max_tokens < 1024
    assert ask.extraction_request(fresh(TEXT * 99), (SHOWN,)).max_tokens == 1024
    assert ask.extraction_request(fresh(), (SHOWN,)).stage == "extract"
    assert request.template == ask.prompts.identity


def test_only_inline_answers_are_copies():
    ask = prompted(member("a"), answer_format="lines")
    assert ask.extraction_request(fresh(), ()).copy_of is None


def test_a_cut_answer_is_a_parse_error():
    ask = prompted(member("a", extract=lambda request: Answer(TEXT, "length")))
    with pytest.raises(ParseError, match="cut at its longest"):
        asyncio.run(ask.extract(fresh(), ()))


def test_a_member_without_room_for_the_question_alone_cannot_answer():
    context = fresh()
    ask = prompted(member("a", fits=0))
    with pytest.raises(ContextOverflowError):
        asyncio.run(ask.extract(context, (SHOWN,)))
    assert context.counts == {"demonstration-too-long": 1}


@pytest.mark.parametrize(
    ("tokens_of", "finish", "asked"),
    [
        (lambda most: 1, "length", 2),
        (lambda most: most - 1, "length", 2),
        (lambda most: most, "length", 1),
        (lambda most: most + 1, "length", 1),
        (lambda most: 0, "length", 1),
        (lambda most: most - 1, "stop", 1),
    ],
)
def test_an_answer_that_the_prompt_left_no_room_for_is_asked_for_again_with_less_shown(tokens_of, finish, asked: int):
    """Not one whose length is not stated, nor one that had all the room that it may have, nor one that came to its end."""

    def answer(request: Request) -> Answer:
        said = "cut" if SHOWN.text in str(request.messages) else "whole"
        return Answer(said, finish if said == "cut" else "stop", Usage(answer_tokens=tokens_of(request.max_tokens)))

    context, scripted = fresh(), member("a", extract=answer)

    one = prompted(scripted)

    def request_with(shown: Sequence[Document]) -> Request:
        return one.extraction_request(context, shown)

    answered, shown = asyncio.run(one.ask(context, scripted.generate, request_with, (SHOWN,)))
    assert (answered.text, len(scripted.asked)) == (("whole", 2) if asked == 2 else ("cut", 1))
    assert (len(shown), context.counts["demonstration-too-long"]) == (2 - asked, asked - 1)


@pytest.mark.parametrize(
    ("order", "count", "kept"),
    [
        ("best-first", 2, "ab"),
        ("best-last", 2, "bc"),
        ("random", 1, "c"),
        ("best-first", 0, ""),
        ("best-last", 0, ""),
        ("best-last", 3, "abc"),
        ("best-first", 4, "abc"),
        ("best-last", None, "abc"),
    ],
)
def test_the_most_similar_demonstrations_are_kept(order, count: int | None, kept: str):
    demonstrations = [Document(id_, "Ann.", ()) for id_ in "abc"]
    assert "".join(document.id for document in most_similar(demonstrations, count, order)) == kept


def test_a_leak_is_sought_only_in_what_was_shown():
    """A demonstration that did not fit cannot have leaked."""
    context = fresh()
    ask = prompted(member("a", fits=1, extract='["Oslo", "Paris"]'), answer_format="json")
    asyncio.run(ask.extract(context, (SHOWN,)))
    assert +context.counts == {"demonstration-too-long": 1, "not-in-text": 1}


@pytest.mark.parametrize(("answer_format", "answer"), [("json", '["Oslo"]'), ("lines", "Oslo\nBergen (city)")])
def test_an_answer_that_names_nothing_of_the_text_is_an_abstention(answer_format: str, answer: str):
    ask = prompted(member("a", extract=answer), answer_format=answer_format)
    with pytest.raises(ParseError, match="nothing that stands in the text"):
        asyncio.run(ask.extract(fresh(), ()))


def test_a_classification_is_a_closed_choice_with_an_explicit_none():
    ask = prompted(member("a"))
    request = ask.classification_request(fresh(), Span(13, 18), (SHOWN,))
    assert request.choices == ("person", "location", "organization", "none")
    assert request.messages[-1].content == "Paris greets Paris; party art. : type Paris greets [[Paris]]; party art"
    assert [m.content for m in request.messages if m.role == "assistant"] == ["person"]


def test_a_vote_has_types_not_words():
    ask = prompted(member("a", classify=lambda r: probable(location=0.75, none=0.25)))
    vote = asyncio.run(ask.classify(fresh(), Span(0, 5), ()))
    assert vote.type == "LOC"
    assert vote.probabilities == pytest.approx({"LOC": 0.75, None: 0.25, "PER": 0, "ORG": 0}, abs=1e-6)


def test_a_vote_without_probabilities_has_none():
    ask = prompted(member("a", classify="none"))
    vote = asyncio.run(ask.classify(fresh(), Span(0, 5), ()))
    assert (vote.type, vote.probabilities) == (None, None)


def test_classification_drops_demonstrations_that_do_not_fit():
    context = fresh()
    scripted = member("a", types={"Paris": "LOC"}, fits=3)
    vote = asyncio.run(prompted(scripted).classify(context, Span(0, 5), (SHOWN, SHOWN, SHOWN)))
    assert vote.type == "LOC"
    assert context.counts == {"demonstration-too-long": 2}


@pytest.mark.parametrize(
    ("choice", "probability"),
    [
        (Choice("yes", None), 1.0),
        (Choice("no", None), 0.0),
        (Choice("no", {"yes": log(0.4), "no": log(0.6)}), 0.4),
    ],
)
def test_a_verdict_is_the_probability_of_yes(choice: Choice, probability: float):
    ask = prompted(member("a", verify=lambda request: choice))
    assert asyncio.run(ask.verify(fresh(), Span(0, 5), "LOC")) == pytest.approx(probability)


def test_a_verification_asks_for_span_and_type():
    ask = prompted(member("a"), prompt_style="full")
    request = ask.verification_request(fresh(language="zh"), Span(0, 5), "LOC")
    assert request.choices == ("是", "否")
    assert request.messages[-1].content.endswith("词语：Paris\n类型：地名")
