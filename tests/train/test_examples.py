"""Training conversations: right answers, the planned shares, and the same ones again for the same seed."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")

from el4ner.config import DemonstrationConfig
from el4ner.prompts.formats import answer_format
from el4ner.prompts.messages import Message
from el4ner.text.documents import Document
from el4ner.train.config import TaskConfig, TrainConfig
from el4ner.train.data import Sentence
from el4ner.train.examples import ExampleMaker, Plan, plan_epochs
from el4ner.train.retrieval import build_retrieves

from .conftest import LABELS, TYPES, labelled, prompts_of

TRUTH = {"yes": True, "no": False}


def maker_of(sentences: Sequence[Sentence], seed: int = 1, shown: Sequence[Document] = ()) -> ExampleMaker:
    return ExampleMaker(
        sentences, prompts_of("compact"), answer_format("inline"), TYPES, lambda _, count: shown[:count], seed
    )


def made(
    maker: ExampleMaker, task: str, count: int, sentence: int = 0, shown: int = 0, candidate: int = 0
) -> list[tuple[Message, ...]]:
    found = [maker.make(Plan(sentence, task, shown, number, candidate)) for number in range(count)]
    return [messages for messages in found if messages is not None]


def config_of(**settings: Any) -> TrainConfig:
    return TrainConfig.model_validate(
        {"model": "m", "output": "o", "labels": LABELS, "data": [{"path": "d", "language": "en"}], **settings}
    )


def test_the_same_seed_and_number_make_the_same_example(sentences: list[Sentence]):
    for task in ("extract", "classify", "verify"):
        assert made(maker_of(sentences), task, 20) == made(maker_of(sentences), task, 20)
    one, other = (made(maker_of(sentences, seed=seed), "classify", 20, candidate=9) for seed in (1, 2))
    assert one != other and len(set(one)) > 3


def test_an_extraction_is_answered_with_the_gold_mentions(sentences: list[Sentence]):
    maker, form = maker_of(sentences), answer_format("inline")
    for index, sentence in enumerate(sentences):
        (messages,) = made(maker, "extract", 1, sentence=index)
        mentions = form.read(messages[-1].content, sentence.document.text)
        assert [mention.span for mention in mentions] == [e.span for e in sentence.document.entities or ()]


def marked(question: str) -> str:
    """The candidate of a compact question."""
    return question[question.rindex("[[") + 2 : question.rindex("]]")]


def test_entities_have_their_type_and_further_candidates_are_none(sentences: list[Sentence]):
    entities = {"Mira Solberg": "person", "Tromso": "location"}
    maker = maker_of(sentences)
    for candidate, (mention, word) in enumerate(entities.items()):
        for messages in made(maker, "classify", 5, candidate=candidate):
            assert (marked(messages[-2].content), messages[-1].content) == (mention, word)
    nones = made(maker, "classify", 100, candidate=2)
    assert {messages[-1].content for messages in nones} == {"none"}
    assert not {marked(messages[-2].content) for messages in nones} & set(entities)


def test_a_sentence_without_entities_gives_none_alone(sentences: list[Sentence]):
    answers = {messages[-1].content for messages in made(maker_of(sentences), "classify", 50, sentence=3)}
    assert answers == {"none"}


def test_a_sentence_without_words_gives_no_candidate():
    maker = maker_of([Sentence(labelled("dots", ". . ."), "en", 1.0)])
    assert maker.make(Plan(0, "classify", 0, 0)) is None
    assert maker.make(Plan(0, "verify", 0, 0)) is None


def test_verifications_are_answered_right_and_both_ways(sentences: list[Sentence]):
    entities = {"Mira Solberg": "person", "Tromso": "location"}
    seen: Counter[bool] = Counter()
    for candidate in range(4):
        for messages in made(maker_of(sentences), "verify", 75, candidate=candidate):
            claimed = messages[-2].content.rsplit(" = ", 1)[1]
            assert TRUTH[messages[-1].content] == (entities.get(marked(messages[-2].content)) == claimed)
            seen[TRUTH[messages[-1].content]] += 1
    assert seen[True] > 60 and seen[False] > 60


def test_demonstrations_stand_before_the_question(sentences: list[Sentence]):
    shown = [sentences[1].document, sentences[2].document]
    maker = maker_of(sentences, shown=shown)
    (extraction,) = made(maker, "extract", 1, shown=2)
    assert [message.role for message in extraction] == ["user", "assistant"] * 3
    assert extraction[1].content == "The [[Quillon Institute]] sent two divers to [[Lake Orven]] ."
    (verification, *_) = made(maker, "verify", 1)
    assert [message.role for message in verification] == ["user", "assistant"]


@given(st.floats(0, 3), st.floats(0, 2), st.floats(0, 2), st.floats(0.1, 3.5), st.floats(0.1, 3), st.integers(0, 2**20))
def test_plans_keep_to_their_shares(
    extract: float, classify: float, verify: float, epochs: float, repeat: float, seed: int
):
    sentences = [Sentence(Document(str(i), "x", ()), "en", repeat) for i in range(40)]
    tasks = TaskConfig(extract=extract, classify=classify, verify=verify)
    plans = plan_epochs(sentences, tasks, 2, epochs, seed)
    assert [plan.number for plan in plans] == list(range(len(plans)))
    per_sentence = Counter((plan.sentence, plan.task) for plan in plans)
    visits = max(per_sentence[index, "extract"] for index in range(40)) if extract >= 1 else 0
    assert visits <= (int(epochs) + 1) * (int(repeat) + 1) * (int(extract) + 1)
    for task, share in (("extract", extract), ("classify", classify), ("verify", verify)):
        total, expected = sum(per_sentence[index, task] for index in range(40)), 40 * share * repeat * epochs
        assert abs(total - expected) < 8 * (1 + expected) ** 0.5 + 0.2 * expected


def test_each_entity_is_asked_about_and_as_many_spans_that_are_none(sentences: list[Sentence]):
    plans = plan_epochs(sentences, TaskConfig(extract=0, classify=1, verify=0), 0, 1.0, seed=1)
    for index, sentence in enumerate(sentences):
        entities = len(sentence.document.entities or ())
        asked = sorted(plan.candidate for plan in plans if plan.sentence == index)
        assert asked == list(range(entities + max(1, entities)))


def test_whole_epochs_are_exact_and_differ_in_order():
    sentences = [Sentence(Document(str(i), "x", ()), "en", 1.0) for i in range(30)]
    plans = plan_epochs(sentences, TaskConfig(extract=1, classify=0, verify=0), 0, 2.0, seed=1)
    first, second = ([plan.sentence for plan in plans[at : at + 30]] for at in (0, 30))
    assert sorted(first) == sorted(second) == list(range(30))
    assert first != second
    assert plans == plan_epochs(sentences, TaskConfig(extract=1, classify=0, verify=0), 0, 2.0, seed=1)


def test_demonstrations_are_planned_as_often_as_asked():
    sentences = [Sentence(Document(str(i), "x", ()), "en", 1.0) for i in range(400)]
    plans = plan_epochs(sentences, TaskConfig(verify=1, zero_shot=0.25), 3, 1.0, seed=1)
    assert {plan.n_demonstrations for plan in plans if plan.task == "verify"} == {0}
    shown = Counter(plan.n_demonstrations for plan in plans if plan.task != "verify")
    assert set(shown) == {0, 1, 2, 3}
    assert 0.2 < shown[0] / shown.total() < 0.3
    assert {plan.n_demonstrations for plan in plan_epochs(sentences, TaskConfig(), 0, 1.0, seed=1)} == {0}
    extract_alone = plan_epochs(sentences, TaskConfig(with_demonstrations=("extract",), zero_shot=0), 3, 1.0, seed=1)
    assert {plan.task for plan in extract_alone if plan.n_demonstrations} == {"extract"}


@pytest.mark.parametrize("order", ["best-last", "best-first"])
@pytest.mark.parametrize("method", ["span", "sentence", "random"])
def test_retrieved_demonstrations_never_hold_the_sentence_itself(sentences: list[Sentence], order: str, method: str):
    copies = [
        Sentence(Document(f"copy/{s.document.id}", s.document.text.upper(), ()), s.language, 1) for s in sentences
    ]
    config = config_of(demonstrations={"k": 3, "order": order, "method": method})
    retrieve = build_retrieves([*sentences, *copies], config)[0]
    for sentence in sentences:
        found = retrieve(sentence, 3)
        assert 0 < len(found) <= 3
        assert sentence.document.text.casefold() not in {document.text.casefold() for document in found}


def test_fewer_demonstrations_are_the_most_useful_ones_last(sentences: list[Sentence]):
    retrieve = build_retrieves(sentences, config_of(demonstrations={"k": 3}))[0]
    three, one = retrieve(sentences[0], 3), retrieve(sentences[0], 1)
    assert tuple(one) == tuple(three[-1:])
    best_first = build_retrieves(sentences, config_of(demonstrations={"k": 3, "order": "best-first"}))[0]
    assert tuple(best_first(sentences[0], 1)) == tuple(one)
    assert tuple(retrieve(sentences[0], 0)) == ()


def test_sentences_that_share_an_id_do_not_share_demonstrations(sentences: list[Sentence]):
    namesake = Sentence(Document("own/0", sentences[1].document.text, sentences[1].document.entities), "en", 1.0)
    pool, config = [sentences[0], *sentences[2:], namesake], config_of(demonstrations={"k": 4})
    retrieve = build_retrieves(pool, config)[0]
    assert tuple(retrieve(sentences[0], 4)) != tuple(retrieve(namesake, 4))
    assert tuple(retrieve(namesake, 4)) == tuple(build_retrieves(pool, config)[0](namesake, 4))


@pytest.mark.parametrize("settings", [DemonstrationConfig(k=0), DemonstrationConfig(method="none")])
def test_no_demonstrations_need_no_embedder(sentences: list[Sentence], settings: DemonstrationConfig):
    config = config_of(demonstrations=settings.model_dump(), embedder={"path": "/nowhere"})
    assert tuple(build_retrieves(sentences, config)[0](sentences[0], 2)) == ()
