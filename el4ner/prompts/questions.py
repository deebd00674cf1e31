"""Questions about the entity types of a text: the prompts of reading comprehension, and what their answers say.

NER as machine reading comprehension (Ye, Tang, Guo, Wu 2024): one question for each type, answered by the mentions or by a fixed
word for none. Text and demonstrations come first and the question last, and a demonstration shows the answers for all types:
so all questions about a text begin with the same tokens, and engines read them once.

Templates are Jinja files under ``templates/mrc/VERSION/STYLE/LANGUAGE/ask.ROLE.j2``; a released version is never edited.
"""

from collections.abc import Sequence

from el4ner.config import NONE_WORDS, Config, LabelConfig, Language
from el4ner.errors import ConfigError
from el4ner.prompts.formats import InlineFormat, Mention
from el4ner.prompts.grammar import ListForm
from el4ner.prompts.listing import DELIMITERS, read_lines, read_mentions, write_line, write_mentions
from el4ner.prompts.messages import Message
from el4ner.prompts.styles import TEMPLATES, Style, style_names
from el4ner.text.documents import Document
from el4ner.text.spans import Span

VERSION = "v1"
_ROOT = TEMPLATES / "mrc" / VERSION
_MARKS = InlineFormat()
Group = tuple[str, ...]
"""Names of the types that one call asks about."""


class Questions:
    """The questions of one style about one label set.

    Args:
        style: ``full`` or ``compact``.
        labels: the entity types.
        types_per_call: how many types a call asks about; above 1 an answer has a line for each.
        marked: whether an answer is the text with marks around the mentions, and not a list of them.

    Attributes:
        groups: the types that each call asks about, in the order of the labels.
        marked: as above.

    Raises:
        ConfigError: there is no such style, or its instructions ask for a list where marks are wanted.
    """

    def __init__(
        self,
        style: str,
        labels: Sequence[LabelConfig],
        types_per_call: int = 1,
        *,
        marked: bool = False,
    ) -> None:
        if marked and style != "compact":
            raise ConfigError(
                f"mrc.answers: marked needs prompt_style: compact; the instructions of {style} ask for a list"
            )
        self.marked = marked
        self.style = style
        self._templates = Style(_ROOT, style)
        self._labels = {label.name: label for label in labels}
        self._joint = types_per_call > 1
        names = tuple(self._labels)
        self.groups: tuple[Group, ...] = tuple(
            names[at : at + types_per_call] for at in range(0, len(names), types_per_call)
        )

    @classmethod
    def of(cls, style: str, config: Config) -> "Questions":
        """The questions of a style for a configuration's labels."""
        c = config.mrc
        return cls(style, config.labels, c.types_per_call, marked=c.answers == "marked")

    @property
    def types(self) -> tuple[str, ...]:
        """Names of all types that are asked about."""
        return tuple(self._labels)

    def word(self, name: str, language: Language) -> str:
        """What a type is called."""
        return self._labels[name].word(language)

    def about(self, labels: Sequence[LabelConfig]) -> "Questions":
        """The same questions about other types."""
        per_call = max(map(len, self.groups))
        return Questions(self.style, labels, per_call, marked=self.marked)

    @property
    def identity(self) -> str:
        """Version, style and a hash of the template files: part of each request's key."""
        return f"mrc-{VERSION}/{self.style}@{self._templates.hash}"

    def ask(
        self, language: Language, text: str, group: Group, demonstrations: Sequence[Document]
    ) -> tuple[Message, ...]:
        """Messages that ask which mentions of a group's types are in ``text``, after labelled demonstrations."""
        labels = [self._described(label, language) for label in self._labels.values()]
        common = {"joint": self._joint, "none_word": self._none_word(language)}
        examples = [{"text": document.text, "lines": self._lines(language, document)} for document in demonstrations]
        asked = [self._described(self._labels[name], language) for name in group]
        system = self._render("system", language, labels=labels, **common)
        user = self._render("user", language, examples=examples, text=text, asked=asked, **common)
        return (*([Message("system", system)] if system else []), Message("user", user))

    def answer(self, language: Language, document: Document, group: Group) -> str:
        """The right answer about a labelled document."""
        if self.marked:
            return _MARKS.write(document.text, _spans(document, group[0]))
        lines = self._lines(language, document, group)
        return "\n".join(lines) if self._joint else self._mentions(language, document, group[0])

    def list_form(self, language: Language, text: str) -> ListForm | None:
        """What an answer may list; None where it is no plain list of strings: several types a call, marks."""
        if self._joint or self.marked:
            return None
        return ListForm(text, DELIMITERS[language], self._none_word(language))

    def read(self, language: Language, answer: str, text: str, group: Group) -> dict[str, list[Mention]]:
        """The mentions that an answer names for each type of its group; a type that it passes over is missing.

        Raises:
            ParseError: the answer has not the form that was asked for.
        """
        if self.marked:
            return {group[0]: _MARKS.read(answer, text)}
        nothing = [self._none_word(language)]
        if not self._joint:
            return {group[0]: _listed(read_mentions(answer, text, nothing))}
        names = {label.word(language): name for name, label in self._labels.items()}
        listed = read_lines(answer, text, list(names), nothing)
        return {names[word]: _listed(surfaces) for word, surfaces in listed.items() if names[word] in group}

    def _lines(self, language: Language, document: Document, group: Group | None = None) -> list[str]:
        names = tuple(self._labels) if group is None else group
        return [
            write_line(self._labels[name].word(language), self._mentions(language, document, name), language)
            for name in names
        ]

    def _mentions(self, language: Language, document: Document, type_name: str) -> str:
        return write_mentions(document.text, _spans(document, type_name), language, self._none_word(language))

    def _none_word(self, language: Language) -> str:
        return NONE_WORDS[language]

    @staticmethod
    def _described(label: LabelConfig, language: Language) -> dict[str, str]:
        return {
            "word": label.word(language),
            "definition": label.definition(language),
            "question": label.question(language),
        }

    def _render(self, role: str, language: Language, **values: object) -> str:
        return self._templates.render(f"{language}/ask.{role}", **values)


def _spans(document: Document, type_name: str) -> list[Span]:
    return [entity.span for entity in document.entities or () if entity.type == type_name]


def _listed(surfaces: Sequence[str]) -> list[Mention]:
    return [Mention(surface) for surface in surfaces]


def question_styles() -> list[str]:
    """Names of the question template sets that ship."""
    return style_names(_ROOT)
