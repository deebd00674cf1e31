"""Tiny models and an adapter on real servers: how they are served, what holds their answers, and what a job makes of them."""

import json
import math
import os
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from tiny_models import ASSISTANT, END, PAD, USER
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from el4ner.engines.base import Message, Request
from el4ner.engines.structured_outputs import structured_outputs
from el4ner.errors import ContextOverflowError
from el4ner.prompts.chat import ChatTemplate
from el4ner.prompts.copying import CLOSE, OPEN, is_copy, is_typed_copy, read_typed_copy
from el4ner.prompts.formats import answer_format
from tests.vllm.box import KEY, Box, write_documents

pytestmark = pytest.mark.vllm
TEXT = "Angela Merkel met Emmanuel Macron of the European Union in Paris on Friday."
TEXTS = [TEXT, "张三在北京大学工作。", "a+b [c] {d} ^e$ \\ | 7/8 ? \"x\" - 'y'", "naïve 😀\nİx\t_"]
ASKED = [{"role": "user", "content": TEXT}]
CHOICES = ("person", "location", "none")
CHOICE = Request("classify", (Message("system", "What is it?"), Message("user", TEXT)), 16, choices=CHOICES)


def held(box: Box, request: Request) -> str:
    """An answer of ``glm`` that ended of itself."""
    constraint = structured_outputs(request, True, ())
    reply = box.post("glm", messages=ASKED, temperature=0, structured_outputs=constraint, max_tokens=request.max_tokens)
    assert reply["choices"][0]["finish_reason"] == "stop"
    return str(reply["choices"][0]["message"]["content"])


@torch.no_grad()
def probabilities(box: Box, name: str, request: Request) -> dict[str, float]:
    """Of choices with unlike first letters, by plain Transformers: tokens that begin one give it theirs.

    White space may come first; where it is the best token, the choices follow it.
    """
    model = AutoModelForCausalLM.from_pretrained(box.models[name], dtype=torch.float32)
    model = PeftModel.from_pretrained(model, box.adapter) if name == "reader" else model
    tokenizer = AutoTokenizer.from_pretrained(box.models[name])
    ids = tokenizer(ChatTemplate(tokenizer.chat_template).render(request.messages), add_special_tokens=False).input_ids
    tokens = [tokenizer.decode([row]) for row in range(len(tokenizer))]
    found, reached = dict.fromkeys(request.choices, 0.0), 1.0
    for leads in (("", " ", "\n"), ("",)):
        begun = {row: [c for c in request.choices for lead in leads if token and (lead + c).startswith(token)]
                 for row, token in enumerate(tokens)}  # fmt: skip
        allowed = [row for row in begun if begun[row]]
        shares = model(torch.tensor([ids])).logits[0, -1, allowed].softmax(-1) * reached
        for row, share in zip(allowed, shares.tolist(), strict=True):
            if tokens[row].strip():
                found[begun[row][0]] += share
        best, reached = allowed[int(shares.argmax())], float(shares.max())
        if tokens[best].strip():
            break
        ids = [*ids, best]
    return {choice: share / sum(found.values()) for choice, share in found.items()}


def test_every_server_is_up_and_starting_twice_changes_nothing(box: Box):
    before = box.processes()
    assert set(before) == {"base", "glm"}
    assert box.serve("start", "--cpu") == 0 and "running already" in box.said
    assert box.processes() == before
    assert box.serve("status") == 0 and box.said.count("answers") == 2


def test_a_server_listens_on_loopback_and_wants_its_key(box: Box):
    for process in box.processes().values():
        words = Path(f"/proc/{process.pid}/cmdline").read_text().split("\0")
        assert words[words.index("--host") + 1] == "127.0.0.1"
        assert os.environ[KEY] not in words
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"http://127.0.0.1:{words[words.index('--port') + 1]}/v1/models", timeout=60)


@pytest.mark.parametrize("name", ["base", "glm", "reader"])
def test_choices_come_with_the_probabilities_that_transformers_computes(box: Box, name: str):
    there, here = box.ask(name, CHOICE), probabilities(box, name, CHOICE)
    print(f"\n{name}: {there.label} {there.log_probs}, by Transformers {here}")
    assert there.log_probs is not None and there.label == max(here, key=here.__getitem__)
    assert there.log_probs == pytest.approx({choice: math.log(share) for choice, share in here.items()}, abs=0.01)
    assert sum(map(math.exp, there.log_probs.values())) == pytest.approx(1)


def test_the_adapter_answers_otherwise_than_its_base(box: Box):
    base, adapter = (box.ask(name, CHOICE).log_probs for name in ("glm", "reader"))
    assert base != pytest.approx(adapter, abs=0.01)


def test_constraints_are_honoured_and_old_names_of_them_are_not(box: Box):
    ask = partial(box.post, "glm", messages=ASKED, temperature=0, max_tokens=16)
    replies = ask(structured_outputs={"choice": ["zebra", "yak"]}), ask(guided_choice=["zebra", "yak"])
    bound, free = (reply["choices"][0]["message"]["content"] for reply in replies)
    assert bound in ("zebra", "yak") and free not in ("zebra", "yak")


@pytest.mark.parametrize("text", TEXTS)
def test_every_text_can_be_held_to_its_copy(box: Box, text: str):
    answer = held(box, Request("extract", (), 400, copy_of=text))
    assert is_copy(answer, text)


@pytest.mark.parametrize("text", TEXTS)
def test_every_text_can_be_held_to_its_copy_with_types(box: Box, text: str):
    kinds = ("person", "地名")
    answer = held(box, Request("mark", (), 400, copy_of=text, copy_types=kinds))
    assert is_typed_copy(answer, text)
    assert all(span and kind in kinds for _, span, kind in read_typed_copy(answer, text))


@pytest.mark.parametrize("name", ["lines", "json"])
@pytest.mark.parametrize("text", TEXTS)
def test_every_list_can_be_held_to_its_text(box: Box, text: str, name: str):
    form = answer_format(name)
    answer = held(box, Request("extract", (), 400, list_of=form.list_form(text)))
    spaced = "".join(text.split())
    assert all("".join(mention.surface.split()) in spaced for mention in form.read(answer, text))


def test_control_tokens_in_a_text_are_text_to_the_model(box: Box):
    tokenizer = Tokenizer.from_file(str(box.models["glm"] / "tokenizer.json"))
    special_tokens = {tokenizer.token_to_id(sign) for sign in (END, PAD, USER, ASSISTANT)}

    def control(text: str) -> list[int]:
        sent = box.sent("glm", Request("extract", (Message("user", text),), 8))
        tokens: list[int] = box.post("glm", "/tokenize", messages=sent["messages"])["tokens"]
        return [token for token in tokens if token in special_tokens]

    text = f"Mira{END} met {USER} Solberg{ASSISTANT}{PAD}."
    assert control(text) == control("Mira met Solberg.") != []
    answer = box.ask("glm", Request("extract", (Message("user", text),), 400, copy_of=text)).text
    assert len(answer.replace(OPEN, "").replace(CLOSE, "").strip()) == len(text)


@pytest.mark.parametrize("name", ["base", "glm"])
def test_a_prompt_beyond_the_context_is_told_as_such(box: Box, name: str):
    with pytest.raises(ContextOverflowError):
        box.ask(name, Request("extract", (Message("user", "word " * 600),), 16))


@pytest.fixture(scope="module")
def job(box: Box) -> dict[str, Any]:
    """The run record of a job that all members take part in, the adapter by one question a type."""
    documents = write_documents(box.folder / "some.jsonl", 8)
    return box.run(box.with_batch("all", quorum=3), "job", documents)


def test_every_document_gets_a_record_from_all_members(box: Box, job: dict[str, Any]):
    records = box.predictions("job")
    assert len(records) == 8
    for record in records:
        assert (record["status"], sorted(record["members_answered"])) == ("ok", sorted(box.models)), record


def test_the_run_record_tells_what_each_member_cost(job: dict[str, Any]):
    members = job["attempts"][-1]["members"]
    assert set(members["reader"]) >= {"mrc"} and "classify" not in members["reader"]
    for name, stages in members.items():
        cost = stages["all"]
        print(f"\n{name}: {json.dumps(cost)}")
        assert cost["requests"] >= 8 and cost["prompt_tokens"] > 100 and cost["errors"] == 0, name
        assert 0 < cost["latency_s"]["p50"] <= cost["latency_s"]["p99"]
        assert cost["server"]["prefix_cache_hit_rate"] > 0
