"""From a configuration to metered, cached members."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from el4ner.config import Config, parse_config
from el4ner.errors import MemberError, ModelError
from el4ner.members import build
from el4ner.members.base import Message, Request
from el4ner.members.build import build_members, check_members
from el4ner.members.meter import Meter
from el4ner.members.store import AnswerStore

VLLM = {"name": "served", "engine": "http", "model": "big", "endpoint": "http://127.0.0.1:9/v1", "retries": 0}


def config_of(members: list[dict[str, Any]], base: Path) -> Config:
    labels = [{"name": "LOC", "words": {"en": "location"}}]
    return parse_config({"labels": labels, "members": members}, base=base)


def local(name: str, folder: Path, **settings: Any) -> dict[str, Any]:
    return {"name": name, "engine": "local", "model": str(folder), **settings}


def ask(text: str) -> Request:
    return Request("extract", (Message("user", f"find : {text}"),), 6)


def test_members_keep_their_order_and_names(tiny_model: Callable[..., Path], tmp_path: Path):
    pytest.importorskip("torch")
    (tmp_path / "answers.jsonl").write_text("")
    recorded = {"name": "tape", "engine": "recorded", "model": "answers.jsonl"}
    config = config_of([VLLM, recorded, local("tiny", tiny_model("opt"))], tmp_path)
    members = build_members(config, Meter())
    assert list(members) == ["served", "tape", "tiny"]
    assert [member.name for member in members.values()] == list(members)
    assert len({member.fingerprint for member in members.values()}) == 3


def test_answers_are_metered_and_kept(tiny_model: Callable[..., Path], tmp_path: Path):
    pytest.importorskip("torch")
    meter, config = Meter(), config_of([local("tiny", tiny_model("opt"))], tmp_path)

    async def twice() -> list[Any]:
        with_store = AnswerStore(tmp_path / "answers")
        member = build_members(config, meter, with_store)["tiny"]
        try:
            return [await member.generate(ask("Bexley")), await member.generate(ask("Bexley"))]
        finally:
            await member.close()
            with_store.close()

    first, second = asyncio.run(twice())
    assert first == second
    assert (first.usage.cached, second.usage.cached) == (False, True)
    assert "tiny" in json.dumps(meter.as_dict())


def test_local_members_on_the_cpu_share_its_cores(tiny_model: Callable[..., Path], tmp_path: Path, monkeypatch: Any):
    pytest.importorskip("torch")
    from el4ner.members import local as local_module

    asked: list[int] = []
    monkeypatch.setattr(local_module, "cpu_threads", lambda members: asked.append(members) or 1)
    monkeypatch.setattr(build, "check_device", lambda *_: None)
    folder = tiny_model("opt")
    members = [local("a", folder), local("b", folder), local("c", folder, device="cuda"), VLLM]
    build_members(config_of(members, tmp_path), Meter())
    assert asked == [2, 2]


def test_a_folder_that_is_not_there_is_refused_at_once(tmp_path: Path):
    pytest.importorskip("torch")
    with pytest.raises(ModelError, match="is no folder"):
        build_members(config_of([local("tiny", tmp_path / "none")], tmp_path), Meter())


def test_check_members_names_the_server_that_does_not_answer(tmp_path: Path):
    with pytest.raises(MemberError, match="served"):
        asyncio.run(check_members(config_of([VLLM], tmp_path)))


def test_check_members_asks_no_local_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(build, "_engine", lambda *_: pytest.fail("a model was built"))
    asyncio.run(check_members(config_of([local("tiny", tmp_path)], tmp_path)))


@pytest.mark.parametrize(
    ("languages", "quorum", "spared"),
    [(("en", "zh"), 1, 2), (("en", "zh"), 3, 0), (("en",), 2, 0), (("en",), 1, 1), (("en",), 3, 0)],
)
def test_the_quorum_says_how_many_members_a_job_can_do_without(
    languages: tuple[str, ...], quorum: int, spared: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """One of three members may not speak Chinese; where Chinese has fewer speakers than the quorum, English decides."""
    seen = {}
    monkeypatch.setattr(build, "Outages", lambda **bounds: seen.update(bounds))
    served = [{**VLLM, "name": name} for name in "abc"]
    served[0]["languages"] = languages
    config = config_of(served, tmp_path)
    build_members(config.model_copy(update={"batch": config.batch.model_copy(update={"quorum": quorum})}), Meter())
    assert seen == {"spare": spared, "patience_s": 600.0}
