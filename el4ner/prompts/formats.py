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
from el4ner.prompts.items import mentions_in
from el4ner.text.align import find
from el4ner.text.language import detect
from el4ner.text.spans import Span

_THINKING = re.compile(r"^.*</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
"""Up to the last end of a thinking block: some chat templates open the block themselves, so that only its end is seen."""
_UNFINISHED = re.compile(r"<think(?:ing)?>", re.IGNORECASE)
_FENCE = re.compile(r"```(?:[\w+-]*[^\S\n]*\n)?(.*?)(?:```|\Z)", re.DOTALL)
_FENCE_SIGN = re.compile(r"```(?:[\w+-]*[^\S\n]*\n)?")
_BRACKET = re.compile(r"[\[{]")
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\Z)|[\[\]{}]', re.DOTALL)
_JSON_STRING = re.compile(
    r""""(?:[^"\\]|\\.)*+(?:"|\Z)|(?<=[\[{,:\s])'((?:[^'\\]|\\.|'(?!\s*+[,:\]}]))*+)(?:'|\Z)""", re.DOTALL
)
"""A string as JSON writes it, or between single quotes."""
_QUOTES = "\"'`“”‘’「」『』《》"
_STRAIGHT = str.maketrans("“”「」『』，：［］｛｝", '"""""",:[]{}')
_NONE = {"en": "none", "zh": "无"}
"""What the instructions of the lines format ask for where there is no entity."""
_NOTHING = {"none", "no entities", "no entity", "n/a", "nothing", "null", "无", "没有", "无实体", "[]", "{}"}
_MENTION_KEYS = ("mention", "word", "span", "surface", "实体")
_NAME_KEYS = ("name", "entity")
"""A mention, unless another key holds it: ``{"entity": "PER", "word": "Ada"}``."""
_TEXT_KEYS = ("text", "文本")
"""A mention too, but only beside no list: ``{"text": ..., "entities": [...]}`` repeats the sentence there."""
_OTHER_KEYS = (
    "type",
    "types",
    "label",
    "labels",
    "class",
    "category",
    "entity_type",
    "language",
    "sentence",
    "类型",
    "标签",
)
"""What says something else of a mention."""
MAX_CHARS = 50_000
"""A longer answer is not read: no text that is asked about needs one."""


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
        body = answer if is_copy(answer, text) else clean(unfenced(answer, text))
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
        lines = [line for line in body.splitlines() if line.strip()]
        surfaces = dict.fromkeys(surface for line in lines for surface in mentions_in(line, text))
        named = [surface for surface in surfaces if surface and (surface in text or any(map(str.isalnum, surface)))]
        if not named:
            raise ParseError("the answer names nothing, and does not say none")
        if any(map(says_nothing, lines)) and not any(find(surface, text) for surface in named):
            return []
        return [Mention(surface) for surface in named if not says_nothing(surface)]


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


def unfenced(answer: str, text: str) -> str:
    """A copy of a text without the code fence around it; fences that the text holds itself stay."""
    fence = None if "```" in text else _FENCE.search(_THINKING.sub("", answer))
    return fence[1] if fence else answer


def clean(answer: str) -> str:
    """An answer without thinking, signs of code fences and leading labels such as ``Answer:``.

    Raises:
        ParseError: nothing is left, it is longer than ``MAX_CHARS``, or the thinking never ended.
    """
    if len(answer) > MAX_CHARS:
        raise ParseError(f"the answer is longer than {MAX_CHARS:,} characters")
    body = _THINKING.sub("", answer)
    if _UNFINISHED.search(body):
        raise ParseError("the answer is cut inside <think>; switch thinking off or allow longer answers")
    body = _FENCE_SIGN.sub("\n", body).strip()
    body = re.sub(r"^(?:answer|output|entities|mentions|text|答案|输出|实体)\s*[:：]\s*", "", body, flags=re.IGNORECASE)
    if not body.strip():
        raise ParseError("the answer is empty")
    return body


def says_nothing(body: str) -> bool:
    """Whether a whole answer, or one item of it, says that there is no mention."""
    return body.strip().strip(_QUOTES + ".。() ").casefold() in _NOTHING


def _surfaces(text: str, spans: Sequence[Span]) -> list[str]:
    return list(dict.fromkeys(span.surface(text) for span in sorted(spans)))


class _Object(list[tuple[str, Any]]):
    """A JSON object with all its pairs: models repeat keys."""


def _json_surfaces(body: str, text: str) -> list[str]:
    """The mentions of all JSON in an answer; empty lists and objects alone name nothing."""
    values = _json_values(body) or _json_values(body.translate(_STRAIGHT))
    if values and all(map(_is_empty, values)):
        return []
    surfaces = [surface for value in values for surface in _strings(value, text)]
    named = [surface for surface in surfaces if surface in text or not says_nothing(surface)]
    if not named and not any(map(_is_empty, values)):
        raise ParseError("the answer holds no complete JSON list of mentions")
    return named


def _json_values(body: str) -> list[Any]:
    """Each outermost list or object; brackets without quotes that are no JSON are talk.

    Raises:
        ParseError: the answer breaks off inside one, or one cannot be read.
    """
    values: list[Any] = []
    at = 0
    while (start := _BRACKET.search(body, at)) is not None:
        at = _end_of_piece(body, start.start())
        piece = body[start.start() : at]
        try:
            values.append(_parsed(piece))
        except ValueError:
            if any(quote in piece for quote in "\"'“「"):
                raise ParseError("the answer holds a list of mentions that is no JSON") from None
    return values


def _end_of_piece(body: str, start: int) -> int:
    """Where the bracket that opens at ``start`` is closed."""
    opened = 0
    for token in _JSON_TOKEN.finditer(body, start):
        opened += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if opened == 0:
            return token.end()
    raise ParseError("the answer breaks off inside a list")


def _parsed(piece: str) -> Any:
    """A piece of JSON; with full-width signs, single quotes or a comma after the last item where it is none otherwise."""
    try:
        return json.loads(piece, object_pairs_hook=_Object)
    except json.JSONDecodeError:
        straight = _JSON_STRING.sub(_double_quoted, piece.translate(_STRAIGHT))
        return json.loads(re.sub(r",\s*([\]}])", r"\1", straight), object_pairs_hook=_Object)


def _double_quoted(string: re.Match[str]) -> str:
    return string[0] if string[1] is None else json.dumps(re.sub(r"\\(.)", r"\1", string[1]), ensure_ascii=False)


def _is_empty(value: Any) -> bool:
    """Whether a piece of JSON says that there is no mention: ``[]``, ``{"entities": []}``, ``["none"]``."""
    if isinstance(value, _Object):
        inner = [item for _, item in value]
        return all(map(_is_empty, [item for item in inner if isinstance(item, list)] or inner))
    if isinstance(value, list):
        return all(map(_is_empty, value))
    return value is None or (isinstance(value, str) and (not value.strip() or says_nothing(value)))


def _strings(value: Any, text: str) -> list[str]:
    if isinstance(value, str):
        return [value] if value in text or find(value, text) else mentions_in(value, text)
    if isinstance(value, _Object):
        return _mentions_of(value, text)
    return [surface for item in value for surface in _strings(item, text)] if isinstance(value, list) else []


def _mentions_of(item: _Object, text: str) -> list[str]:
    """The mentions of a JSON object: ``{"mention": ...}``, ``{type: [...]}``, ``{type: mention}`` or ``{mention: type}``."""
    told = [(key, value) for key, value in item if key.casefold() not in _OTHER_KEYS]
    nested = [surface for key, value in told if isinstance(value, list) for surface in _listed(key, value, text)]
    said = [(key, value) for key, value in told if isinstance(value, str) and value.strip()]
    for keys in (_MENTION_KEYS, () if nested else _TEXT_KEYS, _NAME_KEYS):
        if named := [value for key, value in said if key.casefold() in keys]:
            return [*(value for value in named if keys != _NAME_KEYS or len(named) == 1 or find(value, text)), *nested]
    pairs = [surface for key, value in said if key.casefold() not in _TEXT_KEYS for surface in _pair(key, value, text)]
    standing = [surface for surface in pairs if find(surface, text)]
    return [*standing, *nested] if nested else pairs if standing else []


def _listed(key: str, values: list[Any], text: str) -> list[str]:
    """The mentions of ``type: [mentions]`` or ``mention: [types]``."""
    surfaces = _strings(values, text)
    return surfaces if not find(key, text) or any(find(surface, text) for surface in surfaces) else [key]


def _pair(key: str, value: str, text: str) -> list[str]:
    """The mentions of ``type: mention`` or ``mention: type``; both where both stand in the text."""
    named = mentions_in(value, text)
    if not find(key, text):
        return named
    return [key, *(surface for surface in named if find(surface, text))]


__all__ = ["CLOSE", "OPEN", "AnswerFormat", "Mention", "answer_format", "clean", "says_nothing", "unfenced"]
