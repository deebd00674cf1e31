"""Line ends that only wrap a text, and those that part it: a list of names, an address, a heading, a table."""

import re
from bisect import bisect_left
from functools import lru_cache

from el4ner.text.language import columns, is_cjk

MIN_WIDTH = 40
"""Columns of its longest line from which on a paragraph counts as wrapped; lists and addresses are narrower."""
_OLD_MAC = re.compile(r"\r(?!\n)")
_BLANK = re.compile(r"\n[^\S\n]*\n\s*")
_ITEM = re.compile(r"\s*(?:[^\w\s\"'“‘(（《]|\d+[.)、]|[\w -]{1,24}[:：])")
"""What begins a line of its own: a bullet, a number, a field's name."""


def crosses_lines(text: str, start: int, end: int) -> bool:
    """Whether ``text[start:end]`` goes on over a line end that parts the text."""
    parting = hard_line_breaks(text)
    return bisect_left(parting, start) != bisect_left(parting, end)


@lru_cache(maxsize=256)
def hard_line_breaks(text: str) -> tuple[int, ...]:
    """Positions of the line feeds that part a text, ascending; of blank lines, the first. A lone carriage return is one as well.

    A line end only wraps the text where the next word would not have fitted any more: where it would have made its line longer
    than the longest one of the paragraph, which is at least ``MIN_WIDTH`` columns wide. Before a bullet, a number or the name
    of a field it always parts.
    """
    text = _OLD_MAC.sub("\n", text)
    if "\n" not in text:
        return ()
    found: list[int] = []
    at = 0
    for blank in _BLANK.finditer(text):
        found += [*_parting(text, at, blank.start()), blank.start()]
        at = blank.end()
    return (*found, *_parting(text, at, len(text)))


def _parting(text: str, start: int, end: int) -> list[int]:
    """The line feeds that part the lines of one paragraph."""
    lines = text[start:end].split("\n")
    widths = [columns(line.rstrip()) for line in lines]
    width, at, found = max(widths), start, []
    for line, used, following in zip(lines, widths, lines[1:], strict=False):
        at += len(line)
        if width < MIN_WIDTH or _ITEM.match(following) or used + _needed(following) <= width:
            found.append(at)
        at += 1
    return found


def _needed(line: str) -> int:
    """Columns that the first word of a line takes, with the space before it."""
    word = next(iter(line.split()), "")
    return columns(word[0]) if word and is_cjk(word[0]) else 1 + columns(word)
