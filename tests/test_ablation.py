"""The rows and cells of the ablation table say what they claim to say."""

import asyncio
import io
import sys
from pathlib import Path

import pytest

from el4ner.config import load_config, validate
from el4ner.members.base import Answer, Message, Request, Usage
from el4ner.text.documents import Document

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import ablate  # noqa: E402
from ablation.bench import Counted, Tally  # noqa: E402
from ablation.scores import Block, Cost, Scores  # noqa: E402
from ablation.table import BLOCK_WIDTH, HEAD, cells, print_table, short  # noqa: E402
from ablation.variants import ENSEMBLE, changed, make_variants  # noqa: E402

STARTER = load_config(ROOT / "configs" / "starter.yaml")


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


def test_every_row_changes_one_thing_and_is_valid():
    rows = {variant.name: variant.config for variant in make_variants(STARTER)}
    assert next(iter(rows)) == ENSEMBLE and rows[ENSEMBLE] == STARTER
    for name, config in rows.items():
        validate(type(config), config.model_dump(), name)
        sections = {key for key in type(config).model_fields if getattr(config, key) != getattr(STARTER, key)}
        assert len(sections) <= 1 or (name.startswith(("alone", "without")) and sections <= {"members", "verify"})
    assert [m.name for m in rows["alone bloom"].members] == ["bloom"] and rows["alone bloom"].verify.member is None
    assert [m.name for m in rows["without opt"].members] == ["bloom", "qwen3", "glm"]
    assert rows["without opt"].verify.member == "bloom"
    assert [m.languages for m in rows["glm everywhere"].members] == [("en", "zh")] * 4
    assert "opt everywhere" not in rows
    assert rows["demos none"].demonstrations.method == "none"
    assert [rows[f"shots {name}"].extract.few_shot for name in ("never", "always", "doubtful")] == [
        False,
        True,
        "doubtful",
    ]
    assert rows["verify off"].verify.mode == "off"
    assert rows["vote majority"].classify.rule == "majority"
    assert not rows["pre-spans drop"].extract.keep_pre_extracted


def test_rows_that_cannot_be_are_left_out_and_said(capsys):
    base = changed(changed(STARTER, "demonstrations", method="sentence"), "extract", pre_extract=False)
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
    print_table(blocks, make_variants(STARTER)[:1])
    stream.flush()
    lines = stream.buffer.getvalue().decode(encoding).splitlines()
    assert lines[2] == sign * 80 and max(map(len, lines)) == 80


def test_short_numbers():
    assert [short(number) for number in (None, 0.0, 99.94, 99.96, 1234.5)] == ["-", "0.0", "99.9", "100", "1234"]
