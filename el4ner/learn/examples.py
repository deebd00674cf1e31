"""Training conversations: the pipeline's own prompts with their right answers.

An epoch asks, for each sentence, for its mentions (zero-shot, or after demonstrations retrieved as at inference), for the type
of one candidate (half of them none), and now and then whether a typed candidate is true. Everything that chance decides
follows from the seed and the example's number, so a resumed run sees what an uninterrupted one would have seen.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from el4ner.learn.config import TaskConfig
from el4ner.learn.data import Sentence
from el4ner.prompts.formats import AnswerFormat
from el4ner.prompts.messages import Message
from el4ner.prompts.render import Prompts
from el4ner.prompts.shown import shown_candidates
from el4ner.text.candidates import draw_negative
from el4ner.text.documents import Document
from el4ner.text.spans import Entity, Span

Retrieve = Callable[[Sentence, int], Sequence[Document]]
"""Demonstrations for a sentence: the sentence, how many; most useful last; never the sentence itself."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One example to be made: which sentence, which task, how many demonstrations, and the number its chance follows from."""

    sentence: int
    task: str
    shown: int
    number: int


def plan_epochs(
    sentences: Sequence[Sentence], tasks: TaskConfig, most_shown: int, epochs: float, seed: int
) -> list[Plan]:
    """Every example of a run, epoch after epoch, shuffled within each epoch; ``most_shown`` bounds its demonstrations."""
    rng = random.Random(seed)
    plans: list[Plan] = []
    whole, rest = divmod(epochs, 1)
    for share in [1.0] * int(whole) + ([rest] if rest else []):
        epoch = [
            (index, task)
            for index, sentence in enumerate(sentences)
            for task in ("extract", "classify", "verify")
            for _ in range(_times(getattr(tasks, task) * sentence.repeat * share, rng))
        ]
        rng.shuffle(epoch)
        plans += [
            Plan(index, task, _shown(task, tasks, most_shown, rng), len(plans) + offset)
            for offset, (index, task) in enumerate(epoch)
        ]
    return plans


def _shown(task: str, tasks: TaskConfig, most_shown: int, rng: random.Random) -> int:
    if task == "verify" or most_shown == 0 or rng.random() < tasks.zero_shot:
        return 0
    return rng.randint(1, most_shown)


class ExampleMaker:
    """Makes conversations from plans."""

    def __init__(
        self,
        sentences: Sequence[Sentence],
        prompts: Prompts,
        answer_format: AnswerFormat,
        type_names: Sequence[str],
        retrieve: Retrieve,
        seed: int,
    ) -> None:
        self.sentences = sentences
        self._prompts = prompts
        self._format = answer_format
        self._types = list(type_names)
        self._retrieve = retrieve
        self._seed = seed

    def make(self, plan: Plan) -> tuple[Message, ...] | None:
        """The conversation of a plan, ending with the right answer; None where the sentence offers no candidate."""
        rng = random.Random(f"{self._seed}:{plan.number}")
        sentence = self.sentences[plan.sentence]
        make = {"extract": self._extract, "classify": self._classify, "verify": self._verify}[plan.task]
        shown = self._retrieve(sentence, plan.shown) if plan.shown else ()
        return make(sentence, shown, rng)

    def _extract(self, sentence: Sentence, shown: Sequence[Document], rng: random.Random) -> tuple[Message, ...]:
        document = sentence.document
        asked = self._prompts.extract(sentence.language, document.text, shown, self._format)
        spans = [entity.span for entity in document.entities or ()]
        return (*asked, Message("assistant", self._format.write(document.text, spans)))

    def _classify(
        self, sentence: Sentence, shown: Sequence[Document], rng: random.Random
    ) -> tuple[Message, ...] | None:
        document, language = sentence.document, sentence.language
        candidate = self._candidate(document, rng)
        if candidate is None:
            return None
        span, type_name = (candidate.span, candidate.type) if isinstance(candidate, Entity) else (candidate, None)
        solved = shown_candidates(shown, span.surface(document.text))
        asked = self._prompts.classify(language, document.text, span, solved)
        return (*asked, Message("assistant", self._prompts.label_word(language, type_name)))

    def _verify(self, sentence: Sentence, shown: Sequence[Document], rng: random.Random) -> tuple[Message, ...] | None:
        document, language = sentence.document, sentence.language
        candidate = self._candidate(document, rng)
        if candidate is None:
            return None
        span, right = (candidate.span, candidate.type) if isinstance(candidate, Entity) else (candidate, None)
        wrong = [name for name in self._types if name != right]
        asked_type = right if right is not None and rng.random() < 0.7 else rng.choice(wrong or self._types)
        yes, no = self._prompts.truth(language)
        asked = self._prompts.verify(language, document.text, span, asked_type)
        return (*asked, Message("assistant", yes if asked_type == right else no))

    def _candidate(self, document: Document, rng: random.Random) -> Entity | Span | None:
        entities = list(document.entities or ())
        if entities and rng.random() < 0.6:
            return rng.choice(entities)
        return draw_negative(document.text, [entity.span for entity in entities], rng)


def _times(expected: float, rng: random.Random) -> int:
    whole, rest = divmod(expected, 1)
    return int(whole) + (rng.random() < rest)
