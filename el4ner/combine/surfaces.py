"""Where surfaces stand in texts: token by token, upper and lower case alike, for very many of both at once."""

import re
from collections.abc import Sequence
from itertools import repeat

import numpy as np

from el4ner.vote.table import IntArray

TOKEN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+|[^\w\s]")
"""A word, an ideograph or kana, or a punctuation mark."""
_PAD = 0
_CHUNK = 20_000


def find_surfaces(texts: Sequence[str], surfaces: Sequence[str]) -> tuple[IntArray, IntArray]:
    """Which surfaces are alike, and every place where one stands.

    Args:
        texts: of the documents.
        surfaces: to look for, with repetitions.

    Returns:
        ``(surfaces,)``, a number for each, equal for equal tokens; and ``(found, 2)``, number and document of every
        occurrence. Surfaces without a token share a number that has no occurrence.
    """
    keys = {surface: tuple(tokenise(surface)) for surface in set(surfaces)}
    different = [key for key in dict.fromkeys(keys.values()) if key]
    numbers: dict[tuple[str, ...], int] = {key: number for number, key in enumerate(different)}
    numbers[()] = len(different)
    index = {token: n for n, token in enumerate(dict.fromkeys(t for key in different for t in key), 1)}
    by_length: dict[int, list[tuple[str, ...]]] = {}
    for key in different:
        by_length.setdefault(len(key), []).append(key)
    grams = [_Grams(keys_of, index, numbers) for _, keys_of in sorted(by_length.items())]
    found = [np.zeros((0, 2), dtype=np.int64)]
    for first in range(0, len(texts), _CHUNK):
        tokens, document = _encode(texts[first : first + _CHUNK], index)
        found += [np.stack([n, document[at] + first], axis=1) for n, at in (gram.find(tokens) for gram in grams)]
    return np.array([numbers[keys[surface]] for surface in surfaces], dtype=np.int64), np.concatenate(found)


def tokenise(text: str) -> list[str]:
    """Words, single ideographs and kana, and punctuation marks, case folded."""
    return TOKEN.findall(text.casefold())


def _encode(texts: Sequence[str], index: dict[str, int]) -> tuple[IntArray, IntArray]:
    """Token numbers of the texts one after another, 0 for unknown tokens and between texts, and their documents."""
    parts, lengths = [], []
    for text in texts:
        tokens = tokenise(text)
        parts.append(np.fromiter(map(index.get, tokens, repeat(_PAD)), dtype=np.int64, count=len(tokens)))
        parts.append(np.array([_PAD]))
        lengths.append(len(tokens) + 1)
    return np.concatenate(parts), np.repeat(np.arange(len(texts)), lengths)


class _Grams:
    """All surfaces of one length, found by the numbers of their tokens.

    A surface of n tokens is reached in n - 1 steps: each step turns the number of what was read so far and the next
    token into a number, as far as some surface begins so.
    """

    def __init__(
        self, keys: Sequence[tuple[str, ...]], index: dict[str, int], numbers: dict[tuple[str, ...], int]
    ) -> None:
        rows = np.array([[index[token] for token in key] for key in keys], dtype=np.int64)
        self._width = len(index) + 1
        self._begins = np.zeros(self._width, dtype=np.bool_)
        self._begins[rows[:, 0]] = True
        self._steps: list[IntArray] = []
        state = rows[:, 0]
        for column in rows.T[1:]:
            pairs, state = np.unique(state * self._width + column, return_inverse=True)
            self._steps.append(pairs)
        self._number = np.zeros(int(state.max()) + 1, dtype=np.int64)
        self._number[state] = [numbers[key] for key in keys]

    def find(self, tokens: IntArray) -> tuple[IntArray, IntArray]:
        """Numbers of the surfaces, and the places of their first tokens, for each occurrence."""
        at = np.flatnonzero(self._begins[tokens])
        at = at[at + len(self._steps) < len(tokens)]
        state = tokens[at]
        for ahead, pairs in enumerate(self._steps, 1):
            wanted = state * self._width + tokens[at + ahead]
            state = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
            known = pairs[state] == wanted
            at, state = at[known], state[known]
        return self._number[state], at
