"""Members that answer from rules, and pipelines made of them: no model, no network, no mock of the code under test."""

import asyncio
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from el4ner.config import Config, parse_config
from el4ner.demos.retrieve import Retrieval
from el4ner.engines.base import Answer, Choice, Request
from el4ner.errors import ContextOverflowError
from el4ner.pipeline import Pipeline
from el4ner.recognisers.build import build_recognisers
from el4ner.text.documents import Document, Window
from el4ner.text.spans import Entity, Span
from el4ner.vote.entities import WindowResult

Rule = Callable[[Request], str | Answer | Choice]
LABELS = [
    {"name": "PER", "words": {"en": "person", "zh": "人名"}, "definitions": {"en": "names of people"}},
    {"name": "LOC", "words": {"en": "location", "zh": "地名"}, "definitions": {"en": "names of places"}},
    {"name": "ORG", "words": {"en": "organization", "zh": "机构"}},
]
WORDS = {"PER": "person", "LOC": "location", "ORG": "organization", None: "none"}


class ScriptedMember:
    """Answers each stage by its rule: a text, an exception to raise, or a function of the request.

    Args:
        name: its name in votes.
        rules: by stage; ``extract`` also serves ``pre-extract`` where that has no rule of its own.
        fits: most messages that fit into its context.
    """

    def __init__(self, name: str, rules: Mapping[str, str | Exception | Rule], fits: int = 1000) -> None:
        self.name = name
        self.fingerprint = f"scripted:{name}"
        self.asked: list[Request] = []
        self.closed = False
        self._rules = dict(rules)
        self._fits = fits

    async def generate(self, request: Request) -> Answer:
        reply = self._reply(request)
        return reply if isinstance(reply, Answer) else Answer(reply, "stop")

    async def choose(self, request: Request) -> Choice:
        reply = self._reply(request)
        choice = reply if isinstance(reply, Choice) else Choice(reply, None)
        assert choice.label in request.choices
        return choice

    async def close(self) -> None:
        self.closed = True

    def stages(self) -> list[str]:
        return [request.stage for request in self.asked]

    def _reply(self, request: Request) -> Any:
        self.asked.append(request)
        if len(request.messages) > self._fits:
            raise ContextOverflowError(self.name, f"{len(request.messages)} messages do not fit; show fewer")
        rule = self._rules.get(request.stage, self._rules.get("extract"))
        if isinstance(rule, Exception):
            raise rule
        return rule(request) if callable(rule) else rule


def marking(*surfaces: str) -> Rule:
    """An inline extraction that marks every occurrence of these surfaces."""

    def answer(request: Request) -> str:
        text = request.copy_of
        assert text is not None
        for surface in surfaces:
            text = text.replace(surface, f"[[{surface}]]")
        return text

    return answer


def typing(types: Mapping[str, str | None]) -> Rule:
    """A classification by surface; other candidates are none."""
    return lambda request: WORDS[types.get(_candidate(request))]


def _candidate(request: Request) -> str:
    """What a compact question asks about: it ends in words around ``[[MENTION]]``."""
    return str(re.findall(r"\[\[([^\[\]]+)\]\]", request.messages[-1].content)[-1])


def probable(**weights: float) -> Choice:
    """A choice with probabilities: ``probable(person=0.6, none=0.4)``; the others get almost nothing."""
    given = {word: weights.get(word, 1e-9) for word in WORDS.values()}
    total = sum(given.values())
    return Choice(max(given, key=given.__getitem__), {word: math.log(p / total) for word, p in given.items()})


def weighing(choices: Mapping[str, Choice]) -> Rule:
    """A classification by surface with probabilities."""
    return lambda request: choices[_candidate(request)]


def judging(*wrong: str) -> Rule:
    """A verification that says no to ``MENTION = LABEL`` pairs, and yes to all others."""

    def answer(request: Request) -> str:
        label = request.messages[-1].content.rsplit(" = ", 1)[1]
        return "no" if f"{_candidate(request)} = {label}" in wrong else "yes"

    return answer


def member(name: str, finds: Sequence[str] = (), types: Mapping[str, str | None] | None = None, **rules: Any) -> Any:
    """A scripted member that finds and types these surfaces; ``rules`` replace a stage (``pre_extract`` for pre-extract)."""
    given = {"extract": marking(*finds), "classify": typing(types or {}), "verify": judging()}
    fits = rules.pop("fits", 1000)
    return ScriptedMember(name, given | {stage.replace("_", "-"): rule for stage, rule in rules.items()}, fits)


class FixedRetriever:
    """Shows the same demonstrations for every text, and remembers what it was asked."""

    def __init__(self, *demonstrations: Document) -> None:
        self.demonstrations = demonstrations
        self.queries: list[tuple[str, list[Span], str]] = []

    def retrieve(self, text: str, spans: Sequence[Span], language: str) -> Retrieval:
        self.queries.append((text, list(spans), language))
        return Retrieval(self.demonstrations, (None,) * len(self.demonstrations), "random")

    def provenance(self) -> dict[str, object]:
        return {"pool": "fixed"}


def config_of(names: Sequence[str], settings: Mapping[str, Any] | None = None, **member_settings: Any) -> Config:
    """A configuration of members by these names; ``settings`` are sections, ``NAME={...}`` fields of one member."""
    members = [
        {"name": name, "engine": "http", "model": name, "endpoint": "http://127.0.0.1:9/v1", "prompt_style": "compact"}
        | member_settings.get(name, {})
        for name in names
    ]
    defaults: dict[str, Any] = {"labels": LABELS, "members": members, "verify": {"mode": "off"}}
    return parse_config(defaults | dict(settings or {}), base=Path())


def pipeline_of(
    members: Sequence[ScriptedMember], retriever: Any = None, settings: Mapping[str, Any] | None = None, **fields: Any
) -> Pipeline:
    """A pipeline of scripted members, zero-shot unless there is a retriever."""
    config = config_of([m.name for m in members], settings, **fields)
    return Pipeline(config, build_recognisers(config, {m.name: m for m in members}), retriever)


def window(text: str, language: str = "en") -> Window:
    """A window that is a whole document."""
    return Window("d", 0, 0, text, 0, len(text), language)


def find(pipeline: Pipeline, text: str, language: str = "en") -> WindowResult:
    """What the pipeline finds in a text."""
    return asyncio.run(pipeline.find(window(text, language)))


def found(result: WindowResult, text: str) -> list[tuple[str, str]]:
    """Surface and type of each entity."""
    return [(entity.span.surface(text), entity.type) for entity in result.entities]


def labelled(id_: str, text: str, **mentions: str) -> Document:
    """A demonstration; ``PER="Ada"`` marks the first place of that surface."""
    entities = [Entity(text.index(s), text.index(s) + len(s), t) for t, s in mentions.items()]
    return Document(id_, text, tuple(sorted(entities)))
