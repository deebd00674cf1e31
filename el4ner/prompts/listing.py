"""Answers that list mentions: ``Ada; London`` to a question about one type, ``person: Ada; London`` lines to one about several.

Written and read here alone, for demonstrations, training and inference alike. Reading is tolerant: full-width signs, quotes,
numbers and bullets, fences, thinking, JSON lists, talk around the list. Tokenizers may put spaces between Chinese characters.
"""

import re
from collections.abc import Collection, Sequence

from el4ner.config import Language
from el4ner.errors import ParseError
from el4ner.prompts.formats import answer_format, clean, says_nothing
from el4ner.prompts.items import mentions_in, stands
from el4ner.text.align import find
from el4ner.text.language import is_cjk
from el4ner.text.spans import Span

DELIMITERS: dict[Language, str] = {"en": "; ", "zh": "；"}
COLONS: dict[Language, str] = {"en": ": ", "zh": "："}
_PART = re.compile(r'\s*(?:"[^"\n]+"|“[^”\n]+”)\s*(?=[;；\n]|$)|[^;；\n]+')
"""An item: up to the next delimiter, which does not count inside quotes that stand around the whole item."""
_PARTING = re.compile(r"[;；\n]")
_QUOTES = "\"'`“”‘’「」『』《》*"
_BETWEEN = " \t\n=|"
"""What may part one type's line from the next."""
_ENDS = " \t.。!！"


def write_mentions(text: str, spans: Sequence[Span], language: Language, nothing: str) -> str:
    """Each different surface of the spans once, in order of appearance; ``nothing`` where there is none.

    A surface that holds a delimiter stands between quotes; a line break in one becomes a space.
    """
    surfaces = dict.fromkeys(" ".join(span.surface(text).splitlines()) for span in sorted(spans))
    return DELIMITERS[language].join(f'"{s}"' if re.search("[;；]", s) else s for s in surfaces) or nothing


def read_mentions(answer: str, text: str, nothing: Collection[str] = ()) -> list[str]:
    """The surfaces that an answer about ``text`` lists, in its order; some may not stand in the text.

    Args:
        answer: what the model said.
        text: what it was asked about.
        nothing: words that say that there is no mention, besides the usual ones.

    Raises:
        ParseError: the answer is empty, or is cut in the middle of thinking.
    """
    body = clean(answer)
    if _is_nothing(body, nothing):
        return []
    surfaces = dict.fromkeys(surface for part in _parts(body, text) for surface in mentions_in(part, text))
    listed = [surface for surface in surfaces if surface and not _is_nothing(surface, nothing)]
    if _begins_with_nothing(body, nothing) and not any(find(surface, text) for surface in listed):
        return []
    return listed


def before_repeats(answer: str) -> str | None:
    """What a list that was cut says before an item comes again, as they do when a model goes round in circles; else None.

    A list names each surface once, so nothing is lost with what repeats. The last item counts for nothing: it is cut.
    """
    begin, seen = 0, set()
    for parting in _PARTING.finditer(answer):
        item = answer[begin : parting.start()].strip()
        if item in seen:
            return answer[:begin]
        if item:
            seen.add(item)
        begin = parting.end()
    return None


def write_line(word: str, mentions: str, language: Language) -> str:
    """One type's line of an answer about several: its word, a colon, its mentions as :func:`write_mentions` gives them."""
    return f"{word}{COLONS[language]}{mentions}"


def read_lines(answer: str, text: str, words: Sequence[str], nothing: Collection[str] = ()) -> dict[str, list[str]]:
    """The surfaces that an answer lists for each type, by the type's word; types that it does not speak of are missing.

    Args:
        answer: what the model said.
        text: what it was asked about.
        words: of all types of the label set, also those that were not asked about: their mentions belong to no other type.
        nothing: see :func:`read_mentions`.

    Raises:
        ParseError: the answer is empty, cut in the middle of thinking, or names no type, or mentions before the first one.
    """
    body = clean(answer)
    if _is_nothing(body, nothing):
        return {word: [] for word in words}
    heads = list(_heads(words).finditer(body))
    if not heads:
        raise ParseError("the answer has no line that begins with a type; one line a type was asked for")
    if any(stands(line, text) for line in body[: heads[0].start()].splitlines() if line.strip(_BETWEEN)):
        raise ParseError("the answer names mentions before its first type; one line a type was asked for")
    by_letters = {_letters(word): word for word in words}
    ends = [head.start() for head in heads[1:]] + [len(body)]
    listed: dict[str, list[str]] = {}
    for head, end in zip(heads, ends, strict=True):
        said = body[head.end() : end].strip(_BETWEEN)
        surfaces = read_mentions(said, text, nothing) if said else []
        listed.setdefault(by_letters[_letters(head["word"])], []).extend(surfaces)
    return listed


def _parts(body: str, text: str) -> list[str]:
    parts = [match.group().strip() for match in _PART.finditer(body)]
    if body[0] in "[{":
        try:
            return [mention.surface for mention in answer_format("json").read(body, text)]
        except ParseError:  # a mention may begin with a bracket
            if not any(stands(part, text) for part in parts):
                raise
    return parts


def _is_nothing(body: str, nothing: Collection[str]) -> bool:
    return says_nothing(body) or body.strip(_QUOTES + _ENDS).casefold() in {word.casefold() for word in nothing}


def _begins_with_nothing(body: str, nothing: Collection[str]) -> bool:
    first = re.split(r"[\s,，.。:：;；!！(（]", body.lstrip(_QUOTES), maxsplit=1)[0]
    return _is_nothing(first, nothing)


def _heads(words: Sequence[str]) -> re.Pattern[str]:
    spelt = "|".join(map(_spelt, sorted(words, key=len, reverse=True)))
    return re.compile(rf"(?<!\w)(?P<word>{spelt})\s*[{re.escape(_QUOTES)}]*\s*[:：=]", re.IGNORECASE)


def _spelt(word: str) -> str:
    """A pattern for a word, with any space between Chinese characters and between words."""
    return "".join(rf"{re.escape(c)}\s*" if is_cjk(c) else r"\s+" if c.isspace() else re.escape(c) for c in word)


def _letters(word: str) -> str:
    return "".join(word.casefold().split())
