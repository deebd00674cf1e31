"""Spans that look like candidates but are none: wrong boundaries around entities, other capitalised words, chance spans."""

import random
import re
from collections.abc import Sequence

from el4ner.text.spans import Span

_WORD = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+(?:['’.-][^\W_\u3400-\u9fff]+)*")


def words(text: str) -> list[Span]:
    """Words of a text: runs of letters and digits, each CJK character alone."""
    return [Span(*match.span()) for match in _WORD.finditer(text)]


def capitalised_runs(text: str) -> list[Span]:
    """Longest runs of capitalised words with only spaces between them."""
    runs: list[Span] = []
    for word in words(text):
        if not text[word.start].isupper():
            continue
        if runs and text[runs[-1].end : word.start] == " ":
            runs[-1] = Span(runs[-1].start, word.end)
        else:
            runs.append(word)
    return runs


def draw_negative(text: str, gold: Sequence[Span], rng: random.Random) -> Span | None:
    """A span that is none of ``gold``, or None if the text offers none.

    Half of the draws shift a boundary of a gold span by a word; the others take a run of capitalised words or one to four
    neighbouring words by chance.
    """
    tokens = words(text)
    if not tokens:
        return None
    for _ in range(8):
        kind = rng.random()
        if gold and kind < 0.5:
            span = _shifted(rng.choice(list(gold)), tokens, rng)
        elif kind < 0.75 and (runs := capitalised_runs(text)):
            span = rng.choice(runs)
        else:
            first = rng.randrange(len(tokens))
            span = Span(tokens[first].start, tokens[min(len(tokens) - 1, first + rng.randrange(4))].end)
        if span is not None and span not in gold:
            return span
    return None


def _shifted(span: Span, tokens: Sequence[Span], rng: random.Random) -> Span | None:
    inside = [i for i, token in enumerate(tokens) if token.overlaps(span)]
    if not inside:
        return None
    first = inside[0] + rng.choice((-1, 0, 0, 1))
    last = inside[-1] + rng.choice((-1, 0, 0, 1))
    if not 0 <= first <= last < len(tokens):
        return None
    return Span(tokens[first].start, tokens[last].end)
