"""Encoding: the loss falls on the answers and nothing else, and a prompt is the one that inference would send."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from el4ner.engines.special_tokens import escape_special_tokens  # noqa: E402
from el4ner.prompts.formats import answer_format  # noqa: E402
from el4ner.prompts.messages import Message  # noqa: E402
from el4ner.train.data import Sentence  # noqa: E402
from el4ner.train.encode import IGNORE, Encoded, Encoder, special_tokens, template_of  # noqa: E402
from el4ner.train.examples import ExampleMaker, Plan  # noqa: E402

from .conftest import TYPES, plainly_encoded, prompts_of  # noqa: E402

CHATML = (
    "{% for m in messages %}<|user|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|user|>assistant\n{% endif %}"
)
FORGETFUL = (
    "{% for m in messages %}{% if m['role'] == 'assistant' and not loop.last %}<|assistant|><|end|>"
    "{% else %}<|user|>{{ m['content'] }}<|end|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|user|>{% endif %}"
)


class Asked:
    """What inference sends: a conversation up to where its answer begins, and the answer with its end sign."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        safe = [Message(m.role, escape_special_tokens(m.content, special_tokens(self.tokenizer))) for m in messages]
        return self._ids(template_of(self.tokenizer).render(safe))

    def answer_ids(self, answer: str) -> list[int]:
        return self._ids(answer + template_of(self.tokenizer).end)

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.fixture(scope="module")
def asked(tiny_model: Callable[..., Path]) -> Asked:
    return Asked(tiny_model("qwen3"))


def encode(tokenizer: Any, messages: Sequence[Message], arguments: dict[str, Any] | None = None) -> Encoded:
    (encoded,) = Encoder(tokenizer, arguments).encode([messages])
    return encoded


def conversations(sentences: Sequence[Sentence], style: str) -> list[tuple[Message, ...]]:
    """One of each task for every sentence, with up to two demonstrations."""
    shown = [sentences[0].document, sentences[3].document]
    maker = ExampleMaker(sentences, prompts_of(style), answer_format("inline"), TYPES, lambda s, n: shown[:n], seed=1)
    plans = [
        Plan(i, task, 0 if task == "verify" else i % 3, 3 * i + offset)
        for i in range(len(sentences))
        for offset, task in enumerate(("extract", "classify", "verify"))
    ]
    return [messages for plan in plans if (messages := maker.make(plan)) is not None]


def runs(labels: Sequence[int]) -> list[list[int]]:
    """The stretches of labels that bear loss."""
    found: list[list[int]] = []
    for before, label in zip([IGNORE, *labels], labels, strict=False):
        if label != IGNORE:
            if before == IGNORE:
                found.append([])
            found[-1].append(label)
    return found


def answers_of(messages: Sequence[Message]) -> list[str]:
    return [message.content for message in messages if message.role == "assistant"]


@pytest.mark.parametrize("style", ["compact", "full"])
def test_labels_are_the_answers_with_their_end_sign(asked: Asked, sentences: list[Sentence], style: str):
    for messages in conversations(sentences, style):
        encoded = encode(asked.tokenizer, messages)
        assert len(encoded.ids) == len(encoded.labels)
        assert all(label in (IGNORE, token) for token, label in zip(encoded.ids, encoded.labels, strict=True))
        assert runs(encoded.labels) == [asked.answer_ids(answer) for answer in answers_of(messages)]


@pytest.mark.parametrize("style", ["compact", "full"])
def test_the_prompt_is_the_one_of_inference(asked: Asked, sentences: list[Sentence], style: str):
    for messages in conversations(sentences, style):
        encoded = encode(asked.tokenizer, messages)
        answer = asked.answer_ids(messages[-1].content)
        assert encoded.ids == asked.prompt(messages[:-1]) + answer


@pytest.mark.parametrize("style", ["compact", "full"])
def test_many_at_once_are_what_each_is_alone(asked: Asked, sentences: list[Sentence], style: str):
    together = conversations(sentences, style)
    encoded = Encoder(asked.tokenizer).encode(together)
    assert len(together) > 30
    assert [(one.ids, one.labels) for one in encoded] == [plainly_encoded(asked.tokenizer, one) for one in together]
    assert Encoder(asked.tokenizer).encode([]) == []


def test_labels_decode_to_the_answer(asked: Asked):
    messages = (Message("user", "type : Bexley"), Message("assistant", "location"))
    (labels,) = runs(encode(asked.tokenizer, messages).labels)
    assert asked.tokenizer.decode(labels).replace(" ", "") == "location<|end|>"


def test_control_tokens_of_a_text_are_harmless_as_at_inference(asked: Asked):
    text = "Bexley<|end|><|user|>none"
    messages = (Message("user", f"find : {text}"), Message("assistant", f"[[Bexley]]{text[6:]}"))
    encoded = encode(asked.tokenizer, messages)
    assert encoded.ids[: -len(runs(encoded.labels)[0])] == asked.prompt(messages[:-1])
    assert encoded.ids.count(asked.tokenizer.eos_token_id) == 1


def test_a_template_with_text_around_its_turns(asked: Asked, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(asked.tokenizer, "chat_template", CHATML)
    messages = tuple(
        Message(role, text)
        for role, text in [("user", "Bexley"), ("assistant", "location"), ("user", "Mira"), ("assistant", "person")]
    )
    encoded = encode(asked.tokenizer, messages)
    ends = [[i for i, token in enumerate(run) if token == asked.tokenizer.eos_token_id] for run in runs(encoded.labels)]
    assert [len(places) for places in ends] == [1, 1]
    assert encoded.ids[: -len(runs(encoded.labels)[-1])] == asked.prompt(messages[:-1])


def test_template_arguments_reach_the_template(asked: Asked, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(asked.tokenizer, "chat_template", "{{ mood }}" + CHATML)
    messages = (Message("user", "Bexley"), Message("assistant", "location"))
    sunny = encode(asked.tokenizer, messages, {"mood": "May"})
    assert sunny.ids != encode(asked.tokenizer, messages, {"mood": "last"}).ids


def test_where_a_template_forgets_earlier_answers_the_last_one_bears_loss(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(asked.tokenizer, "chat_template", FORGETFUL)
    turns = [Message("user", "a"), Message("assistant", "b")] * 2
    encoded = encode(asked.tokenizer, turns)
    assert runs(encoded.labels) == [asked.answer_ids("b")]
    assert encoded.ids == asked.prompt(turns[:-1]) + asked.answer_ids("b")
