"""Answer formats of extraction: how a demonstration's mentions are written, and how a model's answer is read back.

One place for both directions, for inference and for training alike. Reading is tolerant (fences, numbering, quotes,
full-width forms, talk around the answer, thinking blocks); what still cannot be read is a ``ParseError``, never an
empty answer. Which format is best depends on the model: arXiv 2601.17898 measured 2 to 46 F1 between them.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from el4ner.errors import ConfigError, ParseError
from el4ner.prompts.copying import CLOSE, OPEN, is_copy, read_copy, write_copy
from el4ner.prompts.grammar import ListForm
from el4ner.text.language import detect
from el4ner.text.spans import Span

_THINKING = re.compile(r"^.*</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
"""Up to the last end of a thinking block: some chat templates open the block themselves, so that only its end is seen."""
_UNFINISHED = re.compile(r"<think(?:ing)?>", re.IGNORECASE)
_FENCE = re.compile(r"```(?:[\w+-]*[^\S\n]*\n)?(.*?)(?:```|\Z)", re.DOTALL)
_BULLET = re.compile(r"^[-*•·‣]\s+")
_NUMBER = re.compile(r"^[(（]?\d{1,3}[.)、）．:：]\s*")
_BRACKET = re.compile(r"[\[{]")
_QUOTES = "\"'`“”‘’「」『』《》"
_NONE = {"en": "none", "zh": "无"}
"""What the instructions of the lines format ask for where there is no entity."""
_NOTHING = {"none", "no entities", "no entity", "n/a", "nothing", "null", "无", "没有", "无实体", "[]", "{}"}
_MENTION_KEYS = ("mention", "entity", "name", "span", "surface", "word", "实体")
_TEXT_KEYS = ("text", "文本")
"""A mention too, but only beside no list: ``{"text": ..., "entities": [...]}`` repeats the sentence there."""


@dataclass(frozen=True, slots=True)
class Mention:
    """A mention that an answer names: its surface, and its span in the text where the format says which one is meant."""

    surface: str
    span: Span | None = None


class AnswerFormat(Protocol):
    """Writes the mentions of a text as an answer, and reads them back."""

    name: str

    def write(self, text: str, spans: Sequence[Span]) -> str:
        """The answer that names exactly these spans of ``text``."""
        ...

    def list_form(self, text: str) -> ListForm | None:
        """What the answers about ``text`` are held to where they are lists; None for marked copies."""
        ...

    def read(self, answer: str, text: str) -> list[Mention]:
        """The mentions that an answer about ``text`` names, in its order.

        Raises:
            ParseError: the answer has not the form that was asked for.
        """
        ...


class InlineFormat:
    """The sentence copied with marks around each mention: ``I live in [[Paris]].``"""

    name = "inline"

    def write(self, text: str, spans: Sequence[Span]) -> str:
        """``text`` with marks around the spans; nested spans nest their marks."""
        return write_copy(text, spans)

    def list_form(self, text: str) -> None:
        """None: the answer is a copy."""

    def read(self, answer: str, text: str) -> list[Mention]:
        """The marked mentions; see :class:`AnswerFormat`."""
        body = answer if is_copy(answer, text) else clean(answer)
        if says_nothing(body):
            return []
        return [Mention(surface, span) for surface, span in read_copy(body, text)]


class LinesFormat:
    """One mention a line, ``none`` (``无`` for a Chinese text) where there is none."""

    name = "lines"

    def write(self, text: str, spans: Sequence[Span]) -> str:
        """Each different surface once, in order of appearance; line breaks inside a surface become spaces."""
        return "\n".join(" ".join(surface.splitlines()) for surface in _surfaces(text, spans)) or _NONE[detect(text)]

    def list_form(self, text: str) -> ListForm:
        """Strings of the text, one a line."""
        return ListForm(text, "\n", _NONE[detect(text)])

    def read(self, answer: str, text: str) -> list[Mention]:
        """The mentions; see :class:`AnswerFormat`."""
        body = clean(answer)
        if says_nothing(body):
            return []
        lines = [_bare(line, text) for line in body.splitlines()]
        surfaces = [line for line in dict.fromkeys(lines) if line in text or any(map(str.isalnum, line))]
        if not any(surfaces):
            raise ParseError("the answer names nothing, and does not say none")
        return [Mention(surface) for surface in surfaces if surface and not says_nothing(surface)]


class JsonFormat:
    """A JSON list of surfaces: ``["Ada Lovelace", "London"]``."""

    name = "json"

    def write(self, text: str, spans: Sequence[Span]) -> str:
        """Each different surface once, in order of appearance."""
        return json.dumps(_surfaces(text, spans), ensure_ascii=False)

    def list_form(self, text: str) -> ListForm:
        """Strings of the text, as JSON writes them."""
        return ListForm(text, '", "', "[]", open='["', close='"]', quoted=True)

    def read(self, answer: str, text: str) -> list[Mention]:
        """The mentions; see :class:`AnswerFormat`."""
        body = clean(answer)
        if says_nothing(body):
            return []
        try:
            surfaces = _json_surfaces(body, text)
        except RecursionError:
            raise ParseError("the answer's JSON is nested too deep") from None
        return [Mention(surface) for surface in dict.fromkeys(surfaces) if surface.strip()]


_FORMATS: dict[str, AnswerFormat] = {fmt.name: fmt for fmt in (InlineFormat(), LinesFormat(), JsonFormat())}


def answer_format(name: str) -> AnswerFormat:
    """The answer format of that name: ``inline``, ``lines`` or ``json``."""
    try:
        return _FORMATS[name]
    except KeyError:
        raise ConfigError(f"unknown answer format {name!r}; use one of {', '.join(_FORMATS)}") from None


def clean(answer: str) -> str:
    """An answer without thinking, code fences and leading labels such as ``Answer:``.

    Raises:
        ParseError: nothing is left, or the thinking never ended.
    """
    body = _THINKING.sub("", answer)
    if _UNFINISHED.search(body):
        raise ParseError("the answer is cut inside <think>; switch thinking off or allow longer answers")
    fence = _FENCE.search(body)
    body = (fence.group(1) if fence else body).strip()
    body = re.sub(r"^(?:answer|output|entities|mentions|text|答案|输出|实体)\s*[:：]\s*", "", body, flags=re.IGNORECASE)
    if not body.strip():
        raise ParseError("the answer is empty")
    return body


def _bare(line: str, text: str) -> str:
    """A line without its bullet, and without number and quotes unless the text has them too (``1. FC Köln``)."""
    line = _BULLET.sub("", line.strip())
    unnumbered = _NUMBER.sub("", line)
    return next((bare for bare in (line, unnumbered) if bare in text), unnumbered.strip(_QUOTES).strip())


def says_nothing(body: str) -> bool:
    """Whether a whole answer, or one item of it, says that there is no mention."""
    return body.strip().strip(_QUOTES + ".。() ").casefold() in _NOTHING


def _surfaces(text: str, spans: Sequence[Span]) -> list[str]:
    return list(dict.fromkeys(span.surface(text) for span in sorted(spans)))


def _json_surfaces(body: str, text: str) -> list[str]:
    """The strings of the longest piece of JSON in an answer; an empty list or object names nothing."""
    found = [piece for candidate in (body, _repaired(body)) for piece in _json_pieces(candidate)]
    for _, value in sorted(found, key=lambda piece: -piece[0]):
        if _is_empty(value):
            return []
        if surfaces := _strings(value, text):
            return surfaces
    raise ParseError("the answer holds no complete JSON list of mentions")


def _json_pieces(body: str) -> list[tuple[int, Any]]:
    """Length and value of each outermost list or object; none where the answer breaks off inside one."""
    pieces: list[tuple[int, Any]] = []
    decoder, at = json.JSONDecoder(), 0
    while (match := _BRACKET.search(body, at)) is not None:
        try:
            value, at = decoder.raw_decode(body, match.start())
            pieces.append((at - match.start(), value))
        except json.JSONDecodeError as error:
            if error.pos >= len(body.rstrip()) or error.msg.startswith("Unterminated string"):
                return []
            at = match.end()
        except ValueError:
            at = match.end()
    return pieces


def _repaired(body: str) -> str:
    straight = body.translate(str.maketrans("“”「」『』，：［］｛｝", '"""""",:[]{}'))
    return re.sub(r",\s*([\]}])", r"\1", straight)


def _is_empty(value: Any) -> bool:
    """Whether a piece of JSON says that there is no mention: ``[]``, ``{"entities": []}``, ``["none"]``."""
    if isinstance(value, dict):
        return all(map(_is_empty, [i for i in value.values() if isinstance(i, list | dict)] or value.values()))
    if isinstance(value, list):
        return all(map(_is_empty, value))
    return value is None or (isinstance(value, str) and (not value.strip() or says_nothing(value)))


def _strings(value: Any, text: str) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [surface for item in value for surface in _strings(item, text)]
    return _mentions_of(value, text) if isinstance(value, dict) else []


def _mentions_of(item: dict[str, Any], text: str) -> list[str]:
    """The mentions of a JSON object: ``{"mention": ...}``, ``{type: [...]}``, ``{type: mention}`` or ``{mention: type}``."""
    for key in _MENTION_KEYS:
        if isinstance(item.get(key), str):
            return [item[key]]
    nested = [inner for inner in item.values() if isinstance(inner, list | dict)]
    if nested:
        return _strings(nested, text)
    for key in _TEXT_KEYS:
        if isinstance(item.get(key), str):
            return [item[key]]
    pairs = [(key, inner) for key, inner in item.items() if isinstance(inner, str)]
    return [found for key, inner in pairs if (found := next((s for s in (inner, key) if s and s in text), ""))]


__all__ = ["CLOSE", "OPEN", "AnswerFormat", "Mention", "answer_format", "clean", "says_nothing"]
