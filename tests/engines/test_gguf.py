"""GGUF members on real llama.cpp, with a tiny random model."""

import asyncio
import json
import math
import urllib.request
from dataclasses import replace

import pytest

from el4ner.config import MemberConfig
from el4ner.engines.base import Request
from el4ner.engines.gguf import GgufEngine
from el4ner.engines.gguf_header import read_header
from el4ner.engines.llamacpp_server import start_server
from el4ner.engines.scheduler import RoundRobinScheduler
from el4ner.errors import ContextOverflowError, ModelError
from el4ner.prompts.formats import answer_format
from el4ner.prompts.grammar import ListForm
from el4ner.prompts.messages import Message
from tests.engines.tiny_gguf import CHATML, tokens_of, write_tiny_gguf

TEXT = "Ada Lovelace wrote to Karl in Paris, 北京 and Zürich 🙂."
ASKED = (Message("system", "Find names."), Message("user", TEXT))


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory):
    return write_tiny_gguf(tmp_path_factory.mktemp("gguf") / "chat.gguf")


@pytest.fixture(scope="module")
def base_model(tmp_path_factory):
    return write_tiny_gguf(tmp_path_factory.mktemp("gguf") / "base.gguf", template=None, seed=3)


def member(path, **settings):
    return GgufEngine(MemberConfig(name="tiny", engine="local", model=str(path), **settings), RoundRobinScheduler(4))


def ask(path, *requests, **settings):
    async def all_at_once():
        asked = member(path, **settings)
        try:
            return await asyncio.gather(*((asked.choose if r.choices else asked.generate)(r) for r in requests))
        finally:
            await asked.close()

    return asyncio.run(all_at_once())


def list_request(form, max_tokens=400):
    return Request("extract", ASKED, max_tokens, list_of=form)


@pytest.mark.parametrize("model", ["chat_model", "base_model"])
def test_answers_are_held_to_their_form_whatever_the_template(model, request):
    formats = {name: answer_format(name) for name in ("inline", "lines", "json")}
    asked = [
        Request("extract", ASKED, 400, copy_of=TEXT),
        list_request(formats["lines"].list_form(TEXT)),
        list_request(formats["json"].list_form(TEXT)),
    ]
    answers = ask(request.getfixturevalue(model), *asked)
    assert [answer.finish_reason for answer in answers] == ["stop"] * 3
    assert answers[0].text.replace("[[", "").replace("]]", "") == TEXT
    for answer, name in zip(answers[1:], ("lines", "json"), strict=True):
        mentions = formats[name].read(answer.text, TEXT)
        assert all(mention.surface in TEXT for mention in mentions)


def test_without_a_constraint_the_same_model_writes_something_else(chat_model):
    (answer,) = ask(chat_model, Request("extract", ASKED, 40, copy_of=TEXT), constrain=False)
    assert answer.text.replace("[[", "").replace("]]", "") != TEXT


def test_choices_have_the_probabilities_that_the_model_gives_them(chat_model):
    choices = ("person", "place", "none")
    (choice,) = ask(chat_model, Request("classify", ASKED, 16, choices=choices))
    assert choice.log_probs is not None
    assert math.isclose(sum(map(math.exp, choice.log_probs.values())), 1.0, abs_tol=1e-5)
    assert choice.label == max(choice.log_probs, key=choice.log_probs.get)
    assert choice.log_probs == pytest.approx(_by_hand(chat_model, choices), abs=2e-3)


def test_a_typed_copy_has_the_log_probabilities_of_its_tokens(chat_model):
    asked = Request("mark", ASKED, 200, copy_of=TEXT, copy_types=("person",))
    marked, plain = ask(chat_model, asked, replace(asked, copy_types=()))
    assert sum(size for size, _ in marked.token_log_probs) == len(marked.text.encode())
    first = marked.text[0]
    assert marked.token_log_probs[0][1] == pytest.approx(
        _next_bytes(start_server(chat_model, read_header(chat_model), 2048))[first], abs=2e-2
    )
    assert plain.token_log_probs == ()


def _next_bytes(server, more=""):
    """The log-probability of each byte to come next, among all, after the prompt and the beginning of an answer."""
    prompt = f"<|im_start|>system\nFind names.<|im_end|>\n<|im_start|>user\n{TEXT}<|im_end|>\n<|im_start|>assistant\n"
    body = json.dumps({"prompt": prompt + more, "n_predict": 1, "temperature": 0, "n_probs": 259}).encode()
    asked = urllib.request.Request(server.url + "/completion", body, {"Authorization": f"Bearer {server.key}"})
    with urllib.request.urlopen(asked) as reply:
        likeliest = json.load(reply)["completion_probabilities"][0]["top_logprobs"]
    return {token["token"]: token["logprob"] for token in likeliest}


def _by_hand(path, choices, answer_prefix=""):
    """Log-probabilities from the unconstrained distribution: p/n at the first byte, then e/l after the shared p."""
    server = start_server(path, read_header(path), 2048)

    def among(found, tokens):
        total = math.log(sum(math.exp(found[token]) for token in tokens))
        return {token: found[token] - total for token in tokens}

    first = among(_next_bytes(server, answer_prefix), "pn")
    second = among(_next_bytes(server, answer_prefix + "p"), "el")
    return {"person": first["p"] + second["e"], "place": first["p"] + second["l"], "none": first["n"]}


@pytest.mark.parametrize("lost", [1, 3000])
def test_a_file_whose_weights_are_cut_off_is_refused(chat_model, tmp_path, lost):
    whole = chat_model.read_bytes()
    (tmp_path / "cut.gguf").write_bytes(whole[:-lost])
    with pytest.raises(ModelError, match=r"cut off: [\d,]+ of [\d,]+ bytes"):
        member(tmp_path / "cut.gguf")


GEMMA = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
ONE_TURN = "{% if messages|length > 1 %}{{ raise_exception('one turn') }}{% endif %}{{ messages[0].content }}"


@pytest.mark.parametrize("template", [None, CHATML, GEMMA])
def test_templates_that_take_the_prompts_pass_the_check(tmp_path, template):
    member(write_tiny_gguf(tmp_path / "m.gguf", template=template)).check()


@pytest.mark.parametrize(
    ("template", "reason"), [(ONE_TURN, "refuses this conversation"), ("{% if %}", "no valid Jinja")]
)
def test_a_template_that_refuses_the_prompts_is_found_before_the_work(tmp_path, template, reason):
    with pytest.raises(ModelError, match=f"member tiny: .*{reason}"):
        member(write_tiny_gguf(tmp_path / "m.gguf", template=template)).check()


def test_a_choice_that_begins_another_is_told_apart_by_the_end_of_the_turn(chat_model):
    (choice,) = ask(chat_model, Request("classify", ASKED, 16, choices=("art", "artist", "a")))
    assert math.isclose(sum(map(math.exp, choice.log_probs.values())), 1.0, abs_tol=1e-5)


def test_choices_may_go_on_from_the_beginning_of_an_answer(chat_model):
    choices = ("person", "place", "none")
    found = ask(
        chat_model,
        *(Request("weigh", ASKED, 1, choices, answer_prefix=answer_prefix) for answer_prefix in ("in ", "xq")),
    )
    for choice, answer_prefix in zip(found, ("in ", "xq"), strict=True):
        assert choice.log_probs == pytest.approx(_by_hand(chat_model, choices, answer_prefix), abs=2e-2)
    assert found[0].log_probs != pytest.approx(found[1].log_probs, abs=5e-2)


def test_control_tokens_in_a_text_stay_text(chat_model):
    text = "Ada <|im_end|> Karl"
    (answer,) = ask(chat_model, Request("extract", (Message("user", text),), 200, copy_of=text))
    assert answer.finish_reason == "stop" and "<|im_end|>" not in answer.text
    assert len(answer.text.replace("[[", "").replace("]]", "")) == len(text)


@pytest.mark.parametrize("puts_bos", [True, False])
@pytest.mark.parametrize(("template", "first"), [(CHATML, False), ("{{ bos_token }}" + CHATML, True), (None, None)])
def test_the_first_token_is_there_once_and_only_where_it_belongs(tmp_path, template, first, puts_bos):
    path = write_tiny_gguf(tmp_path / "model.gguf", template=template, puts_bos=puts_bos)
    asked = (Message("user", "Ada"),)
    choice, answer = ask(
        path, Request("classify", asked, 8, choices=("a", "b")), Request("extract", asked, 8, copy_of="Ada")
    )
    plain = template is None
    written = "### Input\nAda\n\n### Output\n" if plain else "<|im_start|>user\nAda<|im_end|>\n<|im_start|>assistant\n"
    expected = len(tokens_of(written)) + (puts_bos if plain else first)
    assert choice.usage.prompt_tokens == answer.usage.prompt_tokens == expected


def test_a_prompt_longer_than_the_context_is_an_overflow(tmp_path):
    path = write_tiny_gguf(tmp_path / "short.gguf", context=256)
    with pytest.raises(ContextOverflowError):
        ask(path, Request("extract", (Message("user", "Ada " * 200),), 16))


def test_an_answer_that_the_context_cuts_is_an_overflow(tmp_path):
    path = write_tiny_gguf(tmp_path / "short.gguf", context=256)
    text = "Ada " * 40
    with pytest.raises(ContextOverflowError):
        ask(path, Request("extract", (Message("user", text),), 400, copy_of=text))


def test_answers_depend_on_weights_and_settings_and_so_does_the_fingerprint(chat_model, base_model):
    prints = [member(chat_model), member(base_model), member(chat_model, constrain=False)]
    assert len({asked.fingerprint for asked in prints}) == 3
    assert member(chat_model).fingerprint == member(chat_model).fingerprint


def test_files_that_are_no_models_are_refused_with_a_word(tmp_path, chat_model):
    (tmp_path / "no.gguf").write_bytes(b"GGML nothing")
    with pytest.raises(ModelError, match="no complete GGUF"):
        member(tmp_path / "no.gguf")
    with pytest.raises(ModelError, match="cannot read"):
        member(tmp_path / "missing.gguf")
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(chat_model.read_bytes()[:-20_000])
    with pytest.raises(ModelError, match="cut off"):
        ask(cut, list_request(ListForm("Ada", "\n", "none")))


@pytest.mark.parametrize("length", [4, 24, 100, 2000])
def test_a_cut_header_is_no_model(tmp_path, chat_model, length):
    (tmp_path / "cut.gguf").write_bytes(chat_model.read_bytes()[:length])
    with pytest.raises(ModelError):
        read_header(tmp_path / "cut.gguf")
