"""EL4NER: one window through all stages.

pre-extract (zero-shot, every member, union) -> demonstrations (SpanSim) -> extract (k-shot, every member, union)
-> classify (k-shot, every member, vote) -> verify -> entities

Members of role single-pass answer stages 1 and 3 with mentions and their types, which are candidates and votes in one; what they
disagree about they are asked to weigh. The answers of members of role mrc to one question a type are candidates and votes as
well; these members take part from the demonstrations on.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from el4ner.config import Config, Language
from el4ner.demos.balance import question_demonstrations
from el4ner.demos.lookup import looked_up
from el4ner.demos.retrieve import Retriever
from el4ner.ensemble.ballots import Candidate
from el4ner.ensemble.entities import VotedEntity, WindowResult
from el4ner.ensemble.nesting import flatten, nest
from el4ner.ensemble.union import unite
from el4ner.members.base import Member, Request
from el4ner.members.build import build_members
from el4ner.members.meter import Meter
from el4ner.members.store import AnswerStore
from el4ner.prompts.copying import CLOSE, OPEN
from el4ner.stages.answers import Answers, all_ballots, answers_of, with_earlier
from el4ner.stages.asking import Minutes, Voice, ask_all, by_role
from el4ner.stages.classify import classify
from el4ner.stages.demonstrations import build_retriever
from el4ner.stages.extract import extract
from el4ner.stages.mrc import ask_readers
from el4ner.stages.preview import first_question, step_requests, written
from el4ner.stages.showing import most_similar
from el4ner.stages.single_pass import STAGE as MARK
from el4ner.stages.single_pass import mark_all, marking_request
from el4ner.stages.verify import verify_all
from el4ner.stages.voting import Ballots, Voting, build_voting, combiner_hash, count_votes
from el4ner.stages.weighing import weigh_all
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
        steps, markers, readers = by_role(voices)
        found: dict[str, list[Span]] = {}
        earlier: dict[str, Answers] = {}
        if self.config.extract.pre_extract and (steps or markers or self._retrieves_by_spans()):
            found, earlier = await self._pre_extract(voices, text, language, minutes)
        hints = unite(found)
        shown = self._demonstrations(window.text, hints, language) if steps or markers else ()
        examples = self._for_questions(readers, window.text, hints, language)
        again = self._asks_again(found, shown)
        names = {voice.name for voice in steps}
        found, marked, answers = await asyncio.gather(
            self._extract(
                steps, text, language, shown, {n: spans for n, spans in found.items() if n in names}, again, minutes
            ),
            self._mark(markers, text, language, shown, earlier, again, minutes),
            ask_readers(readers, text, language, examples, self.config, minutes),
        )
        if self.config.extract.keep_pre_extracted and not (steps or markers):
            answers = with_earlier(answers, earlier)
        if answers and self.config.mrc.lookup:
            near = self._looked_up(window.text, language)
            answers = {name: near.added_to(answer) for name, answer in answers.items()}
        answers |= marked
        found |= {name: list(answer.types) for name, answer in answers.items()}
        candidates = unite(found, self.config.extract.min_members)
        if self.config.classify.weigh:
            seen = dict.fromkeys(marked, shown if again else ())
            answers |= await weigh_all(markers, text, language, seen, candidates, marked, minutes)
        typed = await self._classify(steps, text, language, shown, candidates, minutes)
        ballots = {span: all_ballots(span, typed[span], found, answers, voices, language) for span in candidates}
        electorate = sum(voice.weight(language) for voice in voices)
        voted = self.voting.decide(text, ballots, electorate)
        count_votes(ballots, voted, minutes)
        heard = self.voting.heard(ballots)
        entities = await verify_all(steps, text, language, voted, heard, self.config, minutes)
        entities = [self.voting.scored(entity, heard[entity.span], electorate) for entity in entities]
        kept = self._arrange(entities, heard, electorate)
        minutes.counts["overlapping"] += len(entities) - len(kept)
        voters = {name for given in ballots.values() for name in given}
        answered = set(found) & voters if candidates else set(found)
        said = tuple(Candidate(*item) for item in ballots.items()) if self.config.batch.candidates else ()
        problems, counts, kind = tuple(minutes.problems), +minutes.counts, self.voting.score_kind
        return WindowResult(tuple(kept), tuple(sorted(answered)), problems, counts, said, kind)

    async def pre_extract(self, text: str, language: Language, minutes: Minutes) -> tuple[list[Span], set[str]]:
        """Stage 1: the union of the members' zero-shot spans, and who answered."""
        found, _ = await self._pre_extract(self._speakers(language), safe_text(text), language, minutes)
        return unite(found), set(found)

    async def close(self) -> None:
        """Give back what members and store hold."""
        await asyncio.gather(*(voice.member.close() for voice in self.voices))
        if self.store is not None:
            self.store.close()

    def preview(self, window: Window) -> list[tuple[str, str]]:
        """One rendered prompt a stage for the first members that take the window's language: (stage, prompt)."""
        language = cast(Language, window.language)
        text = safe_text(window.text)
        steps, markers, readers = by_role(self._speakers(language) or self.voices)
        requests: list[tuple[str, Request]] = []
        shown = self._demonstrations(window.text, [], language) if steps or markers else ()
        if steps:
            requests += step_requests(steps[0], text, language, shown, self.config)
        if markers:
            requests.append((MARK, marking_request(markers[0], text, language, shown)))
        if readers:
            examples = self._for_questions(readers, window.text, [], language)
            requests.append(first_question(readers[0], text, language, examples, self.config))
        return [(stage, written(request.messages)) for stage, request in requests]

    def provenance(self) -> dict[str, Any]:
        """What the answers depend on: hashes of models, templates, pool and embedder."""
        combiner = combiner_hash(self.config)
        return {
            "members": {voice.name: voice.member.fingerprint for voice in self.voices},
            "templates": sorted({(voice.questions or voice.prompts).identity for voice in self.voices}),
            "retrieval": None if self.retriever is None else self.retriever.provenance(),
            **({} if combiner is None else {"combiner": combiner}),
        }

    def _speakers(self, language: Language) -> list[Voice]:
        return [voice for voice in self.voices if voice.speaks(language)]

    def _demonstrations(self, text: str, hints: Sequence[Span], language: Language) -> tuple[Document, ...]:
        if self.retriever is None:
            return ()
        return _safe(self.retriever.retrieve(text, hints, language).demonstrations)

    def _retrieves_by_spans(self) -> bool:
        """Whether demonstrations of questions wait for spans of the text."""
        method, k = self.config.demonstrations.method, self.config.mrc.k
        return self.retriever is not None and method == "span" and k != 0

    def _for_questions(
        self, readers: Sequence[Voice], text: str, hints: Sequence[Span], language: Language
    ) -> tuple[Document, ...]:
        """The demonstrations that all questions about a text share."""
        if self.retriever is None or not readers:
            return ()
        c = self.config
        return _safe(
            question_demonstrations(self.retriever, c.demonstrations, c.mrc, c.type_names, text, hints, language)
        )

    def _looked_up(self, text: str, language: Language) -> Answers:
        """What the most similar sentences of the pool name in a text."""
        assert self.retriever is not None, "a lookup without a pool"
        near = self.retriever.retrieve(text, (), language, k=self.config.mrc.lookup, method="sentence")
        return answers_of(looked_up(text, near.demonstrations), self.config.type_names)

    async def _pre_extract(
        self, voices: Sequence[Voice], text: str, language: Language, minutes: Minutes
    ) -> tuple[dict[str, list[Span]], dict[str, Answers]]:
        """Stage 1: spans by member, and what members said that name types with them.

        Members of role mrc, whom it costs a call for each question, are asked only where there are no others.
        """
        steps, markers, readers = by_role(voices)
        if not steps and not markers:
            answers = await ask_readers(readers, text, language, (), self.config, minutes)
            return {name: list(answer.types) for name, answer in answers.items()}, answers
        spans, marked = await asyncio.gather(
            self._ask_spans(steps, text, language, (), minutes),
            mark_all(markers, text, language, (), self.config, minutes),
        )
        return spans | {name: list(answer.types) for name, answer in marked.items()}, marked

    def _asks_again(self, found: Mapping[str, Sequence[Span]], shown: Sequence[Document]) -> bool:
        """Whether stage 3 asks: not where there is nothing to show, or no doubt; what stage 1 found goes on then."""
        settings = self.config.extract
        if settings.pre_extract and not (settings.few_shot and shown):
            return False
        return not (settings.few_shot == "doubtful" and _agree(found.values()))

    async def _extract(
        self,
        voices: Sequence[Voice],
        text: str,
        language: Language,
        shown: Sequence[Document],
        pre_extracted: Mapping[str, list[Span]],
        again: bool,
        minutes: Minutes,
    ) -> dict[str, list[Span]]:
        """Stage 3: the spans of each member that go on."""
        if not again:
            return dict(pre_extracted)
        found = await self._ask_spans(voices, text, language, shown, minutes)
        if self.config.extract.keep_pre_extracted:
            return {name: [*pre_extracted.get(name, ()), *found.get(name, ())] for name in {**pre_extracted, **found}}
        return found

    async def _mark(
        self,
        voices: Sequence[Voice],
        text: str,
        language: Language,
        shown: Sequence[Document],
        earlier: Mapping[str, Answers],
        again: bool,
        minutes: Minutes,
    ) -> dict[str, Answers]:
        """The same of members of role single-pass: what each says in the end."""
        if not again or not voices:
            return dict(earlier) if voices else {}
        marked = await mark_all(voices, text, language, shown, self.config, minutes)
        return with_earlier(marked, earlier) if self.config.extract.keep_pre_extracted else marked

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

    def _arrange(
        self, entities: Sequence[VotedEntity], heard: Mapping[Span, Ballots], electorate: float
    ) -> list[VotedEntity]:
        def strength(entity: VotedEntity) -> float:
            return self.voting.strength(entity, heard[entity.span], electorate)

        return (flatten if self.config.entities.nested == "flatten" else nest)(entities, strength)


def build_pipeline(
    config: Config, meter: Meter, cache_path: Path | None = None, pool: Sequence[Document] | None = None
) -> Pipeline:
    """The pipeline of a configuration; model weights are loaded at the first request.

    Args:
        config: the configuration.
        meter: counts what members are asked.
        cache_path: keep the members' answers in this file.
        pool: labelled sentences in place of those that the configuration names.

    Raises:
        El4nerError: a model folder, an endpoint, the pool, the index or the embedder cannot be used.
    """
    store = AnswerStore(cache_path) if cache_path is not None else None
    members: dict[str, Member] = build_members(config, meter, store)
    voices = tuple(Voice.of(members[settings.name], settings, config) for settings in config.members)
    return Pipeline(config, voices, build_retriever(config, pool), store)


def safe_text(text: str) -> str:
    """The text with the marks of the inline format replaced by look-alikes of the same length, so that offsets stay."""
    return text.replace(OPEN, "⟦⟦").replace(CLOSE, "⟧⟧")


def _agree(found: Collection[Sequence[Span]]) -> bool:
    """Whether several members found the same spans."""
    return len(found) > 1 and len({frozenset(spans) for spans in found}) == 1


def _safe(documents: Sequence[Document]) -> tuple[Document, ...]:
    return tuple(replace(document, text=safe_text(document.text)) for document in documents)


__all__ = ["Pipeline", "build_pipeline", "safe_text"]
