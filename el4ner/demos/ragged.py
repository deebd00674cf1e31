"""Rows of different lengths in two flat arrays (compressed sparse rows), so that large pools need no Python lists."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Ragged:
    """Row i is ``values[starts[i] : starts[i + 1]]``.

    Attributes:
        starts: ``(n_rows + 1,)`` int64, ascending, from 0 to ``len(values)``.
        values: ``(total,)`` int64.
    """

    starts: Ints
    values: Ints

    @classmethod
    def of(cls, rows: Iterable[Sequence[int]]) -> "Ragged":
        """Flatten rows.

        >>> Ragged.of([[3, 1], [], [2]]).starts.tolist()
        [0, 2, 2, 3]
        """
        kept = list(rows)
        starts = np.zeros(len(kept) + 1, dtype=np.int64)
        starts[1:] = np.cumsum([len(row) for row in kept])
        values = np.fromiter((value for row in kept for value in row), dtype=np.int64, count=int(starts[-1]))
        return cls(starts, values)

    def take(self, rows: Ints) -> "Ragged":
        """The given rows, in that order."""
        lengths = self.starts[rows + 1] - self.starts[rows]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        shift = np.repeat(self.starts[rows] - starts[:-1], lengths)
        return Ragged(starts, self.values[np.arange(starts[-1]) + shift])

    def inverse(self, n_values: int) -> "Ragged":
        """Row v of the result lists the rows that hold the value v.

        >>> Ragged.of([[0, 1], [1]]).inverse(2).take(np.array([1])).values.tolist()
        [0, 1]
        """
        owners = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        starts = np.concatenate([[0], np.cumsum(np.bincount(self.values, minlength=n_values))]).astype(np.int64)
        return Ragged(starts, owners[np.argsort(self.values, kind="stable")])
