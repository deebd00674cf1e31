"""Reading in place: in pieces, with rows leaving and tokens forgotten, the states are those of reading at once."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from el4ner.members.engine import Engine  # noqa: E402
from el4ner.members.prefix_cache import NOTHING, Beginning, PrefixCache  # noqa: E402
from el4ner.members.reading import Reading, next_states, pack  # noqa: E402

ARCHITECTURES = pytest.mark.parametrize("name", ["opt", "bloom", "qwen3", "glm4", "gpt2"])
ROWS = [[5, 6, 7, 8, 9, 10, 11], [6, 7, 8], [9, 5, 9, 5, 9], [11, 10, 9, 8, 7, 6, 5, 5, 6]]


def alone(model: Any, ids: Sequence[int]) -> "torch.Tensor":
    """The last hidden states of one row without any cache, ``(length, hidden)``."""
    with torch.inference_mode():
        return model.base_model(input_ids=torch.tensor([list(ids)])).last_hidden_state[0]


def every(reading: Reading, rows: Sequence[Sequence[int]]) -> "Sequence[torch.Tensor]":
    """The states of all next tokens, row by row."""
    counts = [len(row) for row in rows]
    return reading.read(rows, range(sum(counts))).split(counts)


def close(one: "torch.Tensor", other: "torch.Tensor") -> bool:
    return bool(torch.allclose(one, other, atol=1e-4))


@ARCHITECTURES
def test_reading_in_pieces_forgetting_and_leaving(engine_of: Callable[[str], Engine], name: str):
    model, packed = engine_of(name).model, engine_of(name).packed
    rng = random.Random(name)
    rows = {number: list(row) for number, row in enumerate(ROWS)}
    places, done = list(rows), dict.fromkeys(rows, 0)
    with torch.inference_mode():
        reading = Reading(packed, [NOTHING] * len(rows), 4)
        while places:
            wrong = [[*rows[row][done[row] : done[row] + 2], rng.randint(5, 11)] for row in places]
            states = every(reading, wrong)
            kept = [min(2, len(rows[row]) - done[row]) for row in places]
            for place, row in enumerate(places):
                expected = alone(model, rows[row])[done[row] : done[row] + kept[place]]
                assert close(states[place][: kept[place]], expected)
                done[row] += kept[place]
            reading.keep(kept)
            going = [place for place, row in enumerate(places) if done[row] < len(rows[row])]
            places = [places[place] for place in reading.retain(going)] if going else []
    assert all(done[row] == len(ids) for row, ids in rows.items())


@ARCHITECTURES
def test_a_beginning_read_elsewhere_is_as_good_as_read_here(engine_of: Callable[[str], Engine], name: str):
    model, packed = engine_of(name).model, engine_of(name).packed
    with torch.inference_mode():
        first = Reading(packed, [NOTHING] * 2, 2)
        first.read([ROWS[1], ROWS[0]], [])
        starts = [Beginning(first.beginning(1, 4), 4), NOTHING, Beginning(first.beginning(0, 3), 2)]
        rows = [ROWS[0], ROWS[2], ROWS[1]]
        reading = Reading(packed, starts, 16)
        tails = [row[start.length :] for row, start in zip(rows, starts, strict=True)]
        states = every(reading, tails)
        for found, row, tail in zip(states, rows, tails, strict=True):
            assert close(found, alone(model, row)[-len(tail) :])
        # What is handed on joins what was known and what was read here.
        again = Reading(packed, [Beginning(reading.beginning(0, 6), 6)], 8)
        assert close(again.read([[8]], [0]), alone(model, [*ROWS[0][:6], 8])[-1:])


@ARCHITECTURES
@pytest.mark.parametrize("size", [0, 2**20])
def test_next_states_are_those_of_each_prompt_alone(engine_of: Callable[[str], Engine], name: str, size: int):
    model, packed, cache = engine_of(name).model, engine_of(name).packed, PrefixCache(size)
    text = [5, 6, 7, 8, 9, 10]
    prompts = [[*text, 5, 5], [*text, 7], [11, 9], [*text, 5, 6, 7], [11, 9, 8, 7, 6]]
    for _ in range(2):
        with torch.inference_mode():
            states = next_states(packed, prompts, cache)
        for state, prompt in zip(states, prompts, strict=True):
            assert close(state, alone(model, prompt)[-1])
    assert (cache.longest([*text, 11]).length == len(text)) == bool(size)


@ARCHITECTURES
def test_many_rows_are_attended_to_in_several_groups(
    engine_of: Callable[[str], Engine], name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("el4ner.members.layout.ATTENDED", 12)
    model, packed = engine_of(name).model, engine_of(name).packed
    with torch.inference_mode():
        reading = Reading(packed, [NOTHING] * len(ROWS), 2)
        reading.read([row[:2] for row in ROWS], [])
        states = every(reading, [row[2:] for row in ROWS])
    for found, row in zip(states, ROWS, strict=True):
        assert close(found, alone(model, row)[2:])


@ARCHITECTURES
def test_states_of_some_tokens_are_those_among_all(engine_of: Callable[[str], Engine], name: str):
    model, packed = engine_of(name).model, engine_of(name).packed
    asked = [1, 6, 7, 9, 23]
    with torch.inference_mode():
        reading = Reading(packed, [NOTHING] * len(ROWS), 2)
        states = reading.read(ROWS, asked)
        expected = torch.cat([alone(model, row) for row in ROWS])[asked]
        assert close(states, expected)
        again = [[7, 8]] * len(ROWS)  # keys and values of the tokens that nobody asked for are there all the same
        found = reading.read_last(again)
        for state, row in zip(found, ROWS, strict=True):
            assert close(state, alone(model, [*row, 7, 8])[-1])


@ARCHITECTURES
def test_the_last_layer_leaves_out_what_nobody_asks_for(engine_of: Callable[[str], Engine], name: str):
    packed = engine_of(name).packed
    assert packed is not None
    assert packed._hooks


def test_a_model_that_reads_packed_rows_otherwise_is_not_packed(
    engine_of: Callable[[str], Engine], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("el4ner.members.layout.Layout.attend", lambda self, query, *_: query.transpose(1, 2))
    assert pack(engine_of("opt").model, "cpu") is None


def test_where_sparing_goes_wrong_nothing_is_left_out(tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("el4ner.members.packed.SPARED", frozenset({"k_proj"}))
    engine = Engine(tiny_model("qwen3"), None, "cpu", "float32", {})
    assert engine.packed is not None and not engine.packed._hooks
