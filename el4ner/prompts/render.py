"""From a text, its labels and its demonstrations to the messages of each stage.

Templates are Jinja files under ``templates/VERSION/STYLE/LANGUAGE/STAGE.ROLE.j2``; a released version is never edited.
The shared part comes first (instructions, type definitions, demonstrations, then the text), so that engines can reuse it.
Training and inference render through this module alone.
"""

from collections.abc import Sequence
from functools import lru_cache

from el4ner.config import NONE_WORDS, Config, LabelConfig, Language
from el4ner.errors import ConfigError
from el4ner.prompts.copying import write_copy
from el4ner.prompts.formats import AnswerFormat
from el4ner.prompts.messages import Message
from el4ner.prompts.styles import CACHED_TEMPLATES, TEMPLATES, style_names, style_of
from el4ner.text.candidates import words
from el4ner.text.documents import Document
from el4ner.text.spans import Entity, Span

VERSION = "v1"
STAGES = ("extract", "classify", "verify")
_ROOT = TEMPLATES / VERSION
_TRUTH: dict[Language, tuple[str, str]] = {"en": ("yes", "no"), "zh": ("是", "否")}


class Prompts:
    """The prompts of one style for one label set.

    A style that has no folder for a language uses its ``any`` folder, with English words.

    Raises:
        ConfigError: there is no such style.
    """

    def __init__(self, style: str, labels: Sequence[LabelConfig]) -> None:
        self.style = style
        self._templates = style_of(_ROOT, style)
        self._labels = tuple(labels)

    @classmethod
    def of(cls, style: str, config: Config) -> "Prompts":
        """The prompts of a style for a configuration's labels."""
        return cls(style, config.labels)

    @property
    def identity(self) -> str:
        """Version, style and a hash of the template files: part of each request's key."""
        return f"{VERSION}/{self.style}@{self._templates.hash}"

    def words(self, language: Language) -> Language:
        """The language whose label words this style uses for texts of ``language``."""
        return language if language in self._templates.languages else "en"

    def choices(self, language: Language) -> dict[str, str | None]:
        """Closed choices of the classification: word to type name, the none word to None."""
        spoken = self.words(language)
        choices: dict[str, str | None] = {label.word(spoken): label.name for label in self._labels}
        return choices | {self.none_word(language): None}

    def none_word(self, language: Language) -> str:
        """What the models call a candidate that is no entity."""
        return NONE_WORDS[self.words(language)]

    def true_false_words(self, language: Language) -> tuple[str, str]:
        """The two answers of the verification: true, false."""
        return _TRUTH[self.words(language)]

    def label_word(self, language: Language, type_name: str | None) -> str:
        """What the models call a type; None is no entity."""
        spoken = self.words(language)
        for label in self._labels:
            if label.name == type_name:
                return label.word(spoken)
        if type_name is None:
            return self.none_word(language)
        raise ConfigError(
            f"type {type_name!r} is no label of the configuration; labels: {[lb.name for lb in self._labels]}"
        )

    def extract(
        self, language: Language, text: str, demonstrations: Sequence[Document], answer_format: AnswerFormat
    ) -> tuple[Message, ...]:
        """Messages that ask for the mentions of ``text``, after one solved turn for each demonstration."""
        turns = [
            turn
            for demonstration in demonstrations
            for turn in self.extract_turn(language, demonstration.text, _spans(demonstration), answer_format)
        ]
        question = self._user("extract", language, text=text)
        return (*self._system("extract", language, format=answer_format.name), *turns, question)

    def extract_turn(
        self, language: Language, text: str, spans: Sequence[Span], answer_format: AnswerFormat
    ) -> tuple[Message, Message]:
        """A solved extraction: question and answer."""
        answer = Message("assistant", answer_format.write(text, spans))
        return self._user("extract", language, text=text), answer

    def classify(
        self, language: Language, text: str, span: Span, demonstrations: Sequence[tuple[Document, Entity | Span]]
    ) -> tuple[Message, ...]:
        """Messages that ask for the type of one candidate; a demonstration is a text with an entity, or a span that is none."""
        turns = [
            turn
            for demonstration, candidate in demonstrations
            for turn in self.classify_turn(language, demonstration.text, candidate)
        ]
        return (*self._system("classify", language), *turns, self._candidate("classify", language, text, span))

    def classify_turn(self, language: Language, text: str, candidate: Entity | Span) -> tuple[Message, Message]:
        """A solved classification: question and answer (the none word for a plain span)."""
        span, type_name = (candidate.span, candidate.type) if isinstance(candidate, Entity) else (candidate, None)
        answer = Message("assistant", self.label_word(language, type_name))
        return self._candidate("classify", language, text, span), answer

    def verify(self, language: Language, text: str, span: Span, type_name: str) -> tuple[Message, ...]:
        """Messages that ask whether a candidate is of a type (zero-shot)."""
        word = self.label_word(language, type_name)
        return (*self._system("verify", language), self._candidate("verify", language, text, span, label=word))

    def _system(self, stage: str, language: Language, **values: str) -> tuple[Message, ...]:
        spoken = self.words(language)
        labels = [{"word": label.word(spoken), "definition": label.definition(spoken)} for label in self._labels]
        template = self._template(stage, "system", language)
        content = self._templates.render(template, labels=labels, none_word=self.none_word(language), **values)
        return (Message("system", content),) if content else ()

    def _candidate(self, stage: str, language: Language, text: str, span: Span, **values: str) -> Message:
        return self._user(
            stage, language, text=text, marked=write_copy(text, [span]), excerpt=_excerpt(text, span),
            mention=span.surface(text), **values,
        )  # fmt: skip

    def _user(self, stage: str, language: Language, **values: str) -> Message:
        return Message("user", self._templates.render_cached(self._template(stage, "user", language), **values))

    def _template(self, stage: str, role: str, language: Language) -> str:
        return f"{language if language in self._templates.languages else 'any'}/{stage}.{role}"


def styles() -> list[str]:
    """Names of the template sets that ship."""
    return style_names(_ROOT)


@lru_cache(maxsize=CACHED_TEMPLATES)
def _excerpt(text: str, span: Span, beside: int = 2) -> str:
    """The marked span with the words (or CJK characters) beside it."""
    before = [word.start for word in words(text[: span.start])][-beside:]
    after = [span.end + word.end for word in words(text[span.end :])][:beside]
    start, end = min(before, default=span.start), max(after, default=span.end)
    return write_copy(text[start:end], [Span(span.start - start, span.end - start)])


def _spans(document: Document) -> list[Span]:
    return [entity.span for entity in document.entities or ()]
