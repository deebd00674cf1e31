"""Votes and silences by the probabilities that members state: each member is compared with itself alone."""

import numpy as np

from el4ner.ensemble.table import DOUBTFUL, HINTED, SILENT, SURE, CodeArray, FloatArray, VoteTable

NEVER = np.array([-1.0, 2.0, 2.0])
"""Cuts that no probability passes."""


def measure_cuts(table: VoteTable) -> FloatArray:
    """``(3, M)``: up to where a vote is doubtful, from where it is sure, from where a silence is a hint.

    The cuts are thirds of the probabilities that a member states, so that members need no common scale; a member that
    does not state them for all of its votes has none.
    """
    cuts = np.repeat(NEVER[:, None], len(table.members), axis=1)
    if table.chances is None:
        return cuts
    for member in range(len(table.members)):
        stated, votes = table.chances[:, member], table.votes[:, member]
        cuts[:2, member] = _thirds(stated[votes], cuts[:2, member])
        silent = stated[(table.codes[:, member] == SILENT) & ~np.isnan(stated)]
        cuts[2, member] = _thirds(silent, cuts[1:, member])[1]
    return cuts


def grade(table: VoteTable, cuts: FloatArray) -> CodeArray:
    """``(n, M)``: the codes of a table with ``DOUBTFUL`` and ``SURE`` votes and ``HINTED`` silences told apart."""
    if table.chances is None:
        return table.codes
    codes, stated, votes = table.codes.copy(), table.chances, table.votes
    codes[votes & (stated <= cuts[0])] = DOUBTFUL
    codes[votes & (stated > cuts[1])] = SURE
    codes[(table.codes == SILENT) & (stated > cuts[2])] = HINTED
    return codes


def _thirds(stated: FloatArray, otherwise: FloatArray) -> FloatArray:
    if not len(stated) or np.isnan(stated).any():
        return otherwise
    low, high = np.quantile(stated, [1 / 3, 2 / 3])
    return np.array([low, high]) if low < high else otherwise
