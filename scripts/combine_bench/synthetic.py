"""Made-up ensembles: members of different worth, shared mistakes, families, rival boundaries; gold is known."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from el4ner.vote.table import BoolArray, FloatArray, IntArray, VoteTable, from_cells

N_TYPES = 4
_SLOT = 10


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an ensemble is made.

    Attributes:
        recall: per member, the chance to notice a mention of middling difficulty.
        noise: per member, how many things it invents in a document.
        slips: per member, the chance that a noticed mention gets a wrong boundary or type.
        families: per member, the family whose moods it shares; None: all are strangers.
        kinship: spread of what a family shares, in logits.
        lures: things in a document that are no mentions, and tempt everybody.
        lure_appeal: how tempting they are, in logits below a mention.
        difficulty: spread of how hard mentions and lures are, in logits.
        candour: by how many standard deviations a member is surer where it is right; 0: it states no probabilities.
    """

    recall: Sequence[float]
    noise: Sequence[float]
    slips: Sequence[float]
    families: Sequence[int] | None = None
    kinship: float = 1.5
    lures: float = 3.0
    lure_appeal: float = 1.5
    difficulty: float = 1.0
    candour: float = 0.0


RECIPES = {
    "3 equals": Recipe([0.7] * 3, [0.5] * 3, [0.15] * 3),
    "5 equals": Recipe([0.6] * 5, [0.8] * 5, [0.2] * 5),
    "6 weak ones": Recipe([0.35] * 6, [1.0] * 6, [0.3] * 6),
    "4 without private noise": Recipe([0.6] * 4, [0.1] * 4, [0.2] * 4, lures=5.0, lure_appeal=1.0),
    "1 of 3 better": Recipe([0.85, 0.5, 0.5], [0.2, 1.0, 1.2], [0.05, 0.3, 0.3]),
    "1 of 4 better": Recipe([0.85, 0.5, 0.5, 0.45], [0.3, 1.2, 1.2, 1.4], [0.05, 0.3, 0.3, 0.3]),
    "1 of 7 better": Recipe([0.9] + [0.45] * 6, [0.2] + [1.2] * 6, [0.05] + [0.3] * 6),
    "graded": Recipe([0.8, 0.7, 0.55, 0.4], [0.3, 0.6, 1.0, 1.4], [0.1, 0.15, 0.25, 0.3]),
    "2 families of 2, one better": Recipe([0.8, 0.7, 0.5, 0.45], [0.4, 0.6, 1, 1], [0.1, 0.15, 0.3, 0.3], [0, 0, 1, 1]),
    "3 families of 2": Recipe([0.65] * 6, [0.6] * 6, [0.2] * 6, [0, 0, 1, 1, 2, 2]),
    "3 kin beside a better stranger": Recipe([0.8] + [0.55] * 3, [0.3] + [0.8] * 3, [0.1] + [0.3] * 3, [0, 1, 1, 1]),
    "12 in 3 families": Recipe([0.6] * 4 + [0.5] * 8, [0.8] * 12, [0.2] * 12, [0] * 4 + [1] * 4 + [2] * 4),
    "precise, greedy, plain": Recipe([0.4, 0.8, 0.6], [0.05, 2.0, 0.6], [0.1, 0.3, 0.15]),
    "1 useless of 4": Recipe([0.7, 0.7, 0.7, 0.1], [0.5, 0.5, 0.5, 3.0], [0.15] * 3 + [0.5]),
    "2 of different worth": Recipe([0.8, 0.5], [0.4, 1.0], [0.1, 0.3]),
}


def make(recipe: Recipe, n_documents: int = 150, seed: int = 0) -> tuple[VoteTable, BoolArray, int]:
    """The table of an ensemble's answers, ``(n,)`` which candidates are right, and the number of gold entities."""
    rng = np.random.default_rng(seed)
    n_members = len(recipe.recall)
    document, slot, real = _things(rng, recipe, n_documents)
    n = len(document)
    kind = rng.integers(N_TYPES, size=n)
    trait = rng.normal(0, recipe.difficulty, n) - np.where(real, 0, recipe.lure_appeal)
    families = np.arange(n_members) if recipe.families is None else np.asarray(recipe.families)
    moods = rng.normal(0, recipe.kinship if recipe.families is not None else 0.0, (n, families.max() + 1))
    usual = rng.integers(1, 4, size=(n, families.max() + 1))  # the slip that a family makes with a mention
    found = []
    for member in range(n_members):
        probability = _logit(recipe.recall[member]) + trait + moods[:, families[member]]
        noticed = np.flatnonzero(rng.random(n) < 1 / (1 + np.exp(-probability)))
        own = np.where(rng.random(n) < 0.5, usual[:, families[member]], rng.integers(1, 4, size=n))
        slip = np.where(rng.random(n) < recipe.slips[member], own, 0)[noticed]
        found.append(_cells(document[noticed], slot[noticed], kind[noticed], slip, member))
        count = rng.poisson(recipe.noise[member] * n_documents)
        invented = rng.integers(n_documents, size=count), rng.integers(60, size=count)
        found.append(_cells(*invented, rng.integers(N_TYPES, size=count), rng.integers(2, size=count), member))
    gold = _cells(document[real], slot[real], kind[real], np.zeros(real.sum(), dtype=np.int64), 0)[:, :4]
    names = tuple(f"m{index}" for index in range(n_members))
    answered = np.ones((n_documents, n_members), dtype=np.bool_)
    cells = np.concatenate(found)
    probabilities = _stated(rng, cells, gold, recipe.candour) if recipe.candour else None
    table = from_cells(cells, answered, names, tuple("ABCD"), probabilities)
    return table, _among(table, gold), len(np.unique(gold, axis=0))


def _stated(rng: np.random.Generator, cells: IntArray, gold: IntArray, candour: float) -> FloatArray:
    """``(findings,)``: probabilities that are greater, on the whole, where a finding is right."""
    right = np.isin(_key(*cells.T[:4]), _key(*gold.T))
    return np.asarray(1 / (1 + np.exp(-(rng.normal(1.0, 1.0, len(cells)) + candour * right))))


def _things(rng: np.random.Generator, recipe: Recipe, n_documents: int) -> tuple[IntArray, IntArray, BoolArray]:
    """Mentions and lures at different slots of the documents."""
    count = rng.poisson(2.5 + recipe.lures, n_documents)
    document = np.repeat(np.arange(n_documents), count)
    slot = rng.integers(60, size=len(document))
    _, kept = np.unique(document * 60 + slot, return_index=True)
    real = rng.random(len(kept)) < 2.5 / (2.5 + recipe.lures)
    return document[kept], slot[kept], real


def _cells(document: IntArray, slot: IntArray, kind: IntArray, slip: IntArray, member: int) -> IntArray:
    """Findings; slip 0: as meant, 1: too long, 2: too short, 3: another type."""
    start = slot * _SLOT
    end = start + 5 + np.choose(slip, [0, 3, -2, 0])
    kind = np.where(slip == 3, (kind + 1) % N_TYPES, kind)
    return np.stack([document, start, end, kind, np.full_like(document, member)], axis=1)


def _among(table: VoteTable, gold: IntArray) -> BoolArray:
    return np.isin(_key(table.document, table.start, table.end, table.type), _key(*gold.T))


def _key(document: IntArray, start: IntArray, end: IntArray, kind: IntArray) -> IntArray:
    return ((document * 1000 + start) * 1000 + end) * N_TYPES + kind


def _logit(p: float) -> FloatArray:
    return np.asarray(np.log(p / (1 - p)))
