"""EL4NER's prompted language model: it extracts spans, types candidates, and verifies typed ones, each by a prompt of its own."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from el4ner.config import Config, MemberConfig
from el4ner.engines.base import Engine, Request
from el4ner.errors import ParseError
from el4ner.prompts.demonstrated import demonstrated_candidates
from el4ner.prompts.formats import answer_format
from el4ner.prompts.render import Prompts
from el4ner.recognisers.base import Judge, WindowContext
from el4ner.recognisers.language_model import LanguageModelRecogniser, as_text, check_named, locate
from el4ner.recognisers.proposal import Proposal
from el4ner.text.documents import Document
from el4ner.text.spans import Span
from el4ner.vote.votes import Vote

LONGEST_LABEL = 16
"""Tokens of the longest label word."""
LONGEST_ANSWER = 1024
"""Tokens of an extraction."""


class PromptedRecogniser(LanguageModelRecogniser, Judge):
    """Its proposals have no types; it is asked for the type of every candidate.

    Raises:
        ConfigError: there are no prompts of its style.
    """

    def __init__(self, engine: Engine, settings: MemberConfig, config: Config) -> None:
        super().__init__(engine, settings, config)
        self.prompts = Prompts.of(settings.prompt_style, config)
        self.templates = self.prompts.identity
        self.answer_format = answer_format(settings.answer_format)

    async def propose(self, context: WindowContext, demonstrations: Sequence[Document]) -> Proposal | None:
        """Spans without types."""
        stage = "extract" if demonstrations else "pre-extract"
        spans = await context.attempt(self.name, stage, self.extract(context, demonstrations))
        return None if spans is None else Proposal(dict.fromkeys(spans, ()))

    async def vote(
        self,
        context: WindowContext,
        candidates: Sequence[Span],
        proposal: Proposal | None,
        demonstrations: Sequence[Document],
    ) -> dict[Span, Vote]:
        """The types of all candidates: one question for each place or, as configured, for each surface."""
        per_place = self.config.classify.ask_per == "occurrence"
        keys = {span: span if per_place else span.surface(context.text) for span in candidates}
        asked: dict[Span | str, Span] = {}
        for span, key in keys.items():
            asked.setdefault(key, span)
        questions = [self.classify(context, span, demonstrations) for span in asked.values()]
        answers = await asyncio.gather(*(context.attempt(self.name, "classify", question) for question in questions))
        votes = dict(zip(asked, answers, strict=True))
        found = () if proposal is None else proposal.types
        return {s: replace(vote, found=s in found) for s, key in keys.items() if (vote := votes[key]) is not None}

    async def verify(self, context: WindowContext, span: Span, type_name: str) -> float | None:
        """The probability of "yes": 0 or 1 where its engine gives no probabilities."""
        request = self.verification_request(context, span, type_name)
        choice = await context.attempt(self.name, "verify", self.engine.choose(request))
        if choice is None:
            return None
        yes, _ = self.prompts.true_false_words(context.language)
        return float(choice.label == yes) if choice.log_probs is None else math.exp(choice.log_probs[yes])

    async def extract(self, context: WindowContext, demonstrations: Sequence[Document]) -> list[Span]:
        """The spans that it finds; every one verbatim in the text.

        Demonstrations that do not fit into the model's context are left out, the least similar first, and counted.

        Raises:
            MemberError: the engine cannot answer.
            ParseError: its answer cannot be read, or was cut.
        """
        request_with = partial(self.extraction_request, context)
        answer, fitting = await self.ask(context, self.engine.generate, request_with, demonstrations)
        if answer.finish_reason == "length":
            raise ParseError("the answer was cut at its longest; use smaller windows")
        mentions = self.answer_format.read(answer.text, context.text)
        spans = locate(mentions, context, fitting, self.config.extract)
        check_named(mentions, context.text)
        return spans

    async def classify(self, context: WindowContext, span: Span, demonstrations: Sequence[Document]) -> Vote:
        """Its vote on the type of one candidate: a closed choice over the label words and an explicit none.

        Raises:
            MemberError: the engine cannot answer.
        """
        request_with = partial(self.classification_request, context, span)
        choice, _ = await self.ask(context, self.engine.choose, request_with, demonstrations)
        names = self.prompts.choices(context.language)
        probabilities = None
        if choice.log_probs is not None:
            probabilities = {names[word]: math.exp(log_prob) for word, log_prob in choice.log_probs.items()}
        return Vote(names[choice.label], probabilities, self.weight(context.language))

    def extraction_request(self, context: WindowContext, demonstrations: Sequence[Document]) -> Request:
        """The request for the spans of a window, zero-shot or after demonstrations."""
        text, written = context.text, self.answer_format
        return Request(
            stage="extract" if demonstrations else "pre-extract",
            messages=self.prompts.extract(context.language, text, demonstrations, written),
            max_tokens=min(LONGEST_ANSWER, 2 * len(text) + 64),
            copy_of=text if written.name == "inline" else None,
            template=self.prompts.identity,
            list_of=written.list_form(text),
        )

    def classification_request(self, context: WindowContext, span: Span, demonstrations: Sequence[Document]) -> Request:
        """The request for the type of one candidate."""
        solved = demonstrated_candidates(demonstrations, span.surface(context.text))
        return Request(
            stage="classify",
            messages=self.prompts.classify(context.language, context.text, span, solved),
            max_tokens=LONGEST_LABEL,
            choices=tuple(self.prompts.choices(context.language)),
            template=self.prompts.identity,
        )

    def verification_request(self, context: WindowContext, span: Span, type_name: str) -> Request:
        """The request for a verdict on one typed candidate (zero-shot)."""
        return Request(
            stage="verify",
            messages=self.prompts.verify(context.language, context.text, span, type_name),
            max_tokens=LONGEST_LABEL,
            choices=self.prompts.true_false_words(context.language),
            template=self.prompts.identity,
        )

    def preview(self, context: WindowContext, demonstrations: Sequence[Document]) -> list[tuple[str, str]]:
        """A prompt of each of the paper's steps; the text's first word stands for a candidate."""
        span = _first_word(context.text)
        return [
            ("pre-extract", as_text(self.extraction_request(context, ()))),
            ("extract", as_text(self.extraction_request(context, demonstrations))),
            ("classify", as_text(self.classification_request(context, span, demonstrations))),
            ("verify", as_text(self.verification_request(context, span, self.config.type_names[0]))),
        ]


def _first_word(text: str) -> Span:
    first = next((i for i, character in enumerate(text) if not character.isspace()), 0)
    last = next((i for i in range(first, len(text)) if text[i].isspace()), len(text))
    return Span(first, max(last, first + 1))
