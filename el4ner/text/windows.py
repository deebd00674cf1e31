"""Long documents as windows: owned stretches that partition the text, each with some context on both sides."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Literal

from el4ner.errors import ConfigError
from el4ner.text.boundaries import clause_starts, safe_cut, sentence_starts, word_starts
from el4ner.text.documents import Document, Window
from el4ner.text.language import detect, width

OverlapAt = Literal["all", "cuts"]


def cut_windows(
    document: Document, max_columns: int, overlap_columns: int, language: str = "auto", overlap_at: OverlapAt = "all"
) -> list[Window]:
    """Cut a document into windows whose owned stretches partition its text.

    An owned stretch holds as many whole sentences as fit into ``max_columns``. Where not even one fits, it ends after
    the last clause in reach, else after the last white space, else between two characters. A window's text is its owned
    stretch and up to ``overlap_columns`` of context on either side: as many whole sentences as fit, where none fits as
    many clauses, then words, then characters. So it is never wider than ``max_columns + 2 * overlap_columns``.

    Args:
        document: the document; its windows carry its id.
        max_columns: widest owned stretch, in columns (a CJK character is 2 wide); at least 2.
        overlap_columns: widest context on each side, in columns; 0: none.
        language: language of all windows, or ``auto``: that of each window's own text.
        overlap_at: where windows overlap: at ``all`` borders, or at ``cuts`` through a sentence alone.

    Returns:
        The windows in order; none for a document that is empty or only white space.

    Raises:
        ConfigError: the widths cannot be used.
    """
    if max_columns < 2 or overlap_columns < 0:
        raise ConfigError(f"max_columns {max_columns} must be at least 2, overlap_columns {overlap_columns} at least 0")
    text = document.text
    if not text or text.isspace():
        return []
    cutter = _Cutter(text)
    windows: list[Window] = []
    own_start = 0
    while own_start < len(text):
        own_end = cutter.forward(own_start, max_columns)
        before, after = (
            0 if overlap_at == "cuts" and cutter.begins_sentence(place) else overlap_columns
            for place in (own_start, own_end)
        )
        start = cutter.backward(own_start, before)
        content = text[start : cutter.forward(own_end, after)]
        spoken = detect(content) if language == "auto" else language
        windows.append(Window(document.id, len(windows), start, content, own_start, own_end, spoken))
        own_start = own_end
    return windows


class _Cutter:
    """A text with its boundaries, from the best places to cut to the worst, and its running width."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._levels = (sentence_starts(text), clause_starts(text), word_starts(text))
        self._columns: Sequence[int] = (
            range(len(text) + 1) if text.isascii() else list(accumulate(map(width, text), initial=0))
        )

    def begins_sentence(self, place: int) -> bool:
        """Whether a sentence begins there."""
        starts = self._levels[0]
        at = bisect_left(starts, place)
        return at < len(starts) and starts[at] == place

    def forward(self, start: int, columns: int) -> int:
        """The end of the best stretch from ``start`` that is at most that wide; ``start`` if nothing fits."""
        limit = bisect_right(self._columns, self._columns[start] + columns) - 1
        if limit == len(self._text):
            return limit
        for starts in self._levels:
            place = bisect_right(starts, limit) - 1
            if place >= 0 and starts[place] > start:
                return starts[place]
        return safe_cut(self._text, limit, start) if limit > start else start

    def backward(self, end: int, columns: int) -> int:
        """The start of the best stretch up to ``end`` that is at most that wide; ``end`` if nothing fits."""
        limit = bisect_left(self._columns, self._columns[end] - columns)
        if limit == 0:
            return 0
        for starts in self._levels:
            place = bisect_left(starts, limit)
            if place < len(starts) and starts[place] < end:
                return starts[place]
        return safe_cut(self._text, limit, end) if limit < end else end
