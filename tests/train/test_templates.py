"""Whatever the chat template: training sees the tokens that inference sees, and what is written is what Transformers writes."""

from typing import Any

import pytest

pytest.importorskip("torch")

from el4ner.errors import ModelError
from el4ner.prompts.messages import Message
from el4ner.train.encode import IGNORE, Encoder, template_of
from tests.chat_templates import CHATML, FAMILIES, GLM4, byte_level, sentence_pieces

TEXTS = [
    "Mira Solberg opened a bakery in Tromso .",
    "find person : Bexley [[Bexley]] .",
    "林晓梅在青岛的海风公司工作。",
    "none",
]
MAKERS = {"bytes": byte_level, "pieces": sentence_pieces}
TALK = (
    Message("system", "Find names ."),
    Message("user", "Mira Solberg opened a bakery ."),
    Message("assistant", "[[Mira Solberg]] opened a bakery ."),
    Message("user", "林晓梅在青岛工作。"),
    Message("assistant", "[[林晓梅]]在[[青岛]]工作。"),
    Message("user", "Nobody came ."),
    Message("assistant", "none"),
)
ARGUMENTS = {"enable_thinking": False}
made: dict[tuple[str, str, bool], Any] = {}


def tokenizer_of(kind: str, family: str, *, bos: bool = True) -> Any:
    if (kind, family, bos) not in made:
        made[kind, family, bos] = MAKERS[kind](TEXTS, FAMILIES[family][0], bos=bos)
    return made[kind, family, bos]


def ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def runs(labels: list[int]) -> list[list[int]]:
    """The stretches of labels that bear loss."""
    found: list[list[int]] = [[]]
    for label in labels:
        if label != IGNORE:
            found[-1].append(label)
        elif found[-1]:
            found.append([])
    return [run for run in found if run]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", MAKERS)
def test_training_sees_the_tokens_of_inference(kind: str, family: str):
    tokenizer, end = tokenizer_of(kind, family), FAMILIES[family][1]
    template = template_of(tokenizer, ARGUMENTS)
    for length in (3, 5, 7):
        (encoded,) = Encoder(tokenizer, ARGUMENTS).encode([TALK[:length]])
        answer = ids(tokenizer, TALK[length - 1].content + end)
        assert encoded.ids == ids(tokenizer, template.render(TALK[: length - 1])) + answer
        assert encoded.labels[-len(answer) :] == answer


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", MAKERS)
def test_the_loss_falls_on_all_answers_with_their_ends_and_on_nothing_else(kind: str, family: str):
    tokenizer, end = tokenizer_of(kind, family), FAMILIES[family][1]
    (encoded,) = Encoder(tokenizer, ARGUMENTS).encode([TALK])
    assert all(label in (IGNORE, token) for token, label in zip(encoded.ids, encoded.labels, strict=True))
    learnt = [tokenizer.decode(run).strip(" ") for run in runs(encoded.labels)]
    answers = [message.content + end for message in TALK if message.role == "assistant"]
    if family == "thinking":  # its prompts end with an empty thought that is not written before earlier answers
        answers = answers[-1:]
    assert [text.replace(" ", "") for text in learnt] == [text.replace(" ", "") for text in answers]


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "none"])
@pytest.mark.parametrize("length", [2, 4, 6])
def test_prompts_are_those_of_transformers(family: str, length: int):
    tokenizer = tokenizer_of("bytes", family)
    template = template_of(tokenizer, ARGUMENTS)
    asked = TALK[:length] if template.supports_system_role else TALK[1:length]
    turns = [{"role": message.role, "content": message.content} for message in asked]
    expected = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True, **ARGUMENTS)
    assert template.render(asked) == expected + (
        "\n" if family == "glm4" else ""
    )  # which GLM writes before each answer


def test_earlier_answers_that_a_template_changes_bear_no_loss(caplog: pytest.LogCaptureFixture):
    told = CHATML.replace("m['content']", "('I said ' if m['role'] == 'assistant' else '') + m['content']")
    tokenizer = byte_level(TEXTS, told, bos=False)
    (encoded,) = Encoder(tokenizer).encode([TALK])
    assert [tokenizer.decode(run) for run in runs(encoded.labels)] == ["none<|im_end|>"]
    assert caplog.messages == [
        "the chat template rewrites earlier answers; no loss falls on them, only on the last of an example"
    ]


def test_plain_prompts_begin_as_the_tokenizer_begins_texts():
    for bos in (True, False):
        template = template_of(tokenizer_of("bytes", "none", bos=bos))
        assert template.plain and template.render(TALK[:2]).startswith("<s>" if bos else "Find names")
        assert (
            template_of(tokenizer_of("bytes", "llama3", bos=bos)).render(TALK[:2]).startswith("<s><|start_header_id|>")
        )


def test_of_several_templates_the_default_is_taken():
    tokenizer = byte_level(TEXTS, None, bos=False)
    tokenizer.chat_template = {"tool_use": CHATML, "default": GLM4}
    assert template_of(tokenizer).render(TALK[:2]).startswith("[gMASK]<sop>")
    tokenizer.chat_template = {"tool_use": CHATML, "rag": GLM4}
    with pytest.raises(ModelError, match="chat templates rag, tool_use; call one of them default"):
        template_of(tokenizer)


def test_a_tokenizer_that_cannot_write_the_end_is_refused():
    tokenizer = byte_level(TEXTS, MISTRAL_WITHOUT_END, bos=False)
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="cannot write what ends an answer"):
        Encoder(tokenizer)


MISTRAL_WITHOUT_END = "{% for m in messages %}{{ m['content'] }} {% endfor %}"
