"""Tokens where a format needs them: a simple rule to cut a text, and the way back from tokens to a text."""

from collections.abc import Sequence
from itertools import pairwise

from el4ner.text.language import is_cjk, is_mark
from el4ner.text.spans import Span

_SHARED_SIGNS = frozenset("“”‘’…—·")


def tokenize(text: str) -> list[Span]:
    """Cut a text into tokens: runs of letters and digits, single CJK characters, single signs; white space is none.

    A combining mark stays with the character before it. The rule knows no words: ``don't`` is three tokens.
    """
    tokens: list[Span] = []
    in_word = False
    for offset, char in enumerate(text):
        if char.isspace():
            in_word = False
            continue
        alphanumeric = char.isalnum() and not is_cjk(char)
        follows = bool(tokens) and tokens[-1].end == offset
        if follows and (is_mark(char) or (in_word and alphanumeric)):
            tokens[-1] = Span(tokens[-1].start, offset + 1)
            continue
        tokens.append(Span(offset, offset + 1))
        in_word = alphanumeric
    return tokens


def join_tokens(tokens: Sequence[str]) -> tuple[str, tuple[Span, ...]]:
    """The text that a tokenised sentence stands for, and where each token lies in it.

    Tokens are parted by one space, but not two CJK tokens; a sentence given character by character with any CJK in it
    has no spaces at all.
    """
    by_character = all(len(token) == 1 for token in tokens) and any(map(_is_cjk_side, tokens))
    pieces = list(tokens[:1])
    for left, right in pairwise(tokens):
        pieces.append(right if by_character or _touches(left[-1], right[0]) else f" {right}")
    spans = []
    end = 0
    for token, piece in zip(tokens, pieces, strict=True):
        end += len(piece)
        spans.append(Span(end - len(token), end))
    return "".join(pieces), tuple(spans)


def _touches(left: str, right: str) -> bool:
    if _is_cjk_side(left):
        return _is_cjk_side(right) or right in _SHARED_SIGNS
    return left in _SHARED_SIGNS and _is_cjk_side(right)


def _is_cjk_side(char: str) -> bool:
    return is_cjk(char) or "\u3000" <= char <= "\u303f" or "\uff00" <= char <= "\uff65"
