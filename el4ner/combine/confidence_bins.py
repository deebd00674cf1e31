"""Votes binned by the probabilities that members state: each member is compared with itself alone."""

import numpy as np

from el4ner.vote.table import FOUND_SURE, FOUND_UNSURE, NEARLY_FOUND, NOT_FOUND, CodeArray, FloatArray, VoteTable

NO_QUANTILES = np.array([-1.0, 2.0, 2.0])
"""Bounds that no probability passes."""


def confidence_quantiles(table: VoteTable) -> FloatArray:
    """``(3, M)``: up to where a vote is unsure, from where it is sure, from where a candidate is nearly found.

    The bounds are thirds of the probabilities that a member states, so that members need no common scale; a member that
    does not state them for all of its votes has none.
    """
    quantiles = np.repeat(NO_QUANTILES[:, None], len(table.members), axis=1)
    if table.probabilities is None:
        return quantiles
    for member in range(len(table.members)):
        stated, votes = table.probabilities[:, member], table.votes[:, member]
        quantiles[:2, member] = _thirds(stated[votes], quantiles[:2, member])
        silent = stated[(table.codes[:, member] == NOT_FOUND) & ~np.isnan(stated)]
        quantiles[2, member] = _thirds(silent, quantiles[1:, member])[1]
    return quantiles


def bin_by_confidence(table: VoteTable, quantiles: FloatArray) -> CodeArray:
    """``(n, M)``: the codes of a table, with ``FOUND_UNSURE``, ``FOUND_SURE`` and ``NEARLY_FOUND`` where probabilities say so."""
    if table.probabilities is None:
        return table.codes
    codes, stated, votes = table.codes.copy(), table.probabilities, table.votes
    codes[votes & (stated <= quantiles[0])] = FOUND_UNSURE
    codes[votes & (stated > quantiles[1])] = FOUND_SURE
    codes[(table.codes == NOT_FOUND) & (stated > quantiles[2])] = NEARLY_FOUND
    return codes


def _thirds(stated: FloatArray, otherwise: FloatArray) -> FloatArray:
    if not len(stated) or np.isnan(stated).any():
        return otherwise
    low, high = np.quantile(stated, [1 / 3, 2 / 3])
    return np.array([low, high]) if low < high else otherwise
