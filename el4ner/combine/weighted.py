"""The weighted share of votes: members weigh by how far they agree with the rest (after DiZiNER, arXiv 2604.15866)."""

import numpy as np

from el4ner.vote.table import FloatArray, VoteTable

EXPONENT = 3.0
"""Weights are agreement to this power, so that one clearly better member can outvote the others."""

_ROUNDS = 20
_SETTLED = 1e-4


def weighted_shares(table: VoteTable) -> FloatArray:
    """``(n,)``: the weighted share of the members that answered which found each candidate.

    A member is scored by its soft F1 with the weighted vote of the others, where any of them answered; weights follow
    from the scores, until both settle. (DiZiNER takes the plain mean of pairwise F1.)
    """
    votes, answered = table.votes.astype(np.float64), table.answered.astype(np.float64)
    scores = np.ones(len(table.members))
    for _ in range(_ROUNDS):
        weights = scores**EXPONENT
        others = (answered @ weights)[:, None] - answered * weights
        support = (votes @ weights)[:, None] - votes * weights
        share = np.divide(support, others, out=np.zeros_like(support), where=(others > 1e-12) & (answered > 0))
        sizes = (votes * (others > 1e-12)).sum(axis=0) + share.sum(axis=0)
        updated = np.divide(2 * (votes * share).sum(axis=0), sizes, out=np.zeros_like(sizes), where=sizes > 0)
        if not updated.any():
            scores = np.ones_like(scores)
            break
        change, scores = np.abs(updated - scores).max(), updated
        if change < _SETTLED:
            break
    weights = scores**EXPONENT
    return np.asarray((votes @ weights) / np.maximum(answered @ weights, 1e-12))
