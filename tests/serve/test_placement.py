"""Where servers go, what the plan prints, and what it says where they do not fit."""

import os
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from el4ner.errors import ConfigError
from el4ner.serve.command import arguments, environment, settings
from el4ner.serve.control import make_plan
from el4ner.serve.devices import parse_cards, parse_report
from el4ner.serve.memory import GIB
from el4ner.serve.placement import Plan
from el4ner.serve.table import plan_text
from tests.serve.conftest import Member, configuration


def cards(plan: Plan) -> dict[str, list[int]]:
    return {placed.server.name: [card.index for card in placed.cards] for placed in plan.placed}


def value(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


def test_several_small_ones_share_a_card_and_large_ones_get_their_own(member: Member):
    config = configuration(
        member("small", "Qwen3-0.6B", port=8001),
        member("large", "Qwen3-8B", port=8002),
        member("middle", "Qwen3-4B", port=8003),
    )
    plan = make_plan(config, gpus="2x24GiB", cpu=False)
    where = cards(plan)
    assert where["large"] != where["middle"]
    assert where["small"] == where["middle"]
    for device in plan.devices:
        assert plan.used(device) <= device.room
    shares = [
        float(value(arguments(p), "--gpu-memory-utilization"))
        for p in plan.placed
        if p.cards[0].index == where["small"][0]
    ]
    assert len(shares) == 2 and sum(shares) < 0.92


def test_a_model_too_large_for_one_card_is_spread_over_two(member: Member):
    plan = make_plan(configuration(member("phi", "phi-4", port=8001)), gpus="2x24GiB", cpu=False)
    assert plan.placed[0].tensor_parallel == 2
    words = arguments(plan.placed[0])
    assert value(words, "--tensor-parallel-size") == "2"
    assert settings(plan.placed[0], plan)["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert int(value(words, "--kv-cache-memory-bytes")) == plan.placed[0].need.kv


def test_spare_cards_take_copies_behind_the_same_endpoint(member: Member):
    config = configuration(member("a", "Qwen3-8B", port=8001, replicas="spare"), member("b", "Qwen3-4B", port=8002))
    plan = make_plan(config, gpus="4x24GiB", cpu=False)
    assert {name: len(where) for name, where in cards(plan).items()} == {"a": 3, "b": 1}
    assert value(arguments(plan.placed[0]), "--data-parallel-size") == "3"
    assert "3 copies behind port 8001" in plan_text(plan, config)


def test_copies_that_are_asked_are_planned(member: Member):
    plan = make_plan(configuration(member("a", "phi-4", port=8001, replicas=2)), gpus="4x24GiB", cpu=False)
    assert (plan.placed[0].tensor_parallel, plan.placed[0].replicas) == (2, 2)


def test_backtracking_finds_a_placement_that_greed_misses(member: Member):
    config = configuration(*(member(f"m{port}", "Qwen3-4B", port=port) for port in range(8001, 8007)))
    one = make_plan(config, gpus="80GiB", cpu=False).placed[0].need.total
    tight = f"{3 * one / 0.92 / GIB + 0.01:.2f}GiB"
    plan = make_plan(config, gpus=f"{tight},{tight}", cpu=False)
    assert sorted(len([1 for where in cards(plan).values() if where == [card]]) for card in (0, 1)) == [3, 3]


def test_what_does_not_fit_is_told_in_gib_with_a_remedy_that_works(member: Member):
    crowded = member("a", "Qwen3-8B", port=8001, concurrency=64)
    with pytest.raises(ConfigError) as raised:
        make_plan(configuration(crowded), gpus="24GiB", cpu=False)
    found = re.search(r"short by ([\d.]+) GiB each; change serve.kv_tokens: (\d+)", str(raised.value))
    assert found and 10 < float(found[1]) < 20
    crowded["serve"]["kv_tokens"] = int(found[2])
    assert make_plan(configuration(crowded), gpus="24GiB", cpu=False).placed


def test_members_that_fit_alone_but_not_together(member: Member):
    config = configuration(member("a", "Qwen3-8B", port=8001), member("b", "GLM-4-9B-0414", port=8002))
    with pytest.raises(ConfigError, match=r"do not fit together: short by [\d.]+ GiB"):
        make_plan(config, gpus="24GiB", cpu=False)


def test_a_number_of_cards_that_does_not_divide_the_heads(member: Member):
    config = configuration(member("a", "phi-4", port=8001, concurrency=8, kv_tokens=4096))
    assert make_plan(config, gpus="3x22GiB", cpu=False).placed[0].tensor_parallel == 2
    with pytest.raises(ConfigError, match="4 copies asked, but there are 3 card"):
        make_plan(configuration(member("a", "Qwen3-0.6B", port=8001, replicas=4)), gpus="3x80GiB", cpu=False)


@pytest.mark.parametrize("model", ["phi-4", "Qwen3-0.6B"])
def test_the_table_is_at_most_80_columns_wide(member: Member, model: str):
    config = configuration(member("a-name-that-is-rather-long", model, port=8001, concurrency=32, key=None))
    text = plan_text(make_plan(config, gpus="2x141GiB", cpu=False), config)
    head = text.split("\n\n# ")[0]
    assert max(map(len, head.splitlines())) <= 80
    assert "no api_key_env" in head


def test_no_secret_and_no_opening_in_what_a_server_gets(member: Member):
    config = configuration(member("a", "Qwen3-0.6B", port=8001))
    plan = make_plan(config, gpus="24GiB", cpu=False)
    inherited = {
        "PATH": "/bin",
        "VLLM_SERVER_DEV_MODE": "1",
        "VLLM_API_KEY": "other",
        "HF_TOKEN": "t",
        "VLLM_PORT": "1",
    }
    env = environment(inherited, settings(plan.placed[0], plan), "k-123")
    assert env["VLLM_API_KEY"] == "k-123" and env["PATH"] == "/bin"
    assert not {"VLLM_SERVER_DEV_MODE", "HF_TOKEN", "VLLM_PORT"} & set(env)
    assert env["HF_HUB_OFFLINE"] == env["DO_NOT_TRACK"] == env["VLLM_NO_USAGE_STATS"] == "1"
    words = arguments(plan.placed[0])
    assert "k-123" not in " ".join(words) and "--trust-remote-code" not in words
    assert value(words, "--host") == "127.0.0.1" and value(words, "--load-format") == "safetensors"


@pytest.mark.parametrize("text", ["", "24 apples", "0x24GiB", "2x", "2x0GiB", "24GiB;24GiB"])
def test_cards_written_wrongly(text: str):
    with pytest.raises(ConfigError, match="2x24GiB"):
        parse_cards(text)


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(1, 200)), min_size=1, max_size=4))
def test_cards_as_written(parts: list[tuple[int, int]]):
    found = parse_cards(",".join(f"{count}x{size}GiB" for count, size in parts))
    assert [card.total for card in found] == [size * GIB for count, size in parts for _ in range(count)]
    assert [card.index for card in found] == list(range(len(found)))


def test_the_drivers_report():
    found = parse_report("0, NVIDIA L4, 23034, 22500\n1, NVIDIA L4, [N/A], 3\n\n3, NVIDIA L4, 23034, 10\n")
    assert [(card.index, card.total, card.free) for card in found] == [
        (0, 23034 * 2**20, 22500 * 2**20), (3, 23034 * 2**20, 10 * 2**20),
    ]  # fmt: skip
    assert found[1].room == 10 * 2**20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"endpoint": "http://10.0.0.7:8001/v1"}, "loopback only"),
        ({"endpoint": "https://127.0.0.1:8001/v1"}, "loopback only"),
        ({"endpoint": "http://127.0.0.1/v1"}, "loopback only"),
        ({"serve": {"context": 99_999}}, "above the model's 40960"),
        ({"serve": {"extra_args": ["--trust_remote_code"]}}, "refused"),
        ({"serve": {"extra_args": ["--trust-rem"]}}, "--trust-remote-code is refused"),
        ({"serve": {"extra_args": ["--hos", "0.0.0.0"]}}, "--host is set by the plan"),
        ({"serve": {"extra_args": ["--port=1"]}}, "set by the plan"),
    ],
)
def test_what_cannot_be_served(member: Member, change: dict[str, Any], message: str):
    settings = member("a", "Qwen3-0.6B", port=8001)
    settings |= {name: value for name, value in change.items() if name != "serve"}
    settings["serve"] |= change.get("serve", {})
    with pytest.raises(ConfigError, match=message):
        make_plan(configuration(settings), gpus="80GiB", cpu=False)


def test_nothing_to_serve():
    other = {"name": "a", "engine": "http", "model": "a", "endpoint": "http://127.0.0.1:1/v1"}
    with pytest.raises(ConfigError, match="no member has a serve section"):
        make_plan(configuration(other), gpus="80GiB", cpu=False)


def test_servers_on_a_cpu_share_its_cores(member: Member, monkeypatch: pytest.MonkeyPatch):
    config = configuration(*(member(name, "Qwen3-0.6B", port=port) for name, port in (("a", 8001), ("b", 8002))))
    plan = make_plan(config, gpus="80GiB", cpu=False)
    on_cpu = Plan(
        tuple(replace(placed, cards=(replace(placed.cards[0], is_cpu=True),)) for placed in plan.placed),
        plan.devices,
    )  # fmt: skip
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
    assert [settings(p, on_cpu)["VLLM_CPU_OMP_THREADS_BIND"] for p in on_cpu.placed] == ["0,1", "2,3"]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    for placed in on_cpu.placed:
        found = settings(placed, on_cpu)
        assert (found["VLLM_CPU_OMP_THREADS_BIND"], found["OMP_NUM_THREADS"]) == ("nobind", "1")
        words = arguments(placed)
        assert value(words, "--block-size") == "32" and "--gpu-memory-utilization" not in words
