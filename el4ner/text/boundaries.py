"""Where a text may be cut: after sentences, clauses and words, and between characters that belong together least."""

import re
from collections.abc import Collection

from el4ner.text.language import HAN, KANA, is_mark, is_word_char
from el4ner.text.lines import hard_line_breaks

_STRONG = "。！？；｡"
_CLOSERS = "\"'”’」』）》】〉)\\]»"
_LINE_ENDS = "\n\r\v\f\x1c-\x1e\x85\u2028\u2029"
_CJK_NEXT = re.compile(f"[{HAN}{KANA}]")
_SENTENCE_END = re.compile(
    f"(?<![.!?…{_STRONG}])(?P<marks>[.!?…{_STRONG}]++)(?P<close>[{_CLOSERS}]*+)(?P<space>\\s*+)|[{_LINE_ENDS}]\\s*+"
)
_CLAUSE_END = re.compile(f"[，、：—]++[{_CLOSERS}]*+\\s*+|[,;:][{_CLOSERS}]*+\\s++|(?<=\\s)[-–]{{1,3}}\\s++")
_WORD_END = re.compile(r"\s++")
_LAST_WORD = re.compile(r"[^\W\d_][^\W\d_.]*(?:\.[^\W\d_]+)*$")
_ABBREVIATION_REACH = 16
_SAFE_CUT_REACH = 32
_FLAG_REACH = 64
_JOINER = "\u200d"
_FLAG_LETTERS = "".join(map(chr, range(0x1F1E6, 0x1F200)))

_ABBREVIATION = re.compile(
    r"adm|al|apr|approx|assn|aug|ave|blvd|bros|capt|cf|cmdr|co|col|corp|dec|dept|det|dr|ed|eds|e\.g|esp|est|etc|feb|ft|gen|"
    r"gov|hon|i\.e|inc|jan|jr|jul|jun|lt|ltd|maj|mar|messrs|mr|mrs|ms|mt|nov|oct|ph\.d|pres|prof|rd|rep|rev|sen|sept?|sgt|"
    r"sr|st|supt|univ|viz|vs"
)
_NUMBERED = re.compile(r"art|ch|eq|figs?|nos?|pp?|sec|vol")


def sentence_starts(text: str) -> list[int]:
    """Offsets, ascending and inside the text, where a sentence begins; white space belongs to the sentence before it.

    A sentence ends at a line end, unless that only wraps the text; after 。！？； with closing quotes; after . ! ? … with
    closing quotes if white space and no lower-case letter follow (for ! ? … a CJK character without white space will do). A
    full stop after an initial (``J.``, ``U.S.``), a common abbreviation, or one such as ``No.`` before a number ends none.
    """
    wrapped = {at for at, char in enumerate(text) if char == "\n"}.difference(hard_line_breaks(text))
    return [
        m.end() for m in _SENTENCE_END.finditer(text) if 0 < m.end() < len(text) and _ends_sentence(text, m, wrapped)
    ]


def clause_starts(text: str) -> list[int]:
    """Offsets, ascending and inside the text, after commas, colons, semicolons, 、 and dashes (not hyphens)."""
    return [m.end() for m in _CLAUSE_END.finditer(text) if m.end() < len(text)]


def word_starts(text: str) -> list[int]:
    """Offsets, ascending and inside the text, after each stretch of white space."""
    return [m.end() for m in _WORD_END.finditer(text) if m.end() < len(text)]


def safe_cut(text: str, at: int, bound: int) -> int:
    """The offset nearest to ``at``, on its way to ``bound`` (excluded), that parts no word.

    At most 32 characters are tried; if each parts a word, the nearest that parts no cluster (a character with its
    combining marks, an emoji sequence, a carriage return with its line feed) is taken, else ``at``.
    """
    step = 1 if bound > at else -1
    reach = range(at, bound, step)[:_SAFE_CUT_REACH]
    whole = [offset for offset in reach if not _inside_cluster(text, offset)]
    unparted = (offset for offset in whole if not (is_word_char(text[offset - 1]) and is_word_char(text[offset])))
    return next(unparted, whole[0] if whole else at)


def _ends_sentence(text: str, match: re.Match[str], wrapped: Collection[int]) -> bool:
    marks, space = match["marks"], match["space"]
    following = text[match.end()]
    if marks is None:
        return match.start() not in wrapped
    ends = (at for at in range(match.start("space"), match.end()) if text[at] in "\n\r\u2028\u2029")
    if any(mark in _STRONG for mark in marks) or any(at not in wrapped for at in ends):
        return True
    if not space:
        return marks[-1] != "." and _CJK_NEXT.match(following) is not None
    if following.islower():
        return False
    return marks != "." or not _is_abbreviation(text, match.start(), following)


def _is_abbreviation(text: str, stop: int, following: str) -> bool:
    last = _LAST_WORD.search(text[max(0, stop - _ABBREVIATION_REACH) : stop])
    if last is None:
        return False
    word = last[0].lower()
    if len(word.rpartition(".")[2]) == 1 and is_word_char(word[-1]):
        return True
    numbered = following.isdigit() and _NUMBERED.fullmatch(word)
    return bool(numbered or _ABBREVIATION.fullmatch(word))


def _inside_cluster(text: str, offset: int) -> bool:
    if not 0 < offset < len(text):
        return False
    before, after = text[offset - 1], text[offset]
    if before == _JOINER or after == _JOINER or is_mark(after) or "\U0001f3fb" <= after <= "\U0001f3ff":
        return True
    if before == "\r" and after == "\n":
        return True
    flags = text[max(0, offset - _FLAG_REACH) : offset]
    return after in _FLAG_LETTERS and (len(flags) - len(flags.rstrip(_FLAG_LETTERS))) % 2 == 1
