"""The rows and cells of the ablation table say what they claim to say."""

import asyncio
import io
import sys
from pathlib import Path

import pytest

from el4ner.config import Config, load_config, validate
from el4ner.engines.base import Answer, Message, Request, Usage
from el4ner.text.documents import Document

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import ablate  # noqa: E402
from ablation.bench import Counted, Tally  # noqa: E402
from ablation.scores import Block, Cost, Scores  # noqa: E402
from ablation.table import BLOCK_WIDTH, HEAD, cells, print_table, short  # noqa: E402
from ablation.variants import ENSEMBLE, changed, make_variants  # noqa: E402

DEFAULT = load_config(ROOT / "configs" / "default.yaml")
SMALL = load_config(ROOT / "configs" / "small.yaml")


def grown(config: Config) -> Config:
    """The configuration with a third member, like the last one but for its name."""
    return config.model_copy(
        update={"members": (*config.members, config.members[-1].model_copy(update={"name": "third"}))}
    )


def rows_of(config: Config) -> dict[str, Config]:
    return {variant.name: variant.config for variant in make_variants(config)}


class Cache:
    """A member that has the answers to some questions already."""

    name = fingerprint = "cache"

    def __init__(self, *known):
        self.known = set(known)

    async def generate(self, request):
        content = request.messages[0].content
        cached = content in self.known
        self.known.add(content)
        return Answer("", "stop", Usage(cached=cached))


def ask(member, *contents):
    async def all_of_them():
        for content in contents:
            await member.generate(Request("extract", (Message("user", content),), 8))

    asyncio.run(all_of_them())


@pytest.mark.parametrize("base", [DEFAULT, SMALL, grown(SMALL)], ids=["default", "small", "three members"])
def test_every_row_changes_one_thing_and_is_valid(base: Config):
    rows = rows_of(base)
    assert next(iter(rows)) == ENSEMBLE and rows.pop(ENSEMBLE) == base
    for name, config in rows.items():
        validate(type(config), config.model_dump(), name)
        sections = {key for key in type(config).model_fields if getattr(config, key) != getattr(base, key)}
        assert len(sections) == 1 or (name.startswith(("alone", "without")) and sections <= {"members", "verify"})


def test_rows_are_what_their_names_say():
    rows = rows_of(DEFAULT)
    assert [m.name for m in rows["alone qwen"].members] == ["qwen"]
    assert [m.languages for m in rows["smollm2 everywhere"].members] == [("en", "zh")] * 2
    assert "qwen everywhere" not in rows and "without qwen" not in rows
    assert not rows["weigh off"].classify.rescore_disputed and "weigh off" not in rows_of(SMALL)
    assert rows["demos none"].demonstrations.method == "none"
    assert [rows[f"shots {name}"].extract.few_shot for name in ("never", "always")] == [False, True]
    assert rows["vote majority"].classify.rule == "majority"
    assert not rows["pre-spans drop"].extract.keep_pre_extracted
    small = rows_of(SMALL)
    assert small["shots doubtful"].extract.few_shot == "doubtful" and small["verify one"].verify.mode == "one"
    assert small["pre-spans keep"].extract.keep_pre_extracted


def test_a_judge_that_is_left_out_is_replaced_by_one_that_can_judge():
    names = [member.name for member in SMALL.members]
    base = changed(grown(SMALL), "verify", mode="one", member=names[0])
    marker = base.members[1].model_copy(update={"role": "single-pass"})
    mixed = base.model_copy(update={"members": (base.members[0], marker, base.members[2])})
    assert rows_of(base)[f"alone {names[1]}"].verify.member is None
    assert rows_of(base)[f"without {names[0]}"].verify.member == names[1]
    assert rows_of(mixed)[f"without {names[0]}"].verify.member == "third"


def test_what_changes_nothing_has_no_row():
    assert rows_of(DEFAULT).keys().isdisjoint({"demos span", "shots doubtful", "weights labels", "vote probability"})
    assert not any(name.startswith("verify") for name in rows_of(DEFAULT)), "nobody is there to verify"
    assert {"verify one", "verify all", "verify doubtful"} < rows_of(SMALL).keys()
    hidden = {"demos", "shots", "weights", "pre-spans"}
    without_pool = rows_of(changed(changed(SMALL, "pool", path=None), "demonstrations", method="none"))
    assert hidden.isdisjoint(name.split()[0] for name in without_pool)
    shown_none = rows_of(changed(SMALL, "demonstrations", method="none"))
    assert {"demos span", "demos random"} < shown_none.keys() and "shots never" not in shown_none
    readers = SMALL.model_copy(
        update={"members": tuple(m.model_copy(update={"role": "mrc", "answer_format": "lines"}) for m in SMALL.members)}
    )
    assert {name.split()[0] for name in rows_of(readers)} & {"shots", "verify"} == set()
    assert {"weights uniform", "pre-spans keep"} < rows_of(readers).keys()


def test_rows_that_cannot_be_are_left_out_and_said(capsys):
    base = changed(changed(SMALL, "demonstrations", method="sentence"), "extract", pre_extract=False)
    assert "demos span" not in {variant.name for variant in make_variants(base)}
    assert "demos span" in capsys.readouterr().err


def test_only_answers_from_before_the_row_count_as_reused():
    tally = Tally()
    ask(Counted(Cache(), tally), "a", "b", "a")
    assert (tally.calls, tally.reused) == (3, 0)
    ask(Counted(Cache("c"), tally), "c")
    assert (tally.calls, tally.reused) == (4, 1)


def test_a_limit_takes_documents_from_the_whole_file():
    documents = [Document(str(number), "x") for number in range(10)]
    assert [document.id for document in ablate.spread(documents, 4)] == ["0", "2", "5", "7"]
    assert ablate.spread(documents, None) == ablate.spread(documents, 99) == documents


def test_unseen_documents_are_those_that_no_limit_takes():
    documents = [Document(str(number), "x") for number in range(10)]
    assert [document.id for document in ablate.unseen(documents, [4, 2])] == ["1", "3", "4", "6", "8", "9"]
    assert ablate.unseen(documents, []) == documents
    assert [document.id for document in ablate.unseen(documents, [4], 5)] == ["6", "8", "9"]
    with pytest.raises(ablate.InputError, match="--unseen 99 leaves none of 10 documents"):
        ablate.unseen(documents, [99])


def test_gold_files_are_told_apart():
    assert ablate.set_names([Path("/data/one/dev.jsonl"), Path("/data/two.conll")]) == ["one", "two"]
    with pytest.raises(ablate.InputError, match="share a name"):
        ablate.set_names([Path("/data/one/dev.jsonl"), Path("/data/one/test.jsonl")])


@pytest.mark.parametrize("cost", [Cost(None, 12.34), Cost(1234.5, 157.6), Cost(0.04, 9.0)])
def test_cells_stand_below_their_heads(cost):
    perfect = Scores(1.0, 1.0, 1.0, 1.0, difference=0.5, p_value=0.01, failed=0, partial=0)
    text = cells(Block("dev", 3, {"row": perfect}, {"row": cost}), "row")
    assert len(text) == len(HEAD) == BLOCK_WIDTH
    assert text.split()[:4] == ["100", "100", "100*", "100"]


@pytest.mark.parametrize(("encoding", "sign"), [("utf-8", "─"), ("ascii", "-")])
def test_the_rule_is_as_wide_as_the_table_on_every_terminal(encoding, sign, monkeypatch):
    scores = Scores(0.5, 0.5, 0.5, 0.5, difference=0.0, p_value=1.0, failed=1, partial=0)
    blocks = [Block(name, 3, {ENSEMBLE: scores}, {ENSEMBLE: Cost(1.0, 2.0)}) for name in ("one", "two")]
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    print_table(blocks, make_variants(DEFAULT)[:1])
    stream.flush()
    lines = stream.buffer.getvalue().decode(encoding).splitlines()
    assert lines[2] == sign * 80 and max(map(len, lines)) == 80


def test_short_numbers():
    assert [short(number) for number in (None, 0.0, 99.94, 99.96, 1234.5)] == ["-", "0.0", "99.9", "100", "1234"]
