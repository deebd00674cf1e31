"""A combination rule applied to answers, as the command applies it to files."""

from collections.abc import Sequence
from typing import Any

from el4ner.combine.corpus import estimate
from el4ner.combine.decision import decide
from el4ner.combine.rules import CombinationRule, choose_by_count, entities_of
from el4ner.combine.weighted import weighted_shares
from el4ner.vote.entities import VotedEntity
from el4ner.vote.table import MemberOutputs, tabulate


def combine(
    documents: Sequence[MemberOutputs],
    members: Sequence[str],
    rule: CombinationRule = "agreement",
    *,
    at_least: int = 2,
    texts: Sequence[str] | None = None,
    **output: Any,
) -> list[tuple[VotedEntity, ...]]:
    """The combined entities of each document, sorted by place; ``output``: prefer and nested."""
    table = tabulate(documents, members)
    if rule == "agreement":
        scores = estimate(table, texts).probabilities
        return entities_of(table, decide(table, scores, **output).kept, scores)
    if rule == "weighted":
        return entities_of(table, decide(table, weighted_shares(table), **output).kept)
    return entities_of(table, choose_by_count(table, rule, at_least, **output))
