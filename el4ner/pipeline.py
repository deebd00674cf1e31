"""EL4NER: one window through all stages.

pre-extract (zero-shot, every member, union) -> demonstrations (SpanSim) -> extract (k-shot, every member, union)
-> classify (k-shot, every member, vote) -> verify -> entities
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from el4ner.config import Config, Language
from el4ner.demos.retrieve import Retriever
from el4ner.ensemble.ballots import Candidate
from el4ner.ensemble.entities import VotedEntity, WindowResult
from el4ner.ensemble.nesting import flatten, nest
from el4ner.ensemble.union import unite
from el4ner.ensemble.vote import runner_up, share
from el4ner.members.base import Member, Message
from el4ner.members.build import build_members
from el4ner.members.meter import Meter
from el4ner.members.store import AnswerStore
from el4ner.prompts.copying import CLOSE, OPEN
from el4ner.prompts.formats import answer_format
from el4ner.prompts.render import Prompts
from el4ner.stages.asking import Minutes, Voice, ask_all
from el4ner.stages.classify import classification_request, classify
from el4ner.stages.demonstrations import build_retriever
from el4ner.stages.extract import extract, extraction_request
from el4ner.stages.showing import most_similar
from el4ner.stages.verify import verification_request, verify
from el4ner.stages.voting import Ballots, Voting, build_voting, combiner_hash
from el4ner.text.documents import Document, Window
from el4ner.text.spans import Span


@dataclass(frozen=True)
class Pipeline:
    """The ensemble over one pool. Safe to use for many windows at once.

    Attributes:
        config: the resolved configuration.
        voices: the members with their prompts and answer formats.
        retriever: chooses demonstrations; None: zero-shot.
        store: the members' answers on disk, if they are kept.
        voting: the rule of the vote, from the configuration.
    """

    config: Config
    voices: tuple[Voice, ...]
    retriever: Retriever | None
    store: AnswerStore | None = None
    voting: Voting = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "voting", build_voting(self.config))

    async def find(self, window: Window) -> WindowResult:
        """The entities of a window. A member's failure is an abstention, recorded in the result."""
        language = cast(Language, window.language)
        text = safe_text(window.text)
        minutes = Minutes()
        voices = self._speakers(language)
        found: dict[str, list[Span]] = {}
        if self.config.extract.pre_extract:
            found = await self._ask_spans(voices, text, language, (), minutes)
        shown = self._demonstrations(window.text, unite(found), language)
        found = await self._extract(voices, text, language, shown, found, minutes)
        candidates = unite(found, self.config.extract.min_members)
        ballots = await self._classify(voices, text, language, shown, candidates, minutes)
        ballots = {
            span: {name: replace(ballot, found=span in found.get(name, ())) for name, ballot in given.items()}
            for span, given in ballots.items()
        }
        voted = self.voting.decide(text, ballots, sum(voice.weight(language) for voice in voices))
        entities = await self._verify(voices, text, language, voted, ballots, minutes)
        kept = self._arrange(entities, ballots)
        minutes.counts["overlapping"] += len(entities) - len(kept)
        voters = {name for given in ballots.values() for name in given}
        answered = set(found) & voters if candidates else set(found)
        said = tuple(Candidate(*item) for item in ballots.items()) if self.config.batch.candidates else ()
        return WindowResult(tuple(kept), tuple(sorted(answered)), tuple(minutes.problems), +minutes.counts, said)

    async def pre_extract(self, text: str, language: Language, minutes: Minutes) -> tuple[list[Span], set[str]]:
        """Stage 1: the union of the members' zero-shot spans, and who answered."""
        found = await self._ask_spans(self._speakers(language), safe_text(text), language, (), minutes)
        return unite(found), set(found)

    async def close(self) -> None:
        """Give back what members and store hold."""
        await asyncio.gather(*(voice.member.close() for voice in self.voices))
        if self.store is not None:
            self.store.close()

    def preview(self, window: Window) -> list[tuple[str, str]]:
        """One rendered prompt a stage for the first member that takes the window's language: (stage, prompt)."""
        language = cast(Language, window.language)
        text = safe_text(window.text)
        voice = next((voice for voice in self.voices if voice.speaks(language)), self.voices[0])
        shown = self._demonstrations(window.text, [], language)
        near = most_similar(shown, self.config.classify.k, self.config.demonstrations.order)
        span = next(iter(_any_span(text)))
        type_name = self.config.type_names[0]
        requests = [
            ("pre-extract", extraction_request(voice, text, language, (), self.config.extract)),
            ("extract", extraction_request(voice, text, language, shown, self.config.extract)),
            ("classify", classification_request(voice, text, span, language, near)),
            ("verify", verification_request(voice, text, span, type_name, language)),
        ]
        return [(stage, _written(request.messages)) for stage, request in requests]

    def provenance(self) -> dict[str, Any]:
        """What the answers depend on: hashes of models, templates, pool and embedder."""
        combiner = combiner_hash(self.config)
        return {
            "members": {voice.name: voice.member.fingerprint for voice in self.voices},
            "templates": sorted({voice.prompts.identity for voice in self.voices}),
            "retrieval": None if self.retriever is None else self.retriever.provenance(),
            **({} if combiner is None else {"combiner": combiner}),
        }

    def _speakers(self, language: Language) -> list[Voice]:
        return [voice for voice in self.voices if voice.speaks(language)]

    def _demonstrations(self, text: str, hints: Sequence[Span], language: Language) -> tuple[Document, ...]:
        if self.retriever is None:
            return ()
        found = self.retriever.retrieve(text, hints, language).demonstrations
        return tuple(replace(document, text=safe_text(document.text)) for document in found)

    async def _extract(
        self,
        voices: Sequence[Voice],
        text: str,
        language: Language,
        shown: Sequence[Document],
        pre_extracted: Mapping[str, list[Span]],
        minutes: Minutes,
    ) -> dict[str, list[Span]]:
        """Stage 3: the spans of each member that go on; those of stage 1 where there is nothing to show."""
        settings = self.config.extract
        if settings.pre_extract and not (settings.few_shot and shown):
            return dict(pre_extracted)
        found = await self._ask_spans(voices, text, language, shown, minutes)
        if settings.keep_pre_extracted:
            return {name: [*pre_extracted.get(name, ()), *found.get(name, ())] for name in {**pre_extracted, **found}}
        return found

    async def _ask_spans(
        self, voices: Sequence[Voice], text: str, language: Language, shown: Sequence[Document], minutes: Minutes
    ) -> dict[str, list[Span]]:
        settings, order = self.config.extract, self.config.demonstrations.order
        questions = {v.name: extract(v, text, language, shown, settings, minutes, order) for v in voices}
        return await ask_all(questions, "extract" if shown else "pre-extract", minutes)

    async def _classify(
        self,
        voices: Sequence[Voice],
        text: str,
        language: Language,
        shown: Sequence[Document],
        candidates: Sequence[Span],
        minutes: Minutes,
    ) -> dict[Span, Ballots]:
        asked = self._representatives(text, candidates)
        order = self.config.demonstrations.order
        near = most_similar(shown, self.config.classify.k, order)
        together = [
            ask_all(
                {v.name: classify(v, text, span, language, near, minutes, order) for v in voices}, "classify", minutes
            )
            for span in asked
        ]
        ballots = dict(zip(asked, await asyncio.gather(*together), strict=True))
        if self.config.classify.mark == "occurrence":
            return dict(ballots)
        by_surface = {span.surface(text): cast(Ballots, given) for span, given in ballots.items()}
        return {span: by_surface[span.surface(text)] for span in candidates}

    def _representatives(self, text: str, candidates: Sequence[Span]) -> list[Span]:
        """The spans to ask about: all, or the first of each surface."""
        if self.config.classify.mark == "occurrence":
            return list(candidates)
        return list({span.surface(text): span for span in reversed(candidates)}.values())

    async def _verify(
        self,
        voices: Sequence[Voice],
        text: str,
        language: Language,
        entities: Sequence[VotedEntity],
        ballots: Mapping[Span, Ballots],
        minutes: Minutes,
    ) -> list[VotedEntity]:
        settings = self.config.verify
        if settings.mode == "off":
            return list(entities)
        judges = self._judges(voices)

        async def judged(entity: VotedEntity) -> VotedEntity | None:
            if settings.mode == "doubtful" and share(ballots[entity.span], entity.type) >= settings.doubtful_below:
                return entity
            questions = {v.name: verify(v, text, entity.span, entity.type, language) for v in judges}
            verdicts = await ask_all(questions, "verify", minutes)
            if not verdicts:
                return entity
            true = 2 * sum(probability >= settings.threshold for probability in verdicts.values()) > len(verdicts)
            return self._decided(entity, true, ballots[entity.span], minutes)

        results = await asyncio.gather(*map(judged, entities))
        return [entity for entity in results if entity is not None]

    def _judges(self, voices: Sequence[Voice]) -> list[Voice]:
        settings = self.config.verify
        if settings.mode == "all":
            return list(voices)
        named = [voice for voice in voices if voice.name == settings.member]
        return named or list(voices[:1])

    def _decided(self, entity: VotedEntity, true: bool, ballots: Ballots, minutes: Minutes) -> VotedEntity | None:
        """The entity after its verdict: kept, dropped, retyped or flagged."""
        if true:
            return replace(entity, verified=True)
        on_reject = self.config.verify.on_reject
        minutes.counts[f"rejected-{on_reject}"] += 1
        if on_reject == "flag":
            return replace(entity, verified=False)
        other = runner_up(ballots, entity.type, self.config.type_names) if on_reject == "retype" else None
        return None if other is None else replace(entity, type=other, score=None)

    def _arrange(self, entities: Sequence[VotedEntity], ballots: Mapping[Span, Ballots]) -> list[VotedEntity]:
        def strength(entity: VotedEntity) -> float:
            return self.voting.strength(entity, ballots[entity.span])

        return (flatten if self.config.entities.nested == "flatten" else nest)(entities, strength)


def build_pipeline(config: Config, meter: Meter, cache_path: Path | None = None) -> Pipeline:
    """The pipeline of a configuration; model weights are loaded at the first request.

    Raises:
        El4nerError: a model folder, an endpoint, the pool, the index or the embedder cannot be used.
    """
    store = AnswerStore(cache_path) if cache_path is not None else None
    members: dict[str, Member] = build_members(config, meter, store)
    voices = tuple(
        Voice(members[m.name], m, Prompts.of(m.prompt_style, config), answer_format(m.answer_format))
        for m in config.members
    )
    return Pipeline(config, voices, build_retriever(config), store)


def safe_text(text: str) -> str:
    """The text with the marks of the inline format replaced by look-alikes of the same length, so that offsets stay."""
    return text.replace(OPEN, "⟦⟦").replace(CLOSE, "⟧⟧")


def _any_span(text: str) -> list[Span]:
    first = next((i for i, character in enumerate(text) if not character.isspace()), 0)
    last = next((i for i in range(first, len(text)) if text[i].isspace()), len(text))
    return [Span(first, max(last, first + 1))]


def _written(messages: Sequence[Message]) -> str:
    return "\n".join(f"[{message.role}]\n{message.content}" for message in messages)


__all__ = ["Pipeline", "build_pipeline", "safe_text"]
