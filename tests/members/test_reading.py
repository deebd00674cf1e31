"""Reading in place: in pieces, with rows leaving and tokens forgotten, the states are those of reading at once."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from el4ner.members.engine import Engine  # noqa: E402
from el4ner.members.prefix_cache import NOTHING, Beginning, PrefixCache  # noqa: E402
from el4ner.members.prefixes import padded  # noqa: E402
from el4ner.members.reading import Reading, next_states  # noqa: E402

ARCHITECTURES = pytest.mark.parametrize("name", ["opt", "bloom", "qwen3", "gpt2"])
ROWS = [[5, 6, 7, 8, 9, 10, 11], [6, 7, 8], [9, 5, 9, 5, 9], [11, 10, 9, 8, 7, 6, 5, 5, 6]]


def alone(model: Any, ids: Sequence[int]) -> "torch.Tensor":
    """The last hidden states of one row without any cache, ``(length, hidden)``."""
    with torch.inference_mode():
        return model.base_model(input_ids=torch.tensor([list(ids)])).last_hidden_state[0]


def close(one: "torch.Tensor", other: "torch.Tensor") -> bool:
    return bool(torch.allclose(one, other, atol=1e-4))


@ARCHITECTURES
def test_reading_in_pieces_forgetting_and_leaving(engine_of: Callable[[str], Engine], name: str):
    model = engine_of(name).model
    rng = random.Random(name)
    rows = {number: list(row) for number, row in enumerate(ROWS)}
    places, done = list(rows), dict.fromkeys(rows, 0)
    with torch.inference_mode():
        reading = Reading(model, [NOTHING] * len(rows), 4, "cpu")
        while places:
            wrong = [[*rows[row][done[row] : done[row] + 2], rng.randint(5, 11)] for row in places]
            states = reading.read(*padded(wrong, 0, "right"))
            kept = [min(2, len(rows[row]) - done[row]) for row in places]
            for place, row in enumerate(places):
                expected = alone(model, rows[row])[done[row] : done[row] + kept[place]]
                assert close(states[place, : kept[place]], expected)
                done[row] += kept[place]
            reading.keep(kept)
            going = [place for place, row in enumerate(places) if done[row] < len(rows[row])]
            places = [places[place] for place in reading.retain(going)] if going else []
    assert all(done[row] == len(ids) for row, ids in rows.items())


@ARCHITECTURES
def test_a_beginning_read_elsewhere_is_as_good_as_read_here(engine_of: Callable[[str], Engine], name: str):
    model = engine_of(name).model
    with torch.inference_mode():
        first = Reading(model, [NOTHING] * 2, 2, "cpu")
        first.read(*padded([ROWS[1], ROWS[0]], 0, "right"))
        starts = [Beginning(first.beginning(1, 4), 4), NOTHING, Beginning(first.beginning(0, 3), 2)]
        rows = [ROWS[0], ROWS[2], ROWS[1]]
        reading = Reading(model, starts, 16, "cpu")
        tails = [row[start.length :] for row, start in zip(rows, starts, strict=True)]
        states = reading.read(*padded(tails, 0, "right"))
        for place, (row, tail) in enumerate(zip(rows, tails, strict=True)):
            assert close(states[place, : len(tail)], alone(model, row)[-len(tail) :])
        # What is handed on joins what was known and what was read here.
        again = Reading(model, [Beginning(reading.beginning(0, 6), 6)], 8, "cpu")
        assert close(again.read(torch.tensor([[8]]), torch.tensor([[1]]))[0], alone(model, [*ROWS[0][:6], 8])[-1:])


@ARCHITECTURES
@pytest.mark.parametrize("size", [0, 2**20])
def test_next_states_are_those_of_each_prompt_alone(engine_of: Callable[[str], Engine], name: str, size: int):
    model, cache = engine_of(name).model, PrefixCache(size)
    text = [5, 6, 7, 8, 9, 10]
    prompts = [[*text, 5, 5], [*text, 7], [11, 9], [*text, 5, 6, 7], [11, 9, 8, 7, 6]]
    for _ in range(2):
        with torch.inference_mode():
            states = next_states(model, prompts, cache, 0, "cpu")
        for state, prompt in zip(states, prompts, strict=True):
            assert close(state, alone(model, prompt)[-1])
    assert (cache.longest([*text, 11]).length == len(text)) == bool(size)
