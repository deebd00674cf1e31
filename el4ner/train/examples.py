"""Training conversations: the pipeline's own prompts with their right answers.

An epoch asks, for each sentence, for its mentions (zero-shot, or after demonstrations retrieved as at inference), for the
types of its entities and of as many spans that are none, and whether a typed candidate is true; for mentions and types in one
pass; or the questions of reading comprehension. Everything that chance decides follows from the seed and the example's number,
so a resumed run sees what an uninterrupted one would have seen.
"""

import random
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from el4ner.prompts.demonstrated import demonstrated_candidates
from el4ner.prompts.formats import AnswerFormat
from el4ner.prompts.marking import Marking
from el4ner.prompts.messages import Message
from el4ner.prompts.render import Prompts
from el4ner.text.candidates import draw_negative
from el4ner.text.documents import Document
from el4ner.text.spans import Entity, Span
from el4ner.train.config import TaskConfig
from el4ner.train.data import Sentence
from el4ner.train.questions import QuestionMaker, Retrieve
from el4ner.train.schemas import LabelSetSampler


@dataclass(frozen=True, slots=True)
class Plan:
    """One example to be made.

    Attributes:
        sentence: which sentence.
        task: extract, classify, verify, mark or mrc.
        n_demonstrations: how many demonstrations.
        number: what its chance follows from.
        candidate: for classify and verify, which entity of the sentence; from the number of its entities on, a span that
            is none. For mrc, which group of types is asked about.
    """

    sentence: int
    task: str
    n_demonstrations: int
    number: int
    candidate: int = 0


def plan_epochs(
    sentences: Sequence[Sentence],
    tasks: TaskConfig,
    max_demonstrations: int,
    epochs: float,
    seed: int,
    questions: QuestionMaker | None = None,
) -> list[Plan]:
    """Every example of a run, epoch after epoch, shuffled within each epoch.

    Args:
        sentences: to learn from.
        tasks: how many examples of each kind a sentence gives.
        max_demonstrations: bound on the demonstrations of extraction and typing.
        epochs: passes over the sentences.
        seed: of the order and of all draws.
        questions: of the task mrc.
    """
    rng = random.Random(seed)
    plans: list[Plan] = []
    whole, rest = divmod(epochs, 1)
    for share in [1.0] * int(whole) + ([rest] if rest else []):
        order = [index for index, sentence in enumerate(sentences) for _ in range(_times(sentence.repeat * share, rng))]
        rng.shuffle(order)
        for index in order:
            sentence = sentences[index]
            examples = [
                Plan(index, task, _count_demonstrations(task, tasks, max_demonstrations, rng), 0, candidate)
                for task, candidates in (
                    ("extract", 1), ("classify", _candidates(sentence)), ("verify", _candidates(sentence)),
                    *([("mark", 1)] if tasks.mark else []),
                )
                for candidate in range(candidates)
                for _ in range(_times(getattr(tasks, task), rng))
            ]  # fmt: skip
            if questions is not None and tasks.mrc:
                for _ in range(_times(tasks.mrc, rng)):
                    n_demonstrations, groups = questions.draw(sentence, tasks, rng)
                    examples += [Plan(index, "mrc", n_demonstrations, 0, group) for group in groups]
            examples.sort(key=lambda plan: plan.n_demonstrations)
            plans += [replace(plan, number=len(plans) + offset) for offset, plan in enumerate(examples)]
    return plans


def _candidates(sentence: Sentence) -> int:
    """Each entity, and as many spans that are none; at least one."""
    entities = len(sentence.document.entities or ())
    return entities + max(1, entities)


def _count_demonstrations(task: str, tasks: TaskConfig, max_demonstrations: int, rng: random.Random) -> int:
    if task not in tasks.with_demonstrations or max_demonstrations == 0 or rng.random() < tasks.zero_shot:
        return 0
    return rng.randint(1, max_demonstrations)


@dataclass(frozen=True, eq=False)
class ExampleMaker:
    """Makes conversations from plans.

    Attributes:
        sentences: labelled ones, which plans name by number.
        prompts: of the style that members are asked in.
        answer_format: how mentions are written.
        type_names: types, in the order of the labels.
        retrieve: finds the demonstrations of a sentence.
        seed: of all draws, together with a plan's number.
        questions: of the task mrc.
        schemas: label sets of the task mark.
    """

    sentences: Sequence[Sentence]
    prompts: Prompts
    answer_format: AnswerFormat
    type_names: Sequence[str]
    retrieve: Retrieve
    seed: int
    questions: QuestionMaker | None = None
    schemas: LabelSetSampler | None = None

    def make(self, plan: Plan) -> tuple[Message, ...] | None:
        """The conversation of a plan, ending with the right answer; None where the sentence offers no candidate."""
        rng = random.Random(f"{self.seed}:{plan.number}")
        sentence = self.sentences[plan.sentence]
        if plan.task == "mrc":
            assert self.questions is not None
            return self.questions.make(sentence, plan.candidate, plan.n_demonstrations)
        demonstrations = self.retrieve(sentence, plan.n_demonstrations) if plan.n_demonstrations else ()
        if plan.task == "extract":
            return self._extract(sentence, demonstrations)
        if plan.task == "mark":
            return self._mark(sentence, demonstrations, rng)
        candidate = _candidate(sentence.document, plan.candidate, rng)
        if candidate is None:
            return None
        if plan.task == "classify":
            return self._classify(sentence, demonstrations, candidate)
        return self._verify(sentence, candidate, rng)

    def identity(self, plan: Plan) -> Hashable:
        """Equal for plans that make the same conversation; the plan itself where chance or demonstrations decide."""
        if plan.task == "mrc":
            return (plan.sentence, plan.task, plan.candidate, plan.n_demonstrations)
        known = plan.task == "extract" or (
            plan.task == "classify" and plan.candidate < len(self.sentences[plan.sentence].document.entities or ())
        )
        return (plan.sentence, plan.task, plan.candidate) if known and not plan.n_demonstrations else plan

    def shorter(self, plan: Plan) -> Plan | None:
        """The plan with a demonstration less where only that makes its conversation shorter; None where nothing is left to drop.

        Conversations of the other tasks are shortened turn by turn.
        """
        return (
            replace(plan, n_demonstrations=plan.n_demonstrations - 1)
            if plan.task == "mrc" and plan.n_demonstrations
            else None
        )

    def _extract(self, sentence: Sentence, demonstrations: Sequence[Document]) -> tuple[Message, ...]:
        document = sentence.document
        asked = self.prompts.extract(sentence.language, document.text, demonstrations, self.answer_format)
        spans = [entity.span for entity in document.entities or ()]
        return (*asked, Message("assistant", self.answer_format.write(document.text, spans)))

    def _mark(self, sentence: Sentence, demonstrations: Sequence[Document], rng: random.Random) -> tuple[Message, ...]:
        assert self.schemas is not None
        marking, document = Marking(self.prompts.style, self.schemas.draw(sentence, rng)), sentence.document
        asked = marking.ask(sentence.language, document.text, demonstrations)
        return (*asked, Message("assistant", marking.answer(sentence.language, document)))

    def _classify(
        self, sentence: Sentence, demonstrations: Sequence[Document], candidate: Entity | Span
    ) -> tuple[Message, ...]:
        document, language = sentence.document, sentence.language
        span, type_name = _span_and_type(candidate)
        solved = demonstrated_candidates(demonstrations, span.surface(document.text))
        asked = self.prompts.classify(language, document.text, span, solved)
        return (*asked, Message("assistant", self.prompts.label_word(language, type_name)))

    def _verify(self, sentence: Sentence, candidate: Entity | Span, rng: random.Random) -> tuple[Message, ...]:
        language = sentence.language
        span, right = _span_and_type(candidate)
        wrong = [name for name in self.type_names if name != right]
        asked_type = right if right is not None and rng.random() < 0.7 else rng.choice(wrong or self.type_names)
        yes, no = self.prompts.true_false_words(language)
        asked = self.prompts.verify(language, sentence.document.text, span, asked_type)
        return (*asked, Message("assistant", yes if asked_type == right else no))


def _span_and_type(candidate: Entity | Span) -> tuple[Span, str | None]:
    return (candidate.span, candidate.type) if isinstance(candidate, Entity) else (candidate, None)


def _candidate(document: Document, number: int, rng: random.Random) -> Entity | Span | None:
    entities = document.entities or ()
    if number < len(entities):
        return entities[number]
    return draw_negative(document.text, [entity.span for entity in entities], rng)


def _times(expected: float, rng: random.Random) -> int:
    whole, rest = divmod(expected, 1)
    return int(whole) + (rng.random() < rest)
