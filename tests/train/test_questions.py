"""Reading comprehension as a training task: right triples, the stated share of negatives, prompts as at inference."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from el4ner.config import MrcConfig, parse_config  # noqa: E402
from el4ner.demos.embed import build_embedder  # noqa: E402
from el4ner.demos.index import SpanIndex, gold_spans  # noqa: E402
from el4ner.demos.retrieve import Retriever  # noqa: E402
from el4ner.demos.weights import build_weights  # noqa: E402
from el4ner.prompts.formats import answer_format  # noqa: E402
from el4ner.prompts.questions import Questions  # noqa: E402
from el4ner.recognisers.base import WindowContext  # noqa: E402
from el4ner.recognisers.mrc import MrcRecogniser  # noqa: E402
from el4ner.text.documents import Document  # noqa: E402
from el4ner.train.batches import Batches, Limits  # noqa: E402
from el4ner.train.config import TaskConfig, TrainConfig  # noqa: E402
from el4ner.train.data import Sentence  # noqa: E402
from el4ner.train.datasets import build_sets  # noqa: E402
from el4ner.train.encode import IGNORE, Encoder, template_of  # noqa: E402
from el4ner.train.examples import ExampleMaker, Plan, plan_epochs  # noqa: E402
from el4ner.train.questions import QuestionMaker  # noqa: E402
from el4ner.train.retrieval import build_retrieves  # noqa: E402

from .conftest import LABELS, TYPES, prompts_of, write_jsonl  # noqa: E402

MRC = TaskConfig(extract=0, classify=0, verify=0, mrc=1, zero_shot=0)


def config_of(**settings: Any) -> TrainConfig:
    given = {"model": "m", "output": "o", "labels": LABELS, "data": [{"path": "d", "language": "en"}], **settings}
    return TrainConfig.model_validate({"prompt_style": "compact", **given})


def questions_of(types_per_call: int = 1) -> Questions:
    return Questions("compact", config_of().labels, types_per_call)


def maker_of(sentences: Sequence[Sentence], shown: Sequence[Document] = (), types_per_call: int = 1) -> ExampleMaker:
    questions = QuestionMaker(questions_of(types_per_call), lambda _, count: shown[:count], len(shown))
    nothing = answer_format("inline")
    return ExampleMaker(sentences, prompts_of("compact"), nothing, TYPES, lambda _, n: (), 1, questions)


def plans_of(sentences: Sequence[Sentence], tasks: TaskConfig, epochs: float = 1.0, shown: int = 0) -> list[Plan]:
    questions = QuestionMaker(questions_of(), lambda _, n: (), shown)
    return plan_epochs(sentences, tasks, 0, epochs, 1, questions)


def test_each_type_of_a_sentence_is_asked_about_and_answered_with_its_mentions(sentences: list[Sentence]):
    maker = maker_of(sentences)
    answers = {(s, t): maker.make(Plan(s, "mrc", 0, 0, t))[-1].content for s in (0, 3, 7) for t in range(3)}
    assert answers == {
        (0, 0): "Mira Solberg", (0, 1): "Tromso", (0, 2): "none",
        (3, 0): "none", (3, 1): "none", (3, 2): "none",
        (7, 0): "林晓梅", (7, 1): "青岛", (7, 2): "海风公司",
    }  # fmt: skip


def test_one_turn_bears_the_loss_and_it_is_the_answer(tiny_model: Callable[..., Path], sentences: list[Sentence]):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model("glm4"))
    maker = maker_of(sentences, [sentences[1].document, sentences[2].document])
    messages = maker.make(Plan(0, "mrc", 2, 0, 0))
    assert [message.role for message in messages] == ["user", "assistant"]
    (encoded,) = Encoder(tokenizer).encode([messages])
    learnt = [token for token, label in zip(encoded.ids, encoded.labels, strict=True) if label != IGNORE]
    assert tokenizer.decode(learnt, skip_special_tokens=True) == "Mira Solberg"
    assert encoded.labels[: -len(learnt)] == [IGNORE] * (len(encoded.labels) - len(learnt))


@pytest.mark.parametrize("negatives", [0.0, 0.5, 1.0, 9.0])
def test_negative_questions_come_at_the_stated_ratio(sentences: list[Sentence], negatives: float):
    tasks = MRC.model_copy(update={"negatives": negatives})
    plans = plans_of(sentences, tasks, epochs=200)
    asked = Counter((plan.sentence, plan.candidate) for plan in plans)
    for number, sentence in enumerate(sentences):
        there = {TYPES.index(e.type) for e in sentence.document.entities or ()}
        assert all(asked[number, place] == 200 for place in there)
        absent = [asked[number, place] for place in range(3) if place not in there]
        expected = 200 * min(len(absent), negatives * max(1, len(there)))
        assert sum(absent) == pytest.approx(expected, abs=40 if negatives % 1 else 0)


def test_types_that_a_file_does_not_label_are_not_asked_about(sentences: list[Sentence]):
    partly = [Sentence(s.document, s.language, 1.0, frozenset({"PER", "LOC"})) for s in sentences]
    plans = plans_of(partly, MRC.model_copy(update={"negatives": 9}))
    assert {plan.candidate for plan in plans} == {0, 1}


def test_all_questions_of_a_visit_show_the_same_or_nothing(sentences: list[Sentence]):
    tasks = MRC.model_copy(update={"negatives": 9, "zero_shot": 0.4})
    plans = plans_of(sentences, tasks, epochs=50, shown=2)
    visits = [plans[at : at + 3] for at in range(0, len(plans), 3)]
    assert all(len({(plan.sentence, plan.n_demonstrations) for plan in visit}) == 1 for visit in visits)
    shown = Counter(visit[0].n_demonstrations for visit in visits)
    assert set(shown) == {0, 2} and 0.3 < shown[0] / shown.total() < 0.5


def test_the_other_tasks_are_drawn_as_without_questions(sentences: list[Sentence]):
    """A run that was begun before there were questions must go on with the examples it has begun with."""
    assert plans_of(sentences, TaskConfig(), 2.0, 3) == plan_epochs(sentences, TaskConfig(), 0, 2.0, 1)


def test_several_types_a_call_are_asked_and_answered_together(sentences: list[Sentence]):
    messages = maker_of(sentences, types_per_call=2).make(Plan(0, "mrc", 0, 0, 0))
    assert messages[-1].content == "person: Mira Solberg\nlocation: Tromso"
    rng = random.Random(1)
    asked = QuestionMaker(questions_of(2), lambda _, n: (), 0)
    assert asked.draw(sentences[0], MRC.model_copy(update={"negatives": 0}), rng) == (0, [0])


def test_questions_about_a_sentence_share_it_and_what_is_shown(tiny_model: Any, sentences: list[Sentence]):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model("glm4"))
    maker = maker_of(sentences, [sentences[1].document])
    plans = [Plan(0, "mrc", 1, number, number) for number in range(3)]
    shared = Batches(plans, maker, tokenizer, Limits(4096, 512), seed=1, share_prefix=True)
    batch = shared[0]
    assert len(shared) == 1 and batch["prefix_ids"].shape[0] == 1
    assert sum(len(group["owners"]) for group in batch["tails"]) == 3
    prefix = tokenizer.decode(batch["prefix_ids"][0])
    assert "Quillon" in prefix and "Mira Solberg opened" in prefix
    assert shared.cost.tokens < 0.6 * shared.cost.unshared


def test_a_question_that_is_too_long_loses_demonstrations_and_keeps_its_text(
    tiny_model: Any, sentences: list[Sentence]
):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model("glm4"))
    documents = [sentences[1].document, sentences[2].document]
    nearest_last = QuestionMaker(questions_of(), lambda _, count: documents[len(documents) - count :], 2)
    maker = ExampleMaker(
        sentences, prompts_of("compact"), answer_format("inline"), TYPES, lambda _, n: (), 1, nearest_last
    )

    def length(shown: int) -> int:
        return len(Encoder(tokenizer).encode([maker.make(Plan(0, "mrc", shown, 0, 0))])[0].ids)

    plan = Plan(0, "mrc", 2, 0, 0)
    batches = Batches([plan], maker, tokenizer, Limits(4096, length(1)), seed=1)
    text = tokenizer.decode(batches[0]["input_ids"][0])
    assert "Harrow" in text and "Quillon" not in text and "Mira Solberg opened" in text
    bare = Batches([plan], maker, tokenizer, Limits(4096, length(0)), seed=1)
    assert bare[0]["input_ids"].numel() == length(0) and bare.too_long == 0
    both = Batches([plan, Plan(3, "mrc", 0, 1, 0)], maker, tokenizer, Limits(4096, length(0) - 1), seed=1)
    assert both.too_long == 1


def test_questions_that_lost_demonstrations_share_among_themselves(tiny_model: Any, sentences: list[Sentence]):
    """One long answer must not cost the other questions of its sentence what they share."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model("glm4"))
    maker = maker_of(sentences, [sentences[1].document])
    encode = Encoder(tokenizer).encode
    lengths = [len(encode([maker.make(Plan(0, "mrc", 1, 0, number))])[0].ids) for number in range(3)]
    plans = [Plan(0, "mrc", 1, number, number) for number in range(3)]
    limit = max(lengths) - 1
    batches = Batches(plans, maker, tokenizer, Limits(4096, limit), seed=1, share_prefix=True)
    parts = [part for batch in batches._batches for part in batch]
    assert sorted(len(part.tails) for part in parts) == sorted(
        (sum(size > limit for size in lengths), sum(size <= limit for size in lengths))
    )
    assert all("Mira Solberg opened" in tokenizer.decode(part.prefix) for part in parts)


@pytest.mark.parametrize("method", ["span", "sentence", "random"])
def test_demonstrations_are_balanced_and_never_the_sentence_itself(sentences: list[Sentence], method: str):
    config = config_of(demonstrations={"method": method, "k": 3})
    _, retrieve = build_retrieves(sentences, config)
    for sentence in sentences:
        found = retrieve(sentence, 3)
        assert len(found) == 3 and sentence.document.text not in {document.text for document in found}
        if sentence.language == "en":
            there = [{e.type for e in document.entities or ()} for document in found]
            assert all(any(name in held for held in there) for name in TYPES)
            assert all(any(name not in held for held in there) for name in TYPES)


def test_a_training_prompt_is_the_prompt_of_inference(tiny_model: Any, sentences: list[Sentence], tmp_path: Path):
    """Token by token, demonstrations included, for every question about every sentence."""
    from transformers import AutoTokenizer

    folder = tiny_model("glm4")
    pool = write_jsonl(tmp_path / "pool.jsonl", [sentence.document for sentence in sentences])
    demonstrations = {"method": "sentence", "k": 2, "order": "best-last"}
    train = config_of(demonstrations=demonstrations, seed=13)
    ensemble = parse_config(
        {
            "labels": LABELS, "pool": {"path": str(pool)}, "demonstrations": demonstrations,
            "members": [{"name": "glm", "engine": "local", "model": "m.gguf", "role": "mrc", "prompt_style": "compact"}],
        },
        base=tmp_path,
    )  # fmt: skip
    _, retrieve = build_retrieves(sentences, train)
    questions = QuestionMaker(questions_of(), retrieve, 2)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    documents = [sentence.document for sentence in sentences]
    embedder, settings = build_embedder(ensemble.embedder), ensemble.demonstrations
    index = SpanIndex.build(documents, gold_spans(documents), embedder)
    retriever = Retriever(settings, documents, index, embedder, build_weights(settings, documents), ensemble.seed)
    from el4ner.demos.balance import QuestionDemonstrations

    mrc = MrcRecogniser(None, ensemble.members[0], ensemble)  # type: ignore[arg-type]
    for sentence in sentences:
        document, language = sentence.document, sentence.language
        shown = QuestionDemonstrations(retriever, settings, MrcConfig(), TYPES).choose(document.text, [], language)
        for number, group in enumerate(questions_of().groups):
            asked = mrc.question_request(WindowContext.of(document.text, language), group, shown)
            (encoded,) = Encoder(tokenizer).encode([questions.make(sentence, number, 2)])
            prompt = [token for token, label in zip(encoded.ids, encoded.labels, strict=True) if label == IGNORE]
            written = template_of(tokenizer).render(asked.messages)
            assert prompt == tokenizer(written, add_special_tokens=False)["input_ids"]


def test_without_demonstrations_none_are_shown(sentences: list[Sentence], tiny_model: Any, tmp_path: Path):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model("glm4"))
    path = write_jsonl(tmp_path / "own.jsonl", [sentence.document for sentence in sentences])
    data = [{"path": str(path), "language": "en"}]
    shared = {"data": data, "tasks": MRC.model_dump(), "evaluation": {"fraction": 0}, "optimisation": {"epochs": 1}}
    bare = build_sets(config_of(demonstrations={"method": "none"}, **shared), tokenizer)
    shown = build_sets(config_of(demonstrations={"method": "sentence", "k": 2}, **shared), tokenizer)
    assert bare.counts == shown.counts == {"sentences": 12, "held out": 0, "left out as too long": 0}
    assert bare.held_out is None and shown.train.cost.tokens > 2 * bare.train.cost.tokens
