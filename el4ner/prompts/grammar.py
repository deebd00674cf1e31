"""Grammars (GBNF) that hold an answer to what can be right: a copy of a text with marks, or a list of its strings.

Written over characters, so that they hold for any tokenizer: the engine matches them with its own vocabulary. llama.cpp
reads GBNF, and vLLM's xgrammar backend reads the same notation.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from el4ner.prompts.copying import CLOSE, OPEN, TYPED
from el4ner.text.lines import crosses_lines

_UNITS = re.compile(r"[^\W_\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f]+|\s+|.", re.DOTALL)
"""Words, runs of white space, and single characters of everything else: a mention begins and ends at units."""
_OPENING = frozenset("@#$€£¥\"'“‘«([《「『【")
"""Signs besides letters and digits that a mention may begin with."""
_CLOSING = frozenset(".!%+\"'”’»)]》」』】")
"""Signs besides letters and digits that a mention may end with."""
_PARTING = frozenset("。！？；，\t\x0b\x0c\r")
"""What no mention goes on over, besides line ends that part the text."""
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


@dataclass(frozen=True, slots=True)
class ListForm:
    """What a list of mentions may be: strings of ``text``, parted by ``delimiter``, or ``nothing``.

    Attributes:
        open: what stands before the first item.
        close: what stands after the last one.
        quoted: whether its items are written as the inside of JSON strings.
    """

    text: str
    delimiter: str
    nothing: str
    open: str = ""
    close: str = ""
    quoted: bool = False


@lru_cache(maxsize=1024)
def copy_grammar(text: str, end: str = "", types: tuple[str, ...] = ()) -> str:
    """A grammar for ``text`` with marks around some of its mentions, each mark with its partner, none inside another.

    Args:
        text: to be copied; white space around it is left out.
        end: what ends an answer, where no token of its own does.
        types: what a mention's type is called, if each mark states it.
    """
    units = _UNITS.findall(text.strip())
    live = _completable(units, text.strip())
    opened, closed = _literal(OPEN), "close"
    kinds = f"{_literal(TYPED)} ( {' | '.join(map(_literal, types))} ) " if types else ""
    rules = [f"root ::= c0 {_literal(end)}", f'c{len(units)} ::= ""', f"close ::= {kinds}{_literal(CLOSE)}"]
    for at, unit in enumerate(units):
        word, after = _literal(unit), at + 1
        begins = f" | {opened} m{at}" if live[at] and _may_begin(unit) else ""
        rules.append(f"c{at} ::= {word} c{after}{begins}")
        ways = [f"{closed} c{after}"] * _may_end(unit) + [f"m{after}"] * live[after]
        if live[at]:
            rules.append(f"m{at} ::= {word} ( {' | '.join(ways)} )")
    return "\n".join(rules)


@lru_cache(maxsize=1024)
def list_grammar(form: ListForm, end: str = "") -> str:
    """A grammar for a list of strings of a text in the order of the text, or for the word that says that there is none.

    The order bounds the answer: no item comes again, and the last word of the text is the last of the list.

    Args:
        form: the text, and how a list is written.
        end: what ends an answer, where no token of its own does.
    """
    units = _UNITS.findall(form.text.strip())
    live = _completable(units, form.text.strip())
    starts = [at for at, unit in enumerate(units) if live[at] and _may_begin(unit)]
    later, beginning = dict(pairwise(starts)), frozenset(starts)
    listed = f" | {_literal(form.open)} s{starts[0]}" if starts else ""
    rules = [f"root ::= ( {_literal(form.nothing)}{listed} ) {_literal(end)}"]
    rules += [f"s{at} ::= m{at}" + (f" | s{later[at]}" if at in later else "") for at in starts]
    following: int | None = None
    for at in reversed(range(len(units))):
        over = [_literal(form.close)] + ([] if following is None else [f"{_literal(form.delimiter)} s{following}"])
        ways = over * _may_end(units[at]) + [f"m{at + 1}"] * live[at + 1]
        if live[at]:
            rules.append(f"m{at} ::= {_literal(_item(units[at], form.quoted))} ( {' | '.join(ways)} )")
        following = at if at in beginning else following
    return "\n".join(rules)


def _completable(units: Sequence[str], text: str) -> list[bool]:
    """For each unit, and for the end of the text: whether a mention that holds it can be brought to an end."""
    live = [False] * (len(units) + 1)
    end = len(text)
    for at in reversed(range(len(units))):
        start = end - len(units[at])
        parts = not _PARTING.isdisjoint(units[at]) or crosses_lines(text, start, end)
        live[at] = not parts and (_may_end(units[at]) or live[at + 1])
        end = start
    return live


def _may_begin(unit: str) -> bool:
    return unit.isalnum() or unit in _OPENING


def _may_end(unit: str) -> bool:
    return unit.isalnum() or unit in _CLOSING


def _item(unit: str, quoted: bool) -> str:
    """A unit as it stands in a list: with JSON's escapes where items are quoted, else on one line."""
    if quoted:
        return json.dumps(unit, ensure_ascii=False)[1:-1]
    return " " if "\n" in unit else unit


def _literal(text: str) -> str:
    return '"' + "".join(_ESCAPES.get(c, c if c.isprintable() else f"\\U{ord(c):08X}") for c in text) + '"'


__all__ = ["ListForm", "copy_grammar", "list_grammar"]
