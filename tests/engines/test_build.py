"""From a configuration to metered, cached members."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from el4ner.config import Config, parse_config
from el4ner.engines import build, gguf
from el4ner.engines.answer_store import AnswerStore
from el4ner.engines.base import Message, Request
from el4ner.engines.build import build_engines, check_engines
from el4ner.engines.meter import Meter
from el4ner.errors import MemberError, ModelError

from .tiny_gguf import write_tiny_gguf

VLLM = {"name": "served", "engine": "http", "model": "big", "endpoint": "http://127.0.0.1:9/v1"}


def config_of(members: list[dict[str, Any]], base: Path) -> Config:
    labels = [{"name": "LOC", "words": {"en": "location"}}]
    return parse_config({"labels": labels, "members": members}, base=base)


def local(name: str, folder: Path, **settings: Any) -> dict[str, Any]:
    return {"name": name, "engine": "local", "model": str(folder), **settings}


def ask(text: str) -> Request:
    return Request("extract", (Message("user", f"find : {text}"),), 6)


def test_members_keep_their_order_and_names(tmp_path: Path):
    other = VLLM | {"name": "other", "model": "o"}
    config = config_of([VLLM, local("tiny", write_tiny_gguf(tmp_path / "tiny.gguf")), other], tmp_path)
    members = build_engines(config, Meter())
    assert list(members) == ["served", "tiny", "other"]
    assert [member.name for member in members.values()] == list(members)
    assert len({member.fingerprint for member in members.values()}) == 3


def test_answers_are_metered_and_kept(tmp_path: Path):
    meter, config = Meter(), config_of([local("tiny", write_tiny_gguf(tmp_path / "tiny.gguf"))], tmp_path)

    async def twice() -> list[Any]:
        with_store = AnswerStore(tmp_path / "answers")
        member = build_engines(config, meter, with_store)["tiny"]
        try:
            return [await member.generate(ask("Bexley")), await member.generate(ask("Bexley"))]
        finally:
            await member.close()
            with_store.close()

    first, second = asyncio.run(twice())
    assert first == second
    assert (first.usage.cached, second.usage.cached) == (False, True)
    assert "tiny" in json.dumps(meter.as_dict())


def test_what_is_no_gguf_file_is_refused_at_once(tmp_path: Path):
    with pytest.raises(ModelError, match=r"none\.gguf"):
        build_engines(config_of([local("tiny", tmp_path / "none.gguf")], tmp_path), Meter())
    with pytest.raises(
        ModelError, match="engine local runs GGUF files; take the model's GGUF file, or serve the folder"
    ):
        build_engines(config_of([local("tiny", tmp_path)], tmp_path), Meter())


def test_check_members_names_the_server_that_does_not_answer(tmp_path: Path):
    with pytest.raises(MemberError, match="served"):
        asyncio.run(check_engines(config_of([VLLM], tmp_path)))


def test_check_members_tries_the_template_of_a_local_model_and_loads_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(gguf, "start_server", lambda *_: pytest.fail("a model was loaded"))
    asyncio.run(check_engines(config_of([local("tiny", write_tiny_gguf(tmp_path / "tiny.gguf"))], tmp_path)))
    broken = write_tiny_gguf(tmp_path / "broken.gguf", template="{% if %}")
    with pytest.raises(ModelError, match="member tiny: the model's chat template"):
        asyncio.run(check_engines(config_of([local("tiny", broken)], tmp_path)))


@pytest.mark.parametrize(
    ("languages", "quorum", "spared"),
    [(("en", "zh"), 1, 2), (("en", "zh"), 3, 0), (("en",), 2, 0), (("en",), 1, 1), (("en",), 3, 0)],
)
def test_the_quorum_says_how_many_members_a_job_can_do_without(
    languages: tuple[str, ...], quorum: int, spared: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """One of three members may not speak Chinese; where Chinese has fewer speakers than the quorum, English decides."""
    seen = {}
    monkeypatch.setattr(build, "CircuitBreaker", lambda **bounds: seen.update(bounds))
    served = [{**VLLM, "name": name} for name in "abc"]
    served[0]["languages"] = languages
    config = config_of(served, tmp_path)
    build_engines(config.model_copy(update={"batch": config.batch.model_copy(update={"quorum": quorum})}), Meter())
    assert seen == {"dispensable": spared, "patience_s": 600.0}
