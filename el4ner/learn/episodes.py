"""Episodes: questions about types with random words, so that nothing but the demonstrations says what is asked for.

A model that meets the same few types all the time learns them, and has no reason to look at what it is shown. In an episode the
types are made up for one sentence and its demonstrations: those of the data under other words, a few words that stand in both,
a part of speech. What they are called changes from sentence to sentence (symbol tuning, Wei and others 2023; in-context tuning,
Min and others 2022).
"""

import random
import re
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

from el4ner.config import LabelConfig, Language
from el4ner.errors import ConfigError
from el4ner.learn.config import TaskConfig
from el4ner.learn.data import Sentence
from el4ner.learn.questions import QuestionMaker, Retrieve
from el4ner.prompts.messages import Message
from el4ner.prompts.questions import Questions
from el4ner.text.documents import Document
from el4ner.text.spans import Entity, Span

MATED = 0.75
"""Chance that one demonstration gives way to a sentence that shares a rare word with the text."""
RARE = (2, 60)
"""In how many sentences a word stands that is rare, and can be shared."""
LONGEST_MATE = 80
"""Characters of such a sentence."""
RENAMED = 0.6
"""Chance that a type of the data bears another word."""
KEPT = 0.8
"""Chance that a type of the data is asked about."""
BY_SPEECH = 0.25
"""Chance of a type that is a part of speech (Chinese: jieba tells them)."""
SPEECH = "nvatmdj"
"""First letters of jieba's tags that can be such a type."""
MOST_OF_SPEECH = 6
"""Mentions of such a type in a text."""
FREQUENT = 2000
"""How often a word of jieba's dictionary was seen that can name a type."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text: its letters, its place, its tag (empty where none is known)."""

    surface: str
    start: int
    tag: str

    @property
    def span(self) -> Span:
        """Its place in the text."""
        return Span(self.start, self.start + len(self.surface))


@dataclass(frozen=True, slots=True)
class Episode:
    """One sentence with its made-up types: the questions about them, the demonstrations and the text, labelled with them."""

    questions: Questions
    shown: tuple[Document, ...]
    document: Document


class Episodes(QuestionMaker):
    """Asks a share of the sentences about made-up types, the others as ever.

    Args:
        questions: as at inference.
        retrieve: demonstrations that all questions about a sentence share.
        most_shown: demonstrations of a question.
        share: of the sentences that have an episode; which, follows from their ids.
        sentences: all that are learnt from.

    Raises:
        ConfigError: there is Chinese among them, and the package jieba is missing.
    """

    def __init__(
        self, questions: Questions, retrieve: Retrieve, most_shown: int, share: float, sentences: Sequence[Sentence]
    ) -> None:
        super().__init__(questions, retrieve, most_shown)
        self._share = share
        self._known: dict[tuple[str, str], Episode] = {}
        self._lexicons = {
            language: _Lexicon(language, [s.document for s in sentences if s.language == language])
            for language in {sentence.language for sentence in sentences}
        }

    def draw(self, sentence: Sentence, tasks: TaskConfig, rng: random.Random) -> tuple[int, list[int]]:
        """As without episodes; an episode asks about all of its types."""
        episode = self._episode(sentence)
        if episode is None:
            return super().draw(sentence, tasks, rng)
        return self._most_shown, list(range(len(episode.questions.groups)))

    def make(self, sentence: Sentence, group: int, shown: int) -> tuple[Message, ...]:
        """The conversation of one question, ending with the right answer."""
        episode = self._episode(sentence)
        if episode is None:
            return super().make(sentence, group, shown)
        types, document = episode.questions.groups[group], episode.document
        documents = episode.shown[len(episode.shown) - min(shown, len(episode.shown)) :]
        asked = episode.questions.ask(sentence.language, document.text, types, documents)
        return (*asked, Message("assistant", episode.questions.answer(sentence.language, document, types)))

    def _episode(self, sentence: Sentence) -> Episode | None:
        """The sentence's episode, the same each time; None where it has none."""
        identity = sentence.document.id
        if zlib.crc32(identity.encode()) % 1000 >= 1000 * self._share:
            return None
        key = (identity, sentence.document.text)
        if key not in self._known:
            self._known[key] = self._made(sentence, random.Random(f"episode {identity}"))
        return self._known[key]

    def _made(self, sentence: Sentence, rng: random.Random) -> Episode:
        lexicon = self._lexicons[sentence.language]
        shown = list(self._retrieve(sentence, self._most_shown))
        if shown and rng.random() < MATED:
            mate = lexicon.mate(sentence.document.text, rng)
            if mate is not None and mate.text not in {document.text for document in shown}:
                shown[rng.randrange(len(shown))] = mate
        documents = [*shown, sentence.document]
        names = lexicon.names(rng)
        labels: list[LabelConfig] = []
        entities: list[list[Entity]] = [[] for _ in documents]

        def add(word: str, spans: Sequence[Sequence[Span]]) -> None:
            labels.append(LabelConfig(name=f"T{len(labels)}", words={sentence.language: word}))
            for of_document, found in zip(entities, spans, strict=True):
                of_document += [Entity(span.start, span.end, labels[-1].name) for span in found]

        known = self._questions.types
        for name in sorted(known if sentence.types is None else sentence.types):
            if rng.random() < KEPT:
                word = (
                    names.pop() if names and rng.random() < RENAMED else self._questions.word(name, sentence.language)
                )
                add(word, [[e.span for e in d.entities or () if e.type == name] for d in documents])
        for spans in _made_up([lexicon.words(document.text) for document in documents], rng):
            if names:
                add(names.pop(), spans)
        rng.shuffle(labels)
        labelled = [
            Document(document.id, document.text, tuple(sorted(of_document)))
            for document, of_document in zip(documents, entities, strict=True)
        ]
        return Episode(self._questions.about(labels), tuple(labelled[:-1]), labelled[-1])


def _made_up(texts: Sequence[Sequence[Word]], rng: random.Random) -> list[list[list[Span]]]:
    """Places of the made-up types in each text, the asked one last: one to three sets of words, and perhaps a part of speech."""
    bags = [sorted({word.surface for word in words if _says_something(word, rng)}) for words in texts]
    there = {surface for bag in bags[:-1] for surface in bag}
    common = [surface for surface in bags[-1] if surface in there]
    elsewhere = sorted(there.difference(bags[-1]))
    rng.shuffle(common)
    rng.shuffle(elsewhere)

    def places(wanted: Callable[[Word], bool]) -> list[list[Span]]:
        return [[word.span for word in words if wanted(word)] for words in texts]

    made = []
    for _ in range(rng.randint(1, 3)):
        few = rng.randint(0 if rng.random() < 0.3 else 1, 2)
        chosen, common = common[:few], common[few:]
        more = rng.randint(0 if chosen else 1, 2)
        surfaces, elsewhere = {*chosen, *elsewhere[:more]}, elsewhere[more:]
        if surfaces:
            made.append(places(lambda word, surfaces=surfaces: word.surface in surfaces))  # type: ignore[misc]
    tags = sorted({word.tag[:1] for word in texts[-1] if word.tag[:1] and word.tag[:1] in SPEECH})
    if tags and rng.random() < BY_SPEECH:
        tag = rng.choice(tags)
        found = places(lambda word: word.tag[:1] == tag and len(word.surface) > 1)
        made.append([spans[:MOST_OF_SPEECH] for spans in found])
    return made


def _says_something(word: Word, rng: random.Random) -> bool:
    return any(map(str.isalnum, word.surface)) and (len(word.surface) > 1 or rng.random() < 0.15)


class _Lexicon:
    """The words of one language's sentences: which are rare, and what can name a type."""

    def __init__(self, language: Language, documents: Sequence[Document]) -> None:
        self._language = language
        self._documents = documents
        self._tagger = _jieba("jieba.posseg") if language == "zh" else None

    def words(self, text: str) -> list[Word]:
        """All words of a text, in order."""
        if self._tagger is None:
            return [Word(match[0], match.start(), "") for match in re.finditer(r"\w+", text)]
        words, at = [], 0
        for pair in self._tagger.cut(text):
            words.append(Word(pair.word, at, pair.flag))
            at += len(pair.word)
        return words

    def names(self, rng: random.Random) -> list[str]:
        """A dozen different words to name types with."""
        return rng.sample(self._nameable, min(12, len(self._nameable)))

    def mate(self, text: str, rng: random.Random) -> Document | None:
        """Another sentence that shares a rare word with the text."""
        least, most = RARE
        rare = sorted({word.surface for word in self.words(text)})
        rare = [word for word in rare if least <= len(self._by_word.get(word, ())) <= most]
        rng.shuffle(rare)
        for word in rare[:4]:
            found = rng.choice(self._by_word[word])
            if found.text != text:
                return found
        return None

    @cached_property
    def _by_word(self) -> dict[str, list[Document]]:
        found: dict[str, list[Document]] = defaultdict(list)
        for document in {d.text: d for d in self._documents if len(d.text) < LONGEST_MATE}.values():
            for surface in sorted({word.surface for word in self.words(document.text) if len(word.surface) > 1}):
                found[surface].append(document)
        return found

    @cached_property
    def _nameable(self) -> list[str]:
        if self._language == "zh":
            dictionary = _jieba("jieba").dt
            dictionary.initialize()
            return sorted(word for word, seen in dictionary.FREQ.items() if len(word) == 2 and seen > FREQUENT)
        return sorted(word for word in self._by_word if word.isalpha() and word.islower() and 4 <= len(word) <= 9)


def _jieba(module: str) -> Any:
    try:
        import_module("jieba").setLogLevel("WARNING")
        return import_module(module)
    except ImportError as error:
        raise ConfigError(
            "tasks.episodes needs the package jieba for Chinese; pip install '.[names]', or set it to 0"
        ) from error
