"""How much an overlapping span, or a doubtful or sure vote, counts as a vote for a candidate: learned from agreement."""

import numpy as np

from el4ner.vote.table import (
    FOUND_UNSURE,
    N_CODES,
    NEARLY_FOUND,
    NOT_FOUND,
    CodeArray,
    FloatArray,
    VoteTable,
    overlapping,
)

_STRENGTH = 30.0
_MIN, _MAX = -0.5, 1.5


def answer_weights(codes: CodeArray) -> FloatArray:
    """``(8,)``: the part of a vote that each code, from ``NOT_FOUND`` on, is worth; silence is 0, and votes are 1 on average.

    A code is worth as much as it raises the chance that a further member marks the candidate exactly, measured where a
    third member has marked it, so that the candidate would be seen in any case. With fewer than three members there is
    nothing to measure: an overlapping span then counts nothing, and every vote 1. Few cases are drawn towards these values. A
    candidate that was nearly found is compared with those that the same members did not find, for some overlook more than others.
    """
    votes = (codes >= FOUND_UNSURE).sum(axis=1)
    answered = (codes >= 0).sum(axis=1)
    by_member = np.zeros((2, N_CODES, codes.shape[1]))
    for code in range(N_CODES):
        others = votes - (code >= FOUND_UNSURE)
        trials = np.maximum(others, 0) * np.stack([others - 1, np.maximum(answered - 2, 0)])
        by_member[:, code] = trials @ (codes == code)
    confirmed, cases = by_member.sum(axis=2)
    hints = by_member[1, NEARLY_FOUND]
    overlooked = float((by_member[0, NOT_FOUND] / np.maximum(by_member[1, NOT_FOUND], 1)) @ hints)
    defaults = np.where(np.arange(N_CODES) >= FOUND_UNSURE, 1.0, 0.0)
    with_vote = confirmed[FOUND_UNSURE:].sum() / max(cases[FOUND_UNSURE:].sum(), 1)
    silent = confirmed[NOT_FOUND] / max(cases[NOT_FOUND], 1)
    if with_vote <= silent or not cases[NOT_FOUND]:
        return defaults
    confirmed[NEARLY_FOUND] += silent * cases[NEARLY_FOUND] - overlooked
    measured = (confirmed / np.maximum(cases, 1) - silent) / (with_vote - silent)
    trust = cases / (cases + _STRENGTH)
    values = np.clip(trust * measured + (1 - trust) * defaults, _MIN, _MAX)
    values[NOT_FOUND] = 0.0
    return np.asarray(values)


def strongest_overlapping(table: VoteTable, strengths: FloatArray) -> FloatArray:
    """``(n,)``: the greatest strength among the candidates that overlap each one, or -inf where there is none."""
    strongest = np.full(len(table), -np.inf)
    for one, two in overlapping(table.document, table.start, table.end):
        np.maximum.at(strongest, one, strengths[two])
        np.maximum.at(strongest, two, strengths[one])
    return strongest
