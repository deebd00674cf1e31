"""EL4NER: one window through five steps.

1. pre-extract: every recogniser, zero-shot; the union of their spans
2. demonstrations: labelled sentences of the pool whose spans are most alike (SpanSim)
3. propose: every recogniser, k-shot; the union of their spans are the candidates
4. vote: every recogniser, on every candidate
5. decide: who wins the vote, what the judges say of it, what may overlap

How a recogniser proposes and votes is its own affair (``recognisers/base.py``). One that types spans as it finds them has voted.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from el4ner.combine.voting import Votes, VotingRule, build_voting_rule, combiner_hash
from el4ner.config import Config
from el4ner.demos.build import build_retriever
from el4ner.demos.lookup import lookup_mentions
from el4ner.demos.retrieve import Retriever
from el4ner.engines.answer_store import AnswerStore
from el4ner.engines.build import build_engines
from el4ner.engines.meter import Meter
from el4ner.prompts.copying import escape_marks
from el4ner.recognisers.base import Recogniser, Rescorer, WindowContext
from el4ner.recognisers.build import build_recognisers
from el4ner.recognisers.proposal import Proposal, disputed, proposal_of
from el4ner.recognisers.verification import verify
from el4ner.text.documents import Document, Window
from el4ner.text.spans import Span
from el4ner.vote.entities import VotedEntity, WindowResult
from el4ner.vote.overlaps import flatten, nest
from el4ner.vote.union import unite
from el4ner.vote.votes import Candidate

Members: TypeAlias = Sequence[Recogniser]
Proposals: TypeAlias = Mapping[str, Proposal]
"""By member; those that abstained are missing."""
Demonstrations: TypeAlias = Mapping[str, tuple[Document, ...]]
"""The demonstrations of each member, in prompt order."""


@dataclass(frozen=True)
class Pipeline:
    """The ensemble over one pool. Safe to use for many windows at once.

    Attributes:
        config: the resolved configuration.
        members: the recognisers.
        retriever: chooses demonstrations; None: zero-shot.
        store: the members' answers on disk, if they are kept.
        voting: the rule of the vote, from the configuration.
    """

    config: Config
    members: tuple[Recogniser, ...]
    retriever: Retriever | None
    store: AnswerStore | None = None
    voting: VotingRule = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "voting", build_voting_rule(self.config))

    async def find(self, window: Window) -> WindowResult:
        """The entities of a window. A member's failure is an abstention, recorded in the result."""
        context = WindowContext.of(window.text, window.language)
        members = self._members_for(context)
        first = await self._pre_extract(members, context) if self._needs_pre_extraction(members) else {}
        shown = self._demonstrations(members, context, unite(_spans(first)))
        proposals = await self._propose(members, context, first, shown)
        votes = await self._vote(members, context, proposals, shown)
        entities = await self._decide(members, context, votes)
        return self._result(context, proposals, votes, entities)

    async def _pre_extract(self, members: Members, context: WindowContext) -> Proposals:
        """Step 1: what members find zero-shot; where none of them pre-extracts, all are asked."""
        asked = [member for member in members if member.pre_extracts] or members
        return await _proposals(asked, context, {member.name: () for member in asked})

    def _demonstrations(self, members: Members, context: WindowContext, hints: Sequence[Span]) -> Demonstrations:
        """Step 2: the demonstrations of each member, chosen by the spans that were found so far."""
        if self.retriever is None:
            return {member.name: () for member in members}
        choosers = {member.choose_demonstrations for member in members}
        chosen = {
            choose: _escaped(choose(self.retriever, self.config, context, hints)) if choose else ()
            for choose in choosers
        }
        return {member.name: chosen[member.choose_demonstrations] for member in members}

    async def _propose(
        self, members: Members, context: WindowContext, first: Proposals, shown: Demonstrations
    ) -> Proposals:
        """Step 3: what each member finds k-shot; one that is not asked again keeps its first proposal."""
        again = [member for member in members if self._asks_again(member, first, shown)]
        later = await _proposals(again, context, shown)
        keep_all, asked = self.config.extract.keep_pre_extracted, {member.name for member in again}
        kept = {name: proposal for name, proposal in first.items() if keep_all or name not in asked}
        final = {**kept, **later}
        final |= {name: kept[name].added_to(later[name]) for name in kept.keys() & later.keys()}
        for member in members:
            if member.lookup and member.name in final:
                final[member.name] = self._look_up(member, context, final[member.name])
        return final

    async def _vote(
        self, members: Members, context: WindowContext, proposals: Proposals, shown: Demonstrations
    ) -> dict[Span, Votes]:
        """Step 4: the votes on each candidate, in the order of the members."""
        candidates = unite(_spans(proposals))
        if self.config.classify.rescore_disputed:
            proposals = {**proposals, **await _rescored(members, context, candidates, proposals)}
        given = await asyncio.gather(
            *(m.vote(context, candidates, proposals.get(m.name), shown[m.name]) for m in members)
        )
        by_member = list(zip(members, given, strict=True))
        return {span: {m.name: votes[span] for m, votes in by_member if span in votes} for span in candidates}

    async def _decide(self, members: Members, context: WindowContext, votes: Mapping[Span, Votes]) -> list[VotedEntity]:
        """Step 5: the entities that win the vote, pass verification, and may stand beside each other; with scores."""
        weight = sum(member.weight(context.language) for member in members)
        elected = self.voting.decide(context.text, votes, weight)
        _count_votes(votes, elected, context)
        counted = self.voting.discounted_votes(votes)
        verified = await verify(members, context, elected, counted, self.config)
        scored = [self.voting.scored(entity, counted[entity.span], weight) for entity in verified]
        arrange = flatten if self.config.entities.nested == "flatten" else nest
        kept = arrange(scored, lambda entity: self.voting.strength(entity, counted[entity.span], weight))
        context.counts["overlapping"] += len(scored) - len(kept)
        return kept

    def _result(
        self,
        context: WindowContext,
        proposals: Proposals,
        votes: Mapping[Span, Votes],
        entities: Sequence[VotedEntity],
    ) -> WindowResult:
        voters = {name for given in votes.values() for name in given}
        answered = proposals.keys() & voters if votes else proposals.keys()
        candidates = tuple(Candidate(*item) for item in votes.items()) if self.config.batch.candidates else ()
        return WindowResult(
            entities=tuple(entities),
            members_answered=tuple(sorted(answered)),
            problems=tuple(context.problems),
            counts=+context.counts,
            candidates=candidates,
            score_kind=self.voting.score_kind,
        )

    def _members_for(self, context: WindowContext) -> list[Recogniser]:
        return [member for member in self.members if member.supports(context.language)]

    def _needs_pre_extraction(self, members: Members) -> bool:
        """Whether anybody pre-extracts, or the choice of somebody's demonstrations waits for spans."""
        waits = self.retriever is not None and self.config.demonstrations.method == "span"
        return self.config.extract.pre_extract and any(
            m.pre_extracts or (waits and m.choose_demonstrations) for m in members
        )

    def _asks_again(self, member: Recogniser, first: Proposals, shown: Demonstrations) -> bool:
        """Whether step 3 asks a member: not where it has been asked and there is nothing to show, or no doubt."""
        settings = self.config.extract
        if not (settings.pre_extract and member.pre_extracts):
            return True
        if not (settings.few_shot and shown[member.name]):
            return False
        return not (settings.few_shot == "doubtful" and _agree(first.values()))

    def _look_up(self, member: Recogniser, context: WindowContext, proposal: Proposal) -> Proposal:
        """A member's proposal, and what the most similar sentences of the pool name in the text."""
        assert self.retriever is not None, "a lookup without a pool"
        near = self.retriever.retrieve(context.original, (), context.language, k=member.lookup, method="sentence")
        named = lookup_mentions(context.original, near.demonstrations)
        return proposal_of(named, self.config.type_names).added_to(proposal)

    async def pre_extract(self, context: WindowContext) -> tuple[list[Span], set[str]]:
        """Step 1 alone: the union of the members' zero-shot spans, and who answered."""
        found = await self._pre_extract(self._members_for(context), context)
        return unite(_spans(found)), set(found)

    async def close(self) -> None:
        """Give back what members and store hold."""
        await asyncio.gather(*(member.close() for member in self.members))
        if self.store is not None:
            self.store.close()

    def preview(self, window: Window) -> list[tuple[str, str]]:
        """One rendered prompt a stage, of the first members that take the window's language: (stage, prompt)."""
        context = WindowContext.of(window.text, window.language)
        members = self._members_for(context) or self.members
        shown = self._demonstrations(members, context, ())
        prompts: dict[str, str] = {}
        for member in members:
            for stage, prompt in member.preview(context, shown[member.name]):
                prompts.setdefault(stage, prompt)
        return list(prompts.items())

    def provenance(self) -> dict[str, Any]:
        """What the answers depend on: hashes of models, templates, pool and embedder."""
        combiner = combiner_hash(self.config)
        return {
            "members": {member.name: member.fingerprint for member in self.members},
            "templates": sorted({member.templates for member in self.members if member.templates}),
            "retrieval": None if self.retriever is None else self.retriever.provenance(),
            **({} if combiner is None else {"combiner": combiner}),
        }


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
    members = build_recognisers(config, build_engines(config, meter, store))
    return Pipeline(config, members, build_retriever(config, pool), store)


async def _proposals(members: Members, context: WindowContext, shown: Demonstrations) -> dict[str, Proposal]:
    """What each member finds; those that abstain are missing."""
    found = await asyncio.gather(*(member.propose(context, shown[member.name]) for member in members))
    return {member.name: proposal for member, proposal in zip(members, found, strict=True) if proposal is not None}


async def _rescored(
    members: Members, context: WindowContext, candidates: Sequence[Span], proposals: Proposals
) -> dict[str, Proposal]:
    """The proposals of those members that can tell how probable they find what they do not read alike."""
    able = [
        (member, proposals[member.name])
        for member in members
        if isinstance(member, Rescorer) and member.name in proposals and proposals[member.name].complete
    ]
    groups = disputed(candidates, [proposal for _, proposal in able])
    if not groups:
        return {}
    rescored = await asyncio.gather(*(member.rescore(context, groups, proposal) for member, proposal in able))
    return {member.name: proposal for (member, _), proposal in zip(able, rescored, strict=True)}


def _count_votes(votes: Mapping[Span, Votes], elected: Sequence[VotedEntity], context: WindowContext) -> None:
    """Count candidates, those that the vote rejected, and who voted for no entity: a run that finds nothing can say why."""
    context.counts["candidates"] += len(votes)
    context.counts["voted-out"] += len(votes.keys() - {entity.span for entity in elected})
    for given in votes.values():
        context.counts.update(f"none-by-{name}" for name, vote in given.items() if vote.type is None)


def _spans(proposals: Proposals) -> dict[str, Collection[Span]]:
    return {name: proposal.types.keys() for name, proposal in proposals.items()}


def _agree(proposals: Collection[Proposal]) -> bool:
    """Whether several members found the same spans."""
    return len(proposals) > 1 and len({frozenset(proposal.types) for proposal in proposals}) == 1


def _escaped(documents: Sequence[Document]) -> tuple[Document, ...]:
    return tuple(replace(document, text=escape_marks(document.text)) for document in documents)


__all__ = ["Pipeline", "build_pipeline"]
