"""The searchable spans and sentences of one language: FAISS for candidates, exact SpanSim for the ranking.

Notation: u unique spans, p sentences of this language, m input spans, d dimensions.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import faiss as _faiss
import numpy as np

from el4ner.demos.ragged import Ints, Ragged
from el4ner.demos.similarity import Floats, span_sim_many

Scored = list[tuple[int, float]]
"""Pool positions with scores, best first; equal scores in pool order."""

DECIMALS = 6
faiss: Any = _faiss
"""Its type stubs lack what is used here."""

MARGIN = 1e-5
"""FAISS and numpy round inner products differently; a bound closer than this decides nothing."""

EXHAUSTIVE_SPANS = 20_000
"""Up to this many unique spans every sentence is scored: as exact, and faster than asking FAISS first."""

CANDIDATES = 64
"""Pool spans that FAISS fetches for each input span at first; so many times as many where that is too few: ``GROWTH``."""
GROWTH = 8


@dataclass(frozen=True)
class Partition:
    """One language's part of the pool.

    Attributes:
        positions: ``(p,)`` places in the pool, ascending.
        vectors: ``(u, d)`` unit vectors of the unique spans.
        sentences: ``(p, d)`` unit vectors of the sentences (zero: nothing known).
        spans_of: for each sentence, the numbers of its unique spans.
        owners_of: for each unique span, the numbers of the sentences that hold it.
        span_index: FAISS index over ``vectors``.
        sentence_index: FAISS index over ``sentences``.
    """

    positions: Ints
    vectors: Floats
    sentences: Floats
    spans_of: Ragged
    owners_of: Ragged
    span_index: Any
    sentence_index: Any

    @classmethod
    def build(cls, positions: Sequence[int], vectors: Floats, sentences: Floats, spans_of: Ragged) -> "Partition":
        """Index vectors that have been computed."""
        return cls(
            np.asarray(positions, dtype=np.int64),
            vectors,
            sentences,
            spans_of,
            spans_of.inverse(len(vectors)),
            make_faiss(vectors),
            make_faiss(sentences),
        )

    def by_spans(
        self, inputs: Floats, weights: Floats, k: int, excluded: Collection[int], candidates: int = CANDIDATES
    ) -> Scored:
        """The k sentences with the highest SpanSim; exact.

        FAISS fetches the nearest ``candidates`` spans of each input span, and the sentences that hold them are scored. Spans are
        then fetched by similarity as far as a better sentence could still hold one.

        Args:
            inputs: ``(m, d)`` unit vectors.
            weights: ``(m,)``, at least one above 0.
            k: how many.
            excluded: pool positions to leave out.
            candidates: pool spans fetched per input span.
        """
        if len(self.vectors) <= EXHAUSTIVE_SPANS:
            return self.exhaustive(inputs, weights, k, excluded)
        counted = weights > 0
        inputs, weights, count = inputs[counted], weights[counted], candidates
        while count < len(self.vectors):
            similarities, spans = search(self.span_index, inputs, count)
            found = self._holding(spans, inputs, weights, k, excluded)
            if len(found) == k:
                return self._complete(found, similarities, inputs, weights, excluded)
            count *= GROWTH
        return self.exhaustive(inputs, weights, k, excluded)

    def _complete(
        self, found: Scored, similarities: Floats, inputs: Floats, weights: Floats, excluded: Collection[int]
    ) -> Scored:
        """The exact answer, given k scored sentences and the similarities ``(m, count)`` that led to them.

        A sentence none of whose spans was fetched scores at most the weighted mean of the last fetched similarities.
        """
        reached = found[-1][1] - MARGIN
        if reached > weights @ similarities[:, -1] / weights.sum():
            return found
        least = least_similarity(similarities[:, 0], weights, reached)
        _, _, spans = self.span_index.range_search(np.ascontiguousarray(inputs), least)
        return self._holding(spans, inputs, weights, len(found), excluded)

    def exhaustive(self, inputs: Floats, weights: Floats, k: int, excluded: Collection[int]) -> Scored:
        """The same, by scoring every sentence."""
        similarities = np.take(inputs @ self.vectors.T, self.spans_of.values, axis=1)
        scores = span_sim_many(similarities, self.spans_of.starts, weights)
        return [] if scores is None else self._best(np.arange(len(self.positions)), scores, k, excluded)

    def by_sentence(self, vector: Floats, k: int, excluded: Collection[int]) -> Scored:
        """The k sentences whose vectors are nearest to ``vector`` ``(d,)``."""
        count = min(k + len(excluded), len(self.positions))
        similarities, rows = search(self.sentence_index, vector[None, :], count)
        return self._best(rows[0], similarities[0], k, excluded)

    def _holding(self, spans: Ints, inputs: Floats, weights: Floats, k: int, excluded: Collection[int]) -> Scored:
        """The k best of the sentences that hold any of the given spans."""
        rows = np.unique(self.owners_of.take(np.unique(spans)).values)
        held = self.spans_of.take(rows)
        unique, columns = np.unique(held.values, return_inverse=True)
        similarities = np.take(inputs @ self.vectors[unique].T, columns, axis=1)
        scores = span_sim_many(similarities, held.starts, weights)
        return [] if scores is None else self._best(rows, scores, k, excluded)

    def _best(self, rows: Ints, scores: Floats, k: int, excluded: Collection[int]) -> Scored:
        return best(self.positions[rows], scores, k, excluded)


def best(positions: Ints, scores: Floats, k: int, excluded: Collection[int] = ()) -> Scored:
    """The k highest scores with their positions; ``-inf`` and excluded positions are no candidates.

    Scores are compared after rounding, so that equal ones rank by position whatever order they were summed in.

    >>> best(np.array([7, 3, 5]), np.array([0.5, 0.5, 0.9], dtype=np.float32), 2)
    [(5, 0.9), (3, 0.5)]
    """
    kept = np.isfinite(scores)
    if excluded:
        kept &= ~np.isin(positions, list(excluded))
    positions, rounded = positions[kept], np.round(scores[kept].astype(np.float64), DECIMALS)
    if len(positions) > k > 0:
        floor = np.partition(rounded, -k)[-k]
        positions, rounded = positions[rounded >= floor], rounded[rounded >= floor]
    order = np.lexsort((positions, -rounded))[:k]
    return [(int(positions[place]), float(rounded[place])) for place in order]


def least_similarity(tops: Floats, weights: Floats, score: float) -> float:
    """The similarity that some span of a sentence must exceed for its SpanSim to exceed ``score``.

    No span is nearer to input span s than ``tops[s]``. A sentence whose spans all stay at or below r therefore scores
    at most ``sum_s w(s) min(r, tops[s]) / sum_s w(s)``; the r for which this equals ``score`` is returned.

    >>> round(least_similarity(np.array([1.0, 0.5]), np.array([1.0, 1.0]), 0.7), 3)
    0.9
    """
    needed, left = score * float(weights.sum()), float(weights.sum())
    level = score
    for place in np.argsort(tops):
        level = needed / left
        if level <= tops[place]:
            break
        needed -= float(weights[place] * tops[place])
        left -= float(weights[place])
    return level


def make_faiss(vectors: Floats) -> Any:
    """A flat FAISS index over ``vectors`` ``(n, d)``, by inner product."""
    index = faiss.IndexFlatIP(vectors.shape[1])
    if len(vectors):
        index.add(vectors)
    return index


def search(index: Any, queries: Floats, count: int) -> tuple[Floats, Ints]:
    """``(m, count)`` similarities, best first, and row numbers; ``count`` is at most the number of rows."""
    if count == 0:
        return np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), np.int64)
    similarities, rows = index.search(np.ascontiguousarray(queries), count)
    return similarities, rows.astype(np.int64)
