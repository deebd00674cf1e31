"""The report as tables and as JSON, compared with golden files whose numbers were checked by hand.

Written anew by ``EL4NER_GOLDEN=1 pytest tests/scoring/test_tables.py``; read the difference before it is kept.
"""

import io
import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from el4ner.scoring.export import as_dict
from el4ner.scoring.report import Report, score_files
from el4ner.scoring.tables import print_report

GOLDEN = Path(__file__).with_name("golden")
TEXT = "Ada Quill met Bo of Vexport in Oslo."
ADA, BO, VEXPORT, OSLO = (0, 9, "PER"), (14, 16, "PER"), (20, 27, "ORG"), (31, 35, "LOC")


def entities(*found: tuple[Any, ...]) -> list[dict[str, Any]]:
    return [dict(zip(("start", "end", "type", "score"), values, strict=False)) for values in found]


def write(name: str, records: list[dict[str, Any]]) -> Path:
    Path(name).write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return Path(name)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path, Path]:
    """Gold of four equal documents and an empty one; a system with scores that takes ORG for LOC; a poor one."""
    monkeypatch.chdir(tmp_path)
    gold = [{"id": f"d{n}", "text": TEXT, "entities": entities(ADA, BO, VEXPORT, OSLO)} for n in range(4)]
    found = entities((*ADA, 0.95), (*BO, 0.9), (20, 27, "LOC", 0.55), (*OSLO, 0.85))
    one = [{"id": f"d{n}", "entities": found} for n in range(4)]
    two = [{"id": f"d{n}", "entities": entities((0, 3, "PER"), BO, (20, 24, "MISC"))} for n in range(3)]
    return (
        write("gold.jsonl", [*gold, {"id": "d4", "text": "None.", "entities": []}]),
        write("one.jsonl", [*one, {"id": "d4", "entities": entities((0, 4, "PER", 0.5))}]),
        write("two.jsonl", [*two, {"id": "d3", "status": "failed", "entities": []}]),
    )


def shown(report: Report, **options: Any) -> str:
    console = Console(width=80, file=io.StringIO(), **options)
    print_report(report, console)
    return "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines())


def check(name: str, text: str) -> None:
    if os.environ.get("EL4NER_GOLDEN"):
        (GOLDEN / name).write_text(text, encoding="utf-8")
    assert text == (GOLDEN / name).read_text(encoding="utf-8")


def test_the_tables_of_one_system(files):
    gold, one, _ = files
    check("one.txt", shown(score_files([gold], [one], samples=200)))


def test_the_tables_of_two_systems(files):
    gold, one, two = files
    check("two.txt", shown(score_files([gold], [one, two], samples=200)))


def test_the_best_scores_of_several_systems_are_bold(files):
    gold, one, two = files
    text = shown(score_files([gold], [one, two], samples=2), force_terminal=True, color_system="standard")
    bold = [part.partition("\x1b[0m")[0] for part in text.split("\x1b[1m")[1:]]
    assert [cell.strip() for cell in bold if "interval" not in cell and cell.strip()[:1].isdigit()] == [
        "72.7",
        "66.7",
        "94.1",
    ]


def test_more_than_five_systems_have_two_tables_of_types_and_a_warning_of_many_pairs(files):
    gold, one, two = files
    names = [f"s{n}" for n in range(6)]
    text = " ".join(shown(score_files([gold], [one, two] * 3, names, samples=2)).split())
    assert "F1 by type (%) Gold s0 s1 s2 s3 s4 ─" in text and "F1 by type (%) Gold s5 ─" in text
    assert "approximate randomisation; not corrected for the number of pairs." in text


def test_five_pairs_of_confused_types_are_shown(files):
    gold, _, _ = files
    mixed = [
        {"id": f"d{n}", "entities": entities((0, 9, "A"), (14, 16, "BCDE"[n]), (20, 27, "A"), (31, 35, "FG"[n % 2]))}
        for n in range(4)
    ]
    report = score_files([gold], [write("mixed.jsonl", mixed)], samples=2)
    said = " ".join(shown(report).split())
    assert "Types confused by mixed: ORG as A 4, PER as A 4, LOC as F 2, LOC as G 2, PER as B 1, 3 other pairs" in said


def test_small_p_values_are_not_zero(files):
    gold, _, _ = files
    right = [json.loads(line) for line in gold.read_text(encoding="utf-8").splitlines()]
    many = [{**right[0], "id": f"m{n}"} for n in range(40)]
    found = [{"id": record["id"], "entities": record["entities"]} for record in many]
    nothing = [{"id": record["id"], "entities": []} for record in many]
    report = score_files(
        [write("many.jsonl", many)], [write("all.jsonl", found), write("none.jsonl", nothing)], samples=2000
    )
    assert "all - none  +100.0  +100.0 to +100.0   <0.001   <0.001" in shown(report)


def test_the_report_as_json(files):
    gold, one, two = files
    content = as_dict(score_files([gold], [one, two], samples=200))
    check("two.json", json.dumps(content | {"el4ner": "VERSION"}, indent=1) + "\n")


def test_long_names_of_many_systems_are_folded(files):
    gold, one, two = files
    names = [f"a-system-with-a-name-of-40-characters-{n:02}" for n in range(5)]
    text = shown(score_files([gold], [one, two, one, two, one], names, samples=2))
    lines = text.splitlines()
    first = lines.index("F1 by type (%)") + 1
    header = itertools.takewhile(lambda line: not line.startswith("─"), lines[first:])
    rows = [[word for word in line.split() if word != "Gold"] for line in header]
    assert ["".join(parts) for parts in zip(*rows, strict=True)] == names and max(map(len, lines)) <= 80
