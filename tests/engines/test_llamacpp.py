"""A real llama.cpp server with a tiny random model, asked over its endpoint: as engine local answers, so does engine http."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from el4ner.config import MemberConfig
from el4ner.engines.base import Engine, Message, Request
from el4ner.engines.gguf import GgufEngine
from el4ner.engines.gguf_header import read_header
from el4ner.engines.http import HttpEngine
from el4ner.engines.llamacpp_server import LocalServer, start_server
from el4ner.engines.scheduler import RoundRobinScheduler
from el4ner.engines.servers.openai import connect_openai
from el4ner.errors import ContextOverflowError, MemberError
from el4ner.prompts.formats import answer_format
from tests.engines.tiny_gguf import CHATML, write_tiny_gguf

KEY = "TEST_LLAMACPP_KEY"
TEXT = "Ada Lovelace wrote to Karl in Paris, 北京 and Zürich 🙂."
PLAIN = Request("extract", (Message("system", "Find names."), Message("user", TEXT)), 400)
LISTS = [replace(PLAIN, list_of=answer_format(name).list_form(TEXT)) for name in ("lines", "json")]
COPY = replace(PLAIN, copy_of=TEXT)
CHOICE = replace(PLAIN, choices=("person", "place", "none"))
SHORT = replace(PLAIN, max_tokens=30)
NO_SYSTEM = CHATML.replace(
    "{% for", "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}{% for", 1
)
Running = tuple[Path, LocalServer]


def running(path: Path) -> Running:
    return path, start_server(path, read_header(path), 2048)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Running]]:
    """Models with a chat template, without a system role, without a template; with and without a token that begins texts."""
    folder = tmp_path_factory.mktemp("llamacpp")
    templates = {"chat": CHATML, "no-system": NO_SYSTEM, "base": None, "begun": "{{ bos_token }}" + CHATML}
    made = {name: write_tiny_gguf(folder / f"{name}.gguf", form) for name, form in templates.items()}
    made["begins"] = write_tiny_gguf(folder / "begins.gguf", CHATML, puts_bos=True)
    made["base-begins"] = write_tiny_gguf(folder / "base-begins.gguf", None, puts_bos=True)
    yield {name: running(path) for name, path in made.items()}


def served(found: Running, monkeypatch: pytest.MonkeyPatch, **values: Any) -> HttpEngine:
    path, server = found
    monkeypatch.setenv(KEY, server.key)
    given = {
        "name": "m",
        "engine": "http",
        "model": str(path),
        "endpoint": server.url,
        "api_key_env": KEY,
        "retries": 0,
    }
    return HttpEngine(MemberConfig.model_validate(given | values))


def ask(member: Engine, *requests: Request) -> list[Any]:
    async def all_of_them() -> list[Any]:
        try:
            return [await (member.choose if r.choices else member.generate)(r) for r in requests]
        finally:
            await member.close()

    return asyncio.run(all_of_them())


@pytest.mark.parametrize("name", ["chat", "no-system", "base", "begun", "begins", "base-begins"])
def test_both_engines_answer_alike(servers: dict[str, Running], name: str, monkeypatch: pytest.MonkeyPatch):
    template = "none" if name.startswith("base") else "model"
    local = GgufEngine(MemberConfig(name="m", engine="local", model=str(servers[name][0])), RoundRobinScheduler(4))
    asked = (*LISTS, COPY, SHORT, CHOICE)
    here, there = ask(local, *asked), ask(served(servers[name], monkeypatch, chat_template=template), *asked)
    assert [answer.text for answer in here[:4]] == [answer.text for answer in there[:4]]
    assert there[-1].label == here[-1].label
    assert there[-1].log_probs == pytest.approx(here[-1].log_probs, abs=1e-4)


def test_a_template_whose_end_is_no_token_of_the_model_is_not_its_own(
    servers: dict[str, Running], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """llama.cpp gives a model without a template its own one, with an end that a base model never saw."""
    strange = running(write_tiny_gguf(tmp_path / "strange.gguf", CHATML.replace("<|im_end|>", "<|unheard_of|>")))
    (there,) = ask(served(strange, monkeypatch), LISTS[0])
    assert "no chat template" in caplog.text
    (plain,) = ask(served(servers["base"], monkeypatch, chat_template="none"), LISTS[0])
    assert there.text == plain.text


def test_what_constrain_says_is_done(servers: dict[str, Running], monkeypatch: pytest.MonkeyPatch):
    for constrain in (False, "choices"):
        copy, choice = ask(
            served(servers["chat"], monkeypatch, constrain=constrain), replace(COPY, max_tokens=40), CHOICE
        )
        assert copy.text.replace("[[", "").replace("]]", "") != TEXT
        assert choice.log_probs is not None


def test_a_prompt_longer_than_the_context_is_an_overflow(servers: dict[str, Running], monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ContextOverflowError):
        ask(served(servers["chat"], monkeypatch), replace(PLAIN, messages=(Message("user", "Ada " * 3000),)))


def test_it_is_ready_when_its_model_is_served(servers: dict[str, Running], monkeypatch: pytest.MonkeyPatch):
    prints = []
    for name in ("chat", "no-system"):
        member = served(servers[name], monkeypatch)
        asyncio.run(member.check())
        prints.append(member.fingerprint)
    assert len(set(prints)) == 2
    with pytest.raises(MemberError, match="not served"):
        asyncio.run(served(servers["chat"], monkeypatch, model="other").check())


def test_its_openai_compatible_side_takes_what_any_server_is_asked(
    servers: dict[str, Running], monkeypatch: pytest.MonkeyPatch
):
    """A real server for the dialect of unknown ones: JSON lists and closed choices by schema, arguments, log-probabilities."""
    member = served(servers["chat"], monkeypatch)

    async def go() -> tuple[Any, Any, Any]:
        opened = await connect_openai(member._connection, None)
        try:
            return opened, await opened.client.generate(LISTS[1]), await opened.client.choose(CHOICE)
        finally:
            await member.close()

    opened, listed, choice = asyncio.run(go())
    assert opened.identity == (None, True, True, True, 20)
    assert isinstance(answer_format("json").read(listed.text, TEXT), list)
    assert choice.label in CHOICE.choices
