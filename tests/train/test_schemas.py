"""Label sets drawn for each conversation: what is asked about is answered, and nothing else."""

import random
from typing import Any

import pytest

pytest.importorskip("torch")

from el4ner.config import LabelConfig
from el4ner.prompts.formats import answer_format
from el4ner.train.config import SchemaConfig, TrainConfig
from el4ner.train.data import Sentence
from el4ner.train.examples import ExampleMaker, Plan, plan_epochs
from el4ner.train.retrieval import build_retrieves
from el4ner.train.schemas import LabelSetSampler

from .conftest import LABELS, TYPES, labelled, prompts_of

DRUGS = (
    LabelConfig(name="DRUG", words={"en": "drug"}, definitions={"en": "names of medicines"}),
    LabelConfig(name="DOSE", words={"en": "dose"}, definitions={"en": "amounts of a medicine"}),
)
DISTRACTORS = (LabelConfig(name="GEM", words={"en": "gemstone"}), LabelConfig(name="KNOT", words={"en": "knot"}))
TAKEN = Sentence(labelled("d", "She took [2 mg|DOSE] of [Lorvexin|DRUG] ."), "en", 1.0, labels=DRUGS)
PLAIN = Sentence(labelled("p", "[Mira Solberg|PER] left [Bexley|LOC] ."), "en", 1.0)


def draws(sentence: Sentence, count: int = 300, **settings: Any) -> list[list[LabelConfig]]:
    schemas = LabelSetSampler(SchemaConfig(**settings), [LabelConfig.model_validate(label) for label in LABELS])
    return [schemas.draw(sentence, random.Random(number)) for number in range(count)]


def words(drawn: list[list[LabelConfig]]) -> set[tuple[str, ...]]:
    return {tuple(sorted(label.word("en") for label in labels)) for labels in drawn}


def test_a_sentence_is_asked_about_its_own_label_set_in_any_order():
    assert words(draws(TAKEN)) == {("dose", "drug")}
    assert words(draws(PLAIN)) == {("location", "organization", "person")}
    assert {labels[0].name for labels in draws(TAKEN)} == {"DRUG", "DOSE"}


def test_types_that_the_file_does_not_label_are_not_asked_about():
    partly = Sentence(PLAIN.document, "en", 1.0, frozenset({"PER"}))
    assert words(draws(partly)) == {("person",)}


def test_subsets_synonyms_distractors_and_definitions_as_often_as_asked():
    assert words(draws(TAKEN, subset_share=1.0)) == {("dose",), ("drug",), ("dose", "drug")}
    synonyms = {"drug": ("medicine", "medication")}
    synonym_share = words(draws(TAKEN, synonym_share=0.5, synonyms=synonyms))
    assert synonym_share == {("dose", "drug"), ("dose", "medicine"), ("dose", "medication")}
    distractor_share = draws(TAKEN, distractor_share=0.4, distractors=DISTRACTORS)
    share = sum(len(labels) > 2 for labels in distractor_share) / len(distractor_share)
    assert 0.3 < share < 0.5 and {len(labels) for labels in distractor_share} == {2, 3, 4}
    undefined_share = sum(
        not any(label.definitions for label in labels) for labels in draws(TAKEN, undefined_share=0.25)
    )
    assert 0.15 < undefined_share / 300 < 0.35


def maker(**settings: Any) -> ExampleMaker:
    schemas = LabelSetSampler(SchemaConfig(**settings), [LabelConfig.model_validate(label) for label in LABELS])
    return ExampleMaker(
        [TAKEN],
        prompts_of("full"),
        answer_format("lines"),
        TYPES,
        lambda _, count: [TAKEN.document][:count],
        1,
        schemas=schemas,
    )


def test_the_answer_marks_what_is_asked_about_under_the_words_of_the_question():
    answers = set()
    for number in range(60):
        messages = maker(subset_share=0.7, synonym_share=0.5, synonyms={"drug": ("medicine",)}).make(
            Plan(0, "mark", 1, number)
        )
        assert messages is not None
        system, _, solved, _, answer = messages
        assert solved == answer
        for mark in ("2 mg|dose", "Lorvexin|drug", "Lorvexin|medicine"):
            assert (f"[[{mark}]]" in answer.content) == (f"- {mark.rpartition('|')[2]}" in system.content)
        answers.add(answer.content)
    assert len(answers) == 5


def test_demonstrations_come_from_sentences_with_the_same_label_set():
    other = Sentence(labelled("e", "He took [1 mg|DOSE] ."), "en", 1.0, labels=DRUGS)
    config = train_config(demonstrations={"k": 3, "weights": "uniform"})
    retrieve = build_retrieves([TAKEN, PLAIN, other], config)[0]
    assert [document.id for document in retrieve(TAKEN, 3)] == ["e"]
    assert retrieve(PLAIN, 3) == ()


def test_one_conversation_a_sentence_and_pass():
    config = train_config()
    plans = plan_epochs([TAKEN, PLAIN], config.tasks, 0, 2.0, 1)
    assert sorted((plan.sentence, plan.task) for plan in plans) == [(0, "mark")] * 2 + [(1, "mark")] * 2


def test_label_sets_of_files_are_for_the_task_mark():
    with pytest.raises(ValueError, match=r"data.labels is for tasks.mark alone; set extract, verify to 0"):
        train_config(tasks={"extract": 1, "classify": 0, "mark": 1})
    with pytest.raises(ValueError, match="needs distractors"):
        train_config(schemas={"distractor_share": 0.1})


def train_config(**settings: Any) -> TrainConfig:
    content = {
        "model": "m",
        "output": "o",
        "labels": LABELS,
        "data": [{"path": "d", "language": "en", "labels": [label.model_dump() for label in DRUGS]}],
        "tasks": {"extract": 0, "classify": 0, "verify": 0, "mark": 1},
    }
    return TrainConfig.model_validate(content | settings)
