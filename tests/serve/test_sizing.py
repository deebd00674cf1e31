"""The sizing table of the documentation says what the planner says."""

import re
from pathlib import Path

import pytest

from el4ner.serve.memory import GIB, Workload, need
from el4ner.serve.shape import read_model
from tests.serve.conftest import shipped
from tests.serve.models import PUBLISHED, save_model

DOCS = Path(__file__).parents[2] / "docs" / "serving.md"
ROWS = {
    cells[0]: cells[1:]
    for line in DOCS.read_text(encoding="utf-8").splitlines()
    if (cells := [cell.strip() for cell in line.strip("|").split("|")]) and cells[0] in PUBLISHED
}


def test_every_published_model_is_in_the_table():
    assert set(ROWS) == set(PUBLISHED)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_what_is_planned(name: str, tmp_path: Path):
    model = read_model(save_model(tmp_path / name, PUBLISHED[name]))
    plain = need(model, Workload(4096, 32, 32_768, "bfloat16"))
    small = need(model, Workload(4096, 32, 32_768, "bfloat16", fp8=True))
    token = f"{model.shape.kv_bytes_per_token(2) // 1024} KiB"
    sizes = [f"{size / GIB:.1f}" for size in (plain.weights, plain.total, small.weights, small.total)]
    assert ROWS[name][:5] == [token, *sizes]
    for word, size in re.findall(r"(fp8 |)(?<!x )\b(\d+) GiB", ROWS[name][5]):
        assert (small if word else plain).total <= 0.92 * int(size) * GIB


@pytest.mark.parametrize(
    ("name", "gpus"), [("box-2x24gb", "2x24GiB"), ("chinese", "2x24GiB"), ("el4ner-paper", "3x24GiB")]
)
def test_the_shipped_plans_fill_the_cards_as_told(name: str, gpus: str, tmp_path: Path):
    from el4ner.serve.control import make_plan

    plan = make_plan(shipped(name, tmp_path), gpus=gpus, cpu=False)
    told = re.search(rf"\| {name} \|[^|]*\| ([\d., ]+) \|", DOCS.read_text(encoding="utf-8"))
    assert told and told[1].strip() == ", ".join(f"{plan.used(device) / GIB:.1f}" for device in plan.devices)
