"""One pass: the text copied with every mention marked and typed, ``I live in [[Paris|location]].``

Spans and a vote in one answer, for models tuned to give it. Instructions and type definitions come first, then demonstrations as
solved turns, then the text. Templates are Jinja files under ``templates/marks/VERSION/STYLE/LANGUAGE/mark.ROLE.j2``; a released
version is never edited.
"""

import math
from collections.abc import Sequence

from el4ner.config import Config, LabelConfig, Language
from el4ner.errors import ParseError
from el4ner.prompts.copying import is_typed_copy, mark_log_probs, read_typed_copy, write_typed_copy
from el4ner.prompts.formats import Mention, clean, unfenced
from el4ner.prompts.messages import Message
from el4ner.prompts.styles import TEMPLATES, style_names, style_of
from el4ner.text.documents import Document
from el4ner.text.spans import Span

VERSION = "v1"
_ROOT = TEMPLATES / "marks" / VERSION


class Marking:
    """The prompts of one style for one label set, and what their answers say.

    Raises:
        ConfigError: there is no such style.
    """

    def __init__(self, style: str, labels: Sequence[LabelConfig]) -> None:
        self.style = style
        self._templates = style_of(_ROOT, style)
        self._labels = tuple(labels)

    @classmethod
    def of(cls, style: str, config: Config) -> "Marking":
        """The prompts of a style for a configuration's labels."""
        return cls(style, config.labels)

    @property
    def types(self) -> tuple[str, ...]:
        """Names of all types."""
        return tuple(label.name for label in self._labels)

    @property
    def identity(self) -> str:
        """Version, style and a hash of the template files: part of each request's key."""
        return f"marks-{VERSION}/{self.style}@{self._templates.hash}"

    def words(self, language: Language) -> tuple[str, ...]:
        """What the types are called."""
        return tuple(label.word(language) for label in self._labels)

    def ask(self, language: Language, text: str, demonstrations: Sequence[Document]) -> tuple[Message, ...]:
        """Messages that ask for the mentions of ``text``, after one solved turn for each demonstration."""
        labels = [{"word": label.word(language), "definition": label.definition(language)} for label in self._labels]
        system = Message("system", self._templates.render(f"{language}/mark.system", labels=labels))
        turns = [
            message
            for document in demonstrations
            for message in (self._user(language, document.text), Message("assistant", self.answer(language, document)))
        ]
        return (system, *turns, self._user(language, text))

    def answer(self, language: Language, document: Document) -> str:
        """The right answer about a labelled document; of entities that overlap, the outermost, and of equal ones the first."""
        called = {label.name: label.word(language) for label in self._labels}
        mentions: list[tuple[Span, str]] = []
        entities = [entity for entity in document.entities or () if entity.type in called]
        for entity in sorted(entities, key=lambda e: (e.start, -e.end)):
            if not mentions or entity.start >= mentions[-1][0].end:
                mentions.append((entity.span, called[entity.type]))
        return write_typed_copy(document.text, mentions)

    def read(self, language: Language, answer: str, text: str) -> dict[str, list[Mention]]:
        """The mentions that an answer names, for each type; a mention of no type of the label set is left out.

        Raises:
            ParseError: the answer is no copy of the text, or none of its marks has a type of the label set.
        """
        names = {_letters(label.word(language)): label.name for label in self._labels}
        body = answer if is_typed_copy(answer, text) else clean(unfenced(answer, text))
        marked = read_typed_copy(body, text)
        found: dict[str, list[Mention]] = {label.name: [] for label in self._labels}
        for surface, span, kind in marked:
            if name := names.get(_letters(kind)):
                found[name].append(Mention(surface, span))
        if marked and not any(found.values()):
            raise ParseError("the answer marks mentions without a type that it was asked for")
        return found

    def probabilities(
        self, language: Language, answer: str, text: str, token_log_probs: Sequence[tuple[int, float]]
    ) -> dict[Span, dict[str | None, float]]:
        """How probable the marks of an answer are: each type, and None for no entity, for each marked span; they sum to 1.

        A mark's type has the probability of the whole mark. What the mention leaves is for None, what the type leaves is
        shared by the other types. Empty where the engine told no probabilities, or the answer is no exact copy.

        Args:
            language: of the text.
            answer: the marked copy.
            text: what was copied.
            token_log_probs: of each token of the answer, its bytes (UTF-8) and its log-probability.
        """
        marks = mark_log_probs(answer, token_log_probs)
        if not marks or not is_typed_copy(answer, text):
            return {}
        marked = read_typed_copy(answer, text)
        if len(marked) != len(marks):
            return {}
        names = {_letters(label.word(language)): label.name for label in self._labels}
        found: dict[Span, dict[str | None, float]] = {}
        for (_, span, kind), (mention, given) in zip(marked, marks, strict=True):
            if span is not None and (name := names.get(_letters(kind))):
                found[span] = _shared(name, math.exp(mention), math.exp(given), self.types)
        return found

    def _user(self, language: Language, text: str) -> Message:
        return Message("user", self._templates.render_cached(f"{language}/mark.user", text=text))


def marking_styles() -> list[str]:
    """Names of the template sets that ship."""
    return style_names(_ROOT)


def _shared(marked: str, mention: float, given: float, types: Sequence[str]) -> dict[str | None, float]:
    others = [name for name in types if name != marked]
    rest = mention * (1 - given) / len(others) if others else 0.0
    shares: dict[str | None, float] = {marked: mention * given, **dict.fromkeys(others, rest)}
    return {**shares, None: 1 - sum(shares.values())}


def _letters(word: str) -> str:
    return "".join(word.casefold().split())
