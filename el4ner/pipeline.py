"""EL4NER: one window through all stages.

pre-extract (zero-shot, every member, union) -> demonstrations (SpanSim) -> extract (k-shot, every member, union)
-> classify (k-shot, every member, vote) -> verify -> entities

Members of role single-pass answer stages 1 and 3 with mentions and their types, which are candidates and votes in one; what they
disagree about they are asked to rescore. The answers of members of role mrc to one question a type are candidates and votes as
well; these members take part from the demonstrations on.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from el4ner.combine.voting import Votes, VotingRule, build_voting_rule, combiner_hash
from el4ner.config import Config, Language
from el4ner.demos.balance import question_demonstrations
from el4ner.demos.build import build_retriever
from el4ner.demos.lookup import lookup_mentions
from el4ner.demos.retrieve import Retriever
from el4ner.engines.answer_store import AnswerStore
from el4ner.engines.base import Engine, Request
from el4ner.engines.build import build_engines
from el4ner.engines.meter import Meter
from el4ner.prompts.copying import CLOSE, OPEN
from el4ner.recognisers.base import Diagnostics, PromptedMember, ask_all, by_role
from el4ner.recognisers.classify import classify
from el4ner.recognisers.extract import extract
from el4ner.recognisers.fit_to_context import most_similar
from el4ner.recognisers.mrc import ask_mrc_members
from el4ner.recognisers.preview import as_text, extractor_requests, first_question
from el4ner.recognisers.rescoring import rescore_all
from el4ner.recognisers.single_pass import STAGE as MARK
from el4ner.recognisers.single_pass import mark_all, marking_request
from el4ner.recognisers.typed_spans import TypedSpans, all_votes, merge_earlier, typed_spans_of
from el4ner.recognisers.verify import verify_all
from el4ner.text.documents import Document, Window
from el4ner.text.spans import Span
from el4ner.vote.entities import VotedEntity, WindowResult
from el4ner.vote.overlaps import flatten, nest
from el4ner.vote.union import unite
from el4ner.vote.votes import Candidate


@dataclass(frozen=True)
class Pipeline:
    """The ensemble over one pool. Safe to use for many windows at once.

    Attributes:
        config: the resolved configuration.
        members: the members with their prompts and answer formats.
        retriever: chooses demonstrations; None: zero-shot.
        store: the members' answers on disk, if they are kept.
        voting: the rule of the vote, from the configuration.
    """

    config: Config
    members: tuple[PromptedMember, ...]
    retriever: Retriever | None
    store: AnswerStore | None = None
    voting: VotingRule = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "voting", build_voting_rule(self.config))

    async def find(self, window: Window) -> WindowResult:
        """The entities of a window. A member's failure is an abstention, recorded in the result."""
        language = cast(Language, window.language)
        text = safe_text(window.text)
        diagnostics = Diagnostics()
        members = self._members_for(language)
        extractors, single_pass_members, mrc_members = by_role(members)
        found: dict[str, list[Span]] = {}
        earlier: dict[str, TypedSpans] = {}
        if self.config.extract.pre_extract and (extractors or single_pass_members or self._retrieves_by_spans()):
            found, earlier = await self._pre_extract(members, text, language, diagnostics)
        hints = unite(found)
        demonstrations = self._demonstrations(window.text, hints, language) if extractors or single_pass_members else ()
        examples = self._question_demonstrations(mrc_members, window.text, hints, language)
        again = self._needs_second_pass(found, demonstrations)
        names = {member.name for member in extractors}
        found, marked, answers = await asyncio.gather(
            self._extract(
                extractors,
                text,
                language,
                demonstrations,
                {n: spans for n, spans in found.items() if n in names},
                again,
                diagnostics,
            ),
            self._mark(single_pass_members, text, language, demonstrations, earlier, again, diagnostics),
            ask_mrc_members(mrc_members, text, language, examples, self.config, diagnostics),
        )
        if self.config.extract.keep_pre_extracted and not (extractors or single_pass_members):
            answers = merge_earlier(answers, earlier)
        if answers and self.config.mrc.lookup:
            near = self._lookup(window.text, language)
            answers = {name: near.added_to(answer) for name, answer in answers.items()}
        answers |= marked
        found |= {name: list(answer.types) for name, answer in answers.items()}
        candidates = unite(found, self.config.extract.min_members)
        if self.config.classify.rescore_disputed:
            seen = dict.fromkeys(marked, demonstrations if again else ())
            answers |= await rescore_all(single_pass_members, text, language, seen, candidates, marked, diagnostics)
        typed = await self._classify(extractors, text, language, demonstrations, candidates, diagnostics)
        votes = {span: all_votes(span, typed[span], found, answers, members, language) for span in candidates}
        total_weight = sum(member.weight(language) for member in members)
        voted = self.voting.decide(text, votes, total_weight)
        _record_vote_counts(votes, voted, diagnostics)
        discounted = self.voting.discounted_votes(votes)
        entities = await verify_all(extractors, text, language, voted, discounted, self.config, diagnostics)
        entities = [self.voting.scored(entity, discounted[entity.span], total_weight) for entity in entities]
        kept = self._arrange(entities, discounted, total_weight)
        diagnostics.counts["overlapping"] += len(entities) - len(kept)
        voters = {name for given in votes.values() for name in given}
        answered = set(found) & voters if candidates else set(found)
        said = tuple(Candidate(*item) for item in votes.items()) if self.config.batch.candidates else ()
        problems, counts, kind = tuple(diagnostics.problems), +diagnostics.counts, self.voting.score_kind
        return WindowResult(tuple(kept), tuple(sorted(answered)), problems, counts, said, kind)

    async def pre_extract(self, text: str, language: Language, diagnostics: Diagnostics) -> tuple[list[Span], set[str]]:
        """Stage 1: the union of the members' zero-shot spans, and who answered."""
        found, _ = await self._pre_extract(self._members_for(language), safe_text(text), language, diagnostics)
        return unite(found), set(found)

    async def close(self) -> None:
        """Give back what members and store hold."""
        await asyncio.gather(*(member.engine.close() for member in self.members))
        if self.store is not None:
            self.store.close()

    def preview(self, window: Window) -> list[tuple[str, str]]:
        """One rendered prompt a stage for the first members that take the window's language: (stage, prompt)."""
        language = cast(Language, window.language)
        text = safe_text(window.text)
        extractors, single_pass_members, mrc_members = by_role(self._members_for(language) or self.members)
        requests: list[tuple[str, Request]] = []
        demonstrations = self._demonstrations(window.text, [], language) if extractors or single_pass_members else ()
        if extractors:
            requests += extractor_requests(extractors[0], text, language, demonstrations, self.config)
        if single_pass_members:
            requests.append((MARK, marking_request(single_pass_members[0], text, language, demonstrations)))
        if mrc_members:
            examples = self._question_demonstrations(mrc_members, window.text, [], language)
            requests.append(first_question(mrc_members[0], text, language, examples, self.config))
        return [(stage, as_text(request.messages)) for stage, request in requests]

    def provenance(self) -> dict[str, Any]:
        """What the answers depend on: hashes of models, templates, pool and embedder."""
        combiner = combiner_hash(self.config)
        return {
            "members": {member.name: member.engine.fingerprint for member in self.members},
            "templates": sorted({(member.questions or member.prompts).identity for member in self.members}),
            "retrieval": None if self.retriever is None else self.retriever.provenance(),
            **({} if combiner is None else {"combiner": combiner}),
        }

    def _members_for(self, language: Language) -> list[PromptedMember]:
        return [member for member in self.members if member.supports(language)]

    def _demonstrations(self, text: str, hints: Sequence[Span], language: Language) -> tuple[Document, ...]:
        if self.retriever is None:
            return ()
        return _safe(self.retriever.retrieve(text, hints, language).demonstrations)

    def _retrieves_by_spans(self) -> bool:
        """Whether demonstrations of questions wait for spans of the text."""
        method, k = self.config.demonstrations.method, self.config.mrc.k
        return self.retriever is not None and method == "span" and k != 0

    def _question_demonstrations(
        self, mrc_members: Sequence[PromptedMember], text: str, hints: Sequence[Span], language: Language
    ) -> tuple[Document, ...]:
        """The demonstrations that all questions about a text share."""
        if self.retriever is None or not mrc_members:
            return ()
        c = self.config
        return _safe(
            question_demonstrations(self.retriever, c.demonstrations, c.mrc, c.type_names, text, hints, language)
        )

    def _lookup(self, text: str, language: Language) -> TypedSpans:
        """What the most similar sentences of the pool name in a text."""
        assert self.retriever is not None, "a lookup without a pool"
        near = self.retriever.retrieve(text, (), language, k=self.config.mrc.lookup, method="sentence")
        return typed_spans_of(lookup_mentions(text, near.demonstrations), self.config.type_names)

    async def _pre_extract(
        self, members: Sequence[PromptedMember], text: str, language: Language, diagnostics: Diagnostics
    ) -> tuple[dict[str, list[Span]], dict[str, TypedSpans]]:
        """Stage 1: spans by member, and what members said that name types with them.

        Members of role mrc, whom it costs a call for each question, are asked only where there are no others.
        """
        extractors, single_pass_members, mrc_members = by_role(members)
        if not extractors and not single_pass_members:
            answers = await ask_mrc_members(mrc_members, text, language, (), self.config, diagnostics)
            return {name: list(answer.types) for name, answer in answers.items()}, answers
        spans, marked = await asyncio.gather(
            self._extract_spans(extractors, text, language, (), diagnostics),
            mark_all(single_pass_members, text, language, (), self.config, diagnostics),
        )
        return spans | {name: list(answer.types) for name, answer in marked.items()}, marked

    def _needs_second_pass(self, found: Mapping[str, Sequence[Span]], demonstrations: Sequence[Document]) -> bool:
        """Whether stage 3 asks: not where there is nothing to show, or no doubt; what stage 1 found goes on then."""
        settings = self.config.extract
        if settings.pre_extract and not (settings.few_shot and demonstrations):
            return False
        return not (settings.few_shot == "doubtful" and _agree(found.values()))

    async def _extract(
        self,
        members: Sequence[PromptedMember],
        text: str,
        language: Language,
        demonstrations: Sequence[Document],
        pre_extracted: Mapping[str, list[Span]],
        again: bool,
        diagnostics: Diagnostics,
    ) -> dict[str, list[Span]]:
        """Stage 3: the spans of each member that go on."""
        if not again:
            return dict(pre_extracted)
        found = await self._extract_spans(members, text, language, demonstrations, diagnostics)
        if self.config.extract.keep_pre_extracted:
            return {name: [*pre_extracted.get(name, ()), *found.get(name, ())] for name in {**pre_extracted, **found}}
        return found

    async def _mark(
        self,
        members: Sequence[PromptedMember],
        text: str,
        language: Language,
        demonstrations: Sequence[Document],
        earlier: Mapping[str, TypedSpans],
        again: bool,
        diagnostics: Diagnostics,
    ) -> dict[str, TypedSpans]:
        """The same of members of role single-pass: what each says in the end."""
        if not again or not members:
            return dict(earlier) if members else {}
        marked = await mark_all(members, text, language, demonstrations, self.config, diagnostics)
        return merge_earlier(marked, earlier) if self.config.extract.keep_pre_extracted else marked

    async def _extract_spans(
        self,
        members: Sequence[PromptedMember],
        text: str,
        language: Language,
        demonstrations: Sequence[Document],
        diagnostics: Diagnostics,
    ) -> dict[str, list[Span]]:
        settings, order = self.config.extract, self.config.demonstrations.order
        questions = {v.name: extract(v, text, language, demonstrations, settings, diagnostics, order) for v in members}
        return await ask_all(questions, "extract" if demonstrations else "pre-extract", diagnostics)

    async def _classify(
        self,
        members: Sequence[PromptedMember],
        text: str,
        language: Language,
        demonstrations: Sequence[Document],
        candidates: Sequence[Span],
        diagnostics: Diagnostics,
    ) -> dict[Span, Votes]:
        asked = self._representatives(text, candidates)
        order = self.config.demonstrations.order
        near = most_similar(demonstrations, self.config.classify.k, order)
        together = [
            ask_all(
                {v.name: classify(v, text, span, language, near, diagnostics, order) for v in members},
                "classify",
                diagnostics,
            )
            for span in asked
        ]
        votes = dict(zip(asked, await asyncio.gather(*together), strict=True))
        if self.config.classify.ask_per == "occurrence":
            return dict(votes)
        by_surface = {span.surface(text): cast(Votes, given) for span, given in votes.items()}
        return {span: by_surface[span.surface(text)] for span in candidates}

    def _representatives(self, text: str, candidates: Sequence[Span]) -> list[Span]:
        """The spans to ask about: all, or the first of each surface."""
        if self.config.classify.ask_per == "occurrence":
            return list(candidates)
        return list({span.surface(text): span for span in reversed(candidates)}.values())

    def _arrange(
        self, entities: Sequence[VotedEntity], discounted: Mapping[Span, Votes], total_weight: float
    ) -> list[VotedEntity]:
        def strength(entity: VotedEntity) -> float:
            return self.voting.strength(entity, discounted[entity.span], total_weight)

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
    engines: dict[str, Engine] = build_engines(config, meter, store)
    members = tuple(PromptedMember.of(engines[settings.name], settings, config) for settings in config.members)
    return Pipeline(config, members, build_retriever(config, pool), store)


def safe_text(text: str) -> str:
    """The text with the marks of the inline format replaced by look-alikes of the same length, so that offsets stay."""
    return text.replace(OPEN, "⟦⟦").replace(CLOSE, "⟧⟧")


def _record_vote_counts(votes: Mapping[Span, Votes], elected: Sequence[VotedEntity], diagnostics: Diagnostics) -> None:
    """Count candidates, those that the vote rejected, and who voted for no entity: a run that finds nothing can say why."""
    diagnostics.counts["candidates"] += len(votes)
    diagnostics.counts["voted-out"] += len(votes.keys() - {entity.span for entity in elected})
    for given in votes.values():
        diagnostics.counts.update(f"none-by-{name}" for name, vote in given.items() if vote.type is None)


def _agree(found: Collection[Sequence[Span]]) -> bool:
    """Whether several members found the same spans."""
    return len(found) > 1 and len({frozenset(spans) for spans in found}) == 1


def _safe(documents: Sequence[Document]) -> tuple[Document, ...]:
    return tuple(replace(document, text=safe_text(document.text)) for document in documents)


__all__ = ["Pipeline", "build_pipeline", "safe_text"]
