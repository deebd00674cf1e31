"""Reading comprehension as a training task: (text, question, answer) triples from labelled sentences.

Ye, Tang, Guo, Wu (2024): for each type that a sentence has, a question with its mentions as the answer, and questions about types
that it has not, answered by the word for none. The loss falls on the answer, the only turn of the model in the conversation.
"""

import random
from collections.abc import Callable, Sequence

from el4ner.prompts.messages import Message
from el4ner.prompts.questions import Questions
from el4ner.text.documents import Document
from el4ner.train.config import TaskConfig
from el4ner.train.data import Sentence

Retrieve = Callable[[Sentence, int], Sequence[Document]]
"""Demonstrations for a sentence: the sentence, how many; most useful last; never the sentence itself."""


class QuestionMaker:
    """Which questions a sentence is asked, and their conversations.

    Args:
        questions: as at inference.
        retrieve: demonstrations that all questions about a sentence share.
        max_demonstrations: demonstrations of a question; fewer where they do not fit.
    """

    def __init__(self, questions: Questions, retrieve: Retrieve, max_demonstrations: int) -> None:
        self._questions = questions
        self._retrieve = retrieve
        self._most_shown = max_demonstrations

    def draw(self, sentence: Sentence, tasks: TaskConfig, rng: random.Random) -> tuple[int, list[int]]:
        """How many demonstrations all questions of one visit to a sentence show, and the groups of types they are about.

        Types that the sentence's file does not label are not asked about: their absence would be no answer.
        """
        n_demonstrations = 0 if rng.random() < tasks.zero_shot else self._most_shown
        there = {entity.type for entity in sentence.document.entities or ()}
        labelled = [
            number
            for number, group in enumerate(self._questions.groups)
            if sentence.types is None or sentence.types.issuperset(group)
        ]
        answered = [number for number in labelled if there.intersection(self._questions.groups[number])]
        empty = [number for number in labelled if number not in answered]
        whole, rest = divmod(tasks.negatives * max(1, len(answered)), 1)
        drawn = rng.sample(empty, min(len(empty), int(whole) + (rng.random() < rest)))
        return n_demonstrations, sorted([*answered, *drawn])

    def make(self, sentence: Sentence, group: int, n_demonstrations: int) -> tuple[Message, ...]:
        """The conversation of one question, ending with the right answer."""
        types, document = self._questions.groups[group], sentence.document
        documents = self._retrieve(sentence, n_demonstrations) if n_demonstrations else ()
        asked = self._questions.ask(sentence.language, document.text, types, documents)
        return (*asked, Message("assistant", self._questions.answer(sentence.language, document, types)))
