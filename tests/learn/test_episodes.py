"""Episodes: made-up types mean in the answer what they mean in the demonstrations, and cannot be known without them."""

import random
from collections.abc import Sequence
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("jieba")

from el4ner.config import LabelConfig  # noqa: E402
from el4ner.learn.config import TaskConfig, TrainConfig  # noqa: E402
from el4ner.learn.data import Sentence  # noqa: E402
from el4ner.learn.episodes import Episodes  # noqa: E402
from el4ner.learn.questions import QuestionMaker  # noqa: E402
from el4ner.prompts.listing import read_mentions  # noqa: E402
from el4ner.prompts.questions import Questions  # noqa: E402
from el4ner.text.documents import Document  # noqa: E402

from .conftest import LABELS, NONE_WORDS  # noqa: E402

MRC = TaskConfig(extract=0, classify=0, verify=0, mrc=1, zero_shot=0)
QUESTIONS = Questions("compact", [LabelConfig.model_validate(label) for label in LABELS], NONE_WORDS)


def episodes_of(sentences: Sequence[Sentence], share: float = 1.0) -> Episodes:
    def retrieve(sentence: Sentence, count: int) -> list[Document]:
        others = [s.document for s in sentences if s.language == sentence.language and s is not sentence]
        return others[:count]

    return Episodes(QUESTIONS, retrieve, 2, share, sentences)


def conversation(maker: QuestionMaker, sentence: Sentence) -> list[tuple[str, str]]:
    shown, groups = maker.draw(sentence, MRC, random.Random(1))
    made = [maker.make(sentence, group, shown) for group in groups]
    return [(messages[-2].content, messages[-1].content) for messages in made]


def test_each_type_has_its_own_word_and_a_line_under_each_demonstration(sentences: list[Sentence]):
    maker = episodes_of(sentences)
    for sentence in sentences:
        for asked, answer in conversation(maker, sentence):
            shown, question = asked.rsplit(sentence.document.text, 1)
            words = [
                line[2:].split("：" if "：" in line else ":")[0] for line in shown.splitlines() if line[:2] == "= "
            ]
            assert len(words) == 2 * len(set(words)) and set(words[: len(words) // 2]) == set(words[len(words) // 2 :])
            assert sum(word in question for word in set(words)) == 1
            mentions = read_mentions(answer, sentence.document.text, list(NONE_WORDS.values()))
            assert all(mention in sentence.document.text for mention in mentions)


def test_a_word_of_the_data_changes_from_sentence_to_sentence(sentences: list[Sentence]):
    """What was a person is found under other words: a model cannot know them from other sentences."""
    maker = episodes_of(sentences)
    names = {
        asked.rsplit(" : ", 1)[1]
        for sentence in sentences
        for asked, answer in conversation(maker, sentence)
        if "林晓梅" in answer or "Mira Solberg" in answer
    }
    assert len(names) >= 2


def test_questions_share_their_beginning_and_chance_is_repeated(sentences: list[Sentence]):
    first, again = episodes_of(sentences), episodes_of(sentences)
    for sentence in sentences:
        asked = conversation(first, sentence)
        assert asked == conversation(again, sentence)
        assert len({question.rsplit(" : ", 1)[0] for question, _ in asked}) <= 1


def test_the_stated_share_of_the_sentences_has_episodes(sentences: list[Sentence]):
    many = [
        Sentence(Document(f"{s.document.id}#{n}", s.document.text, s.document.entities), s.language, 1.0)
        for s in sentences
        for n in range(50)
    ]
    maker, plain = episodes_of(many, 0.3), QuestionMaker(QUESTIONS, lambda _, n: (), 0)
    same = [
        maker.draw(s, MRC.model_copy(update={"zero_shot": 1.0}), random.Random(1))
        == plain.draw(s, MRC.model_copy(update={"zero_shot": 1.0}), random.Random(1))
        for s in many
    ]
    assert sum(same) / len(same) == pytest.approx(0.7, abs=0.06)


def test_fewer_demonstrations_are_the_last_ones(sentences: list[Sentence]):
    maker = episodes_of(sentences)
    _, groups = maker.draw(sentences[0], MRC, random.Random(1))
    whole, one, none = (maker.make(sentences[0], groups[0], shown)[-2].content for shown in (2, 1, 0))
    assert whole.endswith(one) and one.endswith(none) and none.startswith(sentences[0].document.text)


def test_without_demonstrations_a_configuration_is_refused():
    given: dict[str, Any] = {"model": "m", "output": "o", "labels": LABELS, "data": [{"path": "d", "language": "en"}]}
    given["tasks"] = {"mrc": 1, "episodes": 0.5}
    assert TrainConfig.model_validate(given | {"demonstrations": {"method": "sentence", "k": 2}}).tasks.episodes == 0.5
    for shown in ({"demonstrations": {"method": "none"}}, {"demonstrations": {"k": 2}, "mrc": {"k": 0}}):
        with pytest.raises(ValueError, match="episodes needs demonstrations"):
            TrainConfig.model_validate(given | shown)
