"""A recogniser of another kind: no engine, no prompts, probabilities of its own. The pipeline takes it as it takes the others."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from scripted_members import FixedRetriever, config_of, find, found, labelled, marking, member, typing, window

from el4ner.config import Config, MemberConfig
from el4ner.errors import MemberError
from el4ner.pipeline import Pipeline
from el4ner.recognisers.base import Recogniser, WindowContext
from el4ner.recognisers.build import build_recognisers
from el4ner.recognisers.proposal import Proposal
from el4ner.text.documents import Document
from el4ner.text.spans import Span

TEXT = "Ada Lovelace wrote from London to Paris."
SHOWN = labelled("shown", "Grace Hopper sailed from Boston.", PER="Grace Hopper", LOC="Boston")


class Gazetteer(Recogniser):
    """Finds the names of a list; each has its probabilities, and so has a name that is not probable enough to be found."""

    fingerprint = "gazetteer"

    def __init__(self, settings: MemberConfig, names: Mapping[str, Mapping[str | None, float]]) -> None:
        super().__init__(settings)
        self.names = names
        self.asked: list[Sequence[Document]] = []

    async def propose(self, context: WindowContext, demonstrations: Sequence[Document]) -> Proposal | None:
        self.asked.append(demonstrations)
        return await context.attempt(self.name, "look-up", self._look_up(context.text))

    async def _look_up(self, text: str) -> Proposal:
        if not self.names:
            raise MemberError(self.name, "its list is empty")
        stated = {Span(text.index(name), text.index(name) + len(name)): given for name, given in self.names.items()}
        likeliest = {span: max(given, key=given.__getitem__) for span, given in stated.items()}
        return Proposal({span: (kind,) for span, kind in likeliest.items() if kind}, probabilities=stated)


def ensemble(names: Mapping[str, Mapping[str | None, float]], config: Config, **engines: object) -> Pipeline:
    """The gazetteer is the first member."""
    first, *others = config.members
    prompted = build_recognisers(config.model_copy(update={"members": tuple(others)}), engines)
    return Pipeline(config, (Gazetteer(first, names), *prompted), FixedRetriever(SHOWN))


def test_alone_it_is_asked_once_and_its_probabilities_are_its_votes():
    pipeline = ensemble(
        {"London": {"LOC": 0.7, None: 0.3}, "Paris": {"LOC": 0.2, None: 0.8}}, config_of(["list"], {"verify": {}})
    )
    result = find(pipeline, TEXT)
    assert found(result, TEXT) == [("London", "LOC")]
    assert [(dict(entity.votes), entity.score, dict(entity.verdicts)) for entity in result.entities] == [
        ({"list": "LOC"}, 0.7, {})
    ]
    assert result.members_answered == ("list",)
    assert pipeline.members[0].asked == [()]


def test_beside_a_prompted_model_its_spans_are_candidates_and_choose_demonstrations():
    steps = member("steps", [], pre_extract=marking("Ada Lovelace"), classify=typing({"London": "ORG"}))
    names = {"London": {"LOC": 0.9, None: 0.1}, "Paris": {"LOC": 0.4, None: 0.6}}
    settings = {"classify": {"rule": "probability"}, "batch": {"candidates": True}, "verify": {"mode": "all"}}
    pipeline = ensemble(names, config_of(["list", "steps"], settings), steps=steps)
    result = find(pipeline, TEXT)
    votes = {one.span.surface(TEXT): {n: (v.type, v.found) for n, v in one.votes.items()} for one in result.candidates}
    assert votes == {"London": {"list": ("LOC", True), "steps": ("ORG", False)}}
    assert [TEXT[span.start : span.end] for span in pipeline.retriever.queries[0][1]] == ["Ada Lovelace", "London"]
    assert (len(pipeline.retriever.queries), pipeline.members[0].asked) == (1, [()])
    assert result.entities[0].verdicts == {"steps": True}


def test_what_another_finds_and_it_does_not_is_its_vote_for_none_or_as_probable_as_it_says():
    steps = member("steps", ["Paris", "Ada Lovelace"], {"Paris": "LOC", "Ada Lovelace": "PER"})
    names = {"Paris": {"LOC": 0.4, None: 0.6}}
    settings = {"classify": {"rule": "probability", "threshold": 0.6}}
    result = find(ensemble(names, config_of(["list", "steps"], settings), steps=steps), TEXT)
    assert [(entity.type, entity.score, dict(entity.votes)) for entity in result.entities] == [
        ("LOC", 0.7, {"list": None, "steps": "LOC"})
    ]


def test_its_failure_is_an_abstention():
    steps = member("steps", ["Paris"], {"Paris": "LOC"})
    result = find(ensemble({}, config_of(["list", "steps"]), steps=steps), TEXT)
    assert found(result, TEXT) == [("Paris", "LOC")]
    assert (result.members_answered, result.problems) == (("steps",), ("list, look-up: its list is empty",))


def test_where_nobody_pre_extracts_it_is_asked_all_the_same():
    settings = {"extract": {"pre_extract": False}, "demonstrations": {"method": "sentence"}}
    pipeline = ensemble({"London": {"LOC": 1.0}}, config_of(["list"], settings))
    assert found(find(pipeline, TEXT), TEXT) == [("London", "LOC")]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_it_reads_the_languages_that_its_section_names(language: str):
    pipeline = ensemble({"London": {"LOC": 1.0}}, config_of(["list"], list={"languages": ["en"]}))
    assert bool(find(pipeline, TEXT, language).entities) == (language == "en")


def test_it_is_part_of_the_provenance_and_has_no_prompt_to_preview():
    pipeline = ensemble({}, config_of(["list"]))
    assert pipeline.provenance()["members"] == {"list": "gazetteer"} and pipeline.provenance()["templates"] == []
    assert pipeline.preview(window(TEXT)) == []
    asyncio.run(pipeline.close())
