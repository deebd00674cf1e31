"""Scripts and languages: which characters are Chinese, how wide a text is, and whether it is English or Chinese."""

import re
import unicodedata
from functools import lru_cache
from typing import Literal

HAN = "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""CJK ideographs and radicals, as the inside of a regular expression's character class."""

KANA = "\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9f"
"""Japanese syllables, as the inside of a regular expression's character class."""

_UNPARTED_SCRIPTS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1100-\u11ff\u3100-\u318f\uac00-\ud7af"
_IDEOGRAPH = re.compile(f"[{HAN}]")
_FOREIGN_WORD = re.compile(f"[^\\W\\d_{HAN}]+")
_CJK = re.compile(f"[{HAN}{KANA}]")
_UNPARTED = re.compile(f"[{HAN}{KANA}{_UNPARTED_SCRIPTS}]")


def detect(text: str) -> Literal["en", "zh"]:
    """The language that a text is treated as, by the share of its scripts.

    Chinese if it has more ideographs than words (runs of letters) of other scripts, else English. A Chinese sentence
    full of English names stays Chinese, an English sentence with one Chinese name English; no letters at all: English.
    """
    if text.isascii():
        return "en"
    ideographs = len(_IDEOGRAPH.findall(text))
    return "zh" if ideographs > len(_FOREIGN_WORD.findall(text)) else "en"


def columns(text: str) -> int:
    """The display width of a text: 2 for each East Asian wide or full-width character, 1 for any other."""
    return len(text) if text.isascii() else sum(map(width, text))


@lru_cache(maxsize=8192)
def width(char: str) -> int:
    """The display width of one character, 1 or 2."""
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


@lru_cache(maxsize=8192)
def is_cjk(char: str) -> bool:
    """Whether a character is a Chinese ideograph or a Japanese syllable: it makes a token by itself."""
    return _CJK.match(char) is not None


@lru_cache(maxsize=8192)
def is_mark(char: str) -> bool:
    """Whether a character combines with the one before it (accents, vowel signs, variation selectors)."""
    return unicodedata.category(char).startswith("M")


@lru_cache(maxsize=8192)
def is_word_char(char: str) -> bool:
    """Whether a character is part of words that spaces or signs part from one another.

    True for letters, digits and combining marks, except for scripts where a name touches its neighbours without a break
    (ideographs, Japanese syllables, Hangul with its particles, Thai, Lao, Khmer, Burmese).
    """
    return (char.isalnum() or is_mark(char)) and _UNPARTED.match(char) is None
