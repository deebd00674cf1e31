"""Lists held to a text: the automaton takes what a list may be and nothing else, and a model held by it lists what is there."""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from el4ner.config import MemberConfig, bundled_path  # noqa: E402
from el4ner.members.base import Request  # noqa: E402
from el4ner.members.engine import Engine  # noqa: E402
from el4ner.members.lists import Listing, ListTask  # noqa: E402
from el4ner.members.local import LocalMember  # noqa: E402
from el4ner.prompts.grammar import ListForm  # noqa: E402
from el4ner.prompts.listing import read_mentions  # noqa: E402
from el4ner.prompts.messages import Message  # noqa: E402

END, DELIMITER, NOTHING = 0, (7, 8), (9, 5)
SOURCE = (5, 6, 7, 8, 6, 3)


def takes(task: ListTask, answer: Sequence[int]) -> bool:
    """Whether every token of an answer is allowed where it stands."""
    listing = Listing(task)
    for token in answer:
        if token not in listing.allowed():
            return False
        listing.advance(token)
    return True


def task_of(source: Sequence[int] = SOURCE, inside: Sequence[int] = ()) -> ListTask:
    return ListTask(tuple(source), frozenset(inside), DELIMITER, NOTHING, frozenset({END}))


@pytest.mark.parametrize(
    "answer",
    [
        (5, 6, END),
        (6, 7, 8, 6, END),  # the delimiter's tokens stand in the text as well
        (6, 7, 8, 3, END),  # or part two items
        (3, 7, 8, 5, 6, 7, 8, 5, END),
        (5, 6, 7, 8, 6, END),
        (5, 7, 8, 5, END),  # said twice: what reads the list counts it once
        (9, 5, END),
        (*SOURCE, END),
    ],
)
def test_strings_of_the_text_and_the_word_for_none_are_taken(answer: Sequence[int]):
    assert takes(task_of(), answer)


@pytest.mark.parametrize(
    "answer",
    [
        (END,),  # no empty answer
        (5, 3),  # not a run of the text
        (5, 7, 8, END),  # no empty item
        (5, 7, 6),
        (9, END),
        (9, 5, 7),  # nothing comes after none
        (5, 7, 8, 9),
        (4,),
    ],
)
def test_nothing_else_is(answer: Sequence[int]):
    assert not takes(task_of(), answer)


def test_items_begin_and_end_between_characters():
    task = task_of((5, 6, 7, 3), inside=(1, 3))
    assert not takes(task, (6,)) and not takes(task, (5, END)) and not takes(task, (5, 7))
    assert takes(task, (5, 6, END)) and takes(task, (5, 6, 7, 3, END)) and not takes(task, (5, 6, 7, END))


def test_a_text_without_tokens_leaves_none():
    assert Listing(task_of(())).allowed() == [9]


@pytest.mark.parametrize("seed", range(20))
def test_any_way_through_the_automaton_is_a_list_of_runs(seed: int):
    rng = random.Random(seed)
    task = ListTask(tuple(rng.randrange(1, 5) for _ in range(8)), frozenset(), (6,), (5,), frozenset({END}))
    listing, answer = Listing(task), []
    while not answer or answer[-1] != END:
        answer.append(rng.choice(listing.allowed()))
        listing.advance(answer[-1])
    items = " ".join(map(str, answer[:-1])).split(" 6 ")
    text = " ".join(map(str, task.source))
    assert items == ["5"] or all(f" {item} " in f" {text} " for item in items)


@pytest.fixture(scope="module")
def reader() -> Engine:
    return Engine(Path(bundled_path("bundled:models/glm")), None, "cpu", "float32", {}, cache_mib=8)


@pytest.mark.parametrize(
    ("text", "delimiter", "nothing"),
    [
        ("Mira Solberg opened a bakery in Tromso last May .", "; ", "none"),
        ("林晓梅在青岛的海风公司工作，𠮷村住在楢葉。", "；", "无"),
    ],
)
def test_a_model_held_to_a_text_names_only_what_is_there(reader: Engine, text: str, delimiter: str, nothing: str):
    task = reader.list_task(ListForm(text, delimiter, nothing))
    assert task is not None
    for seed in range(6):
        prompt = [random.Random(seed).randrange(3, 5000) for _ in range(20)]
        held, free = (reader.generate([prompt], [None], [30], None, [one])[0] for one in (task, None))
        listed = read_mentions(held.text, text, [nothing]) if held.finished else []
        assert all(item.replace(" ", "") in text.replace(" ", "") for item in listed)
        assert held.text != free.text


def test_rows_that_are_held_and_rows_that_are_not_go_together(reader: Engine):
    task = reader.list_task(ListForm("Mira Solberg opened a bakery .", "; ", "none"))
    rng = random.Random(1)
    prompts = [[rng.randrange(3, 5000) for _ in range(rng.randrange(5, 30))] for _ in range(6)]
    tasks = [task, None, task, None, None, task]
    alone = [reader.generate([p], [None], [12], None, [one])[0] for p, one in zip(prompts, tasks, strict=True)]
    assert reader.generate(prompts, [None] * 6, [12] * 6, None, tasks) == alone


def test_a_tokenizer_that_spells_items_otherwise_leaves_lists_free():
    """Word pieces without Chinese signs know no such delimiter."""
    engine = Engine(Path(bundled_path("bundled:models/opt")), None, "cpu", "float32", {})
    assert engine.list_task(ListForm("Ada slept", "；", "无")) is None
    assert engine.list_task(ListForm("Ada slept", "; ", "none")) is not None


def test_a_member_holds_lists_unless_it_is_told_not_to():
    folders = {name: str(bundled_path(f"bundled:models/{name}")) for name in ("glm", "glm-mrc")}
    form = ListForm("Zorblax qui vexit .", "; ", "none")
    request = Request("mrc", (Message("user", "Mira Solberg slept . : which person ?"),), 20, list_of=form)

    def answer(**settings: Any) -> str:
        member = LocalMember(
            MemberConfig(
                name="m", engine="local", model=folders["glm"], adapter=folders["glm-mrc"], role="mrc", **settings
            )
        )

        async def ask() -> str:
            try:
                return (await member.generate(request)).text
            finally:
                await member.close()

        return asyncio.run(ask())

    held, free = answer(), answer(constrain=False)
    assert "mira" in free.lower() and "mira" not in held.lower()
    assert all(item in form.text for item in read_mentions(held, form.text, ["none"]))


def test_the_form_of_a_list_is_part_of_a_requests_key_and_its_absence_is_not():
    turns = (Message("user", "x"),)
    plain, listed = Request("mrc", turns, 5), Request("mrc", turns, 5, list_of=ListForm("x", "; ", "none"))
    assert plain.key("f") != listed.key("f") != Request("mrc", turns, 5, list_of=ListForm("y", "; ", "none")).key("f")
    # as it was before lists could be held: answers that were kept are found again
    assert plain.key("f") == "26873cd897bb2a0dbe4f5f41ab1b59520f24a247d3e7cc5df48c5523b7dd3450"
