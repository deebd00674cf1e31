"""The documentation's lists are those of the registry."""

from pathlib import Path

import pytest

from el4ner.models.cards import overview
from el4ner.models.registry import registry
from el4ner.models.requantise import requantised_size

TEXT = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")


def test_the_list_is_what_the_command_prints(models: Path):
    printed = overview().splitlines()[:-1]
    assert "\n".join(line.rstrip() for line in printed) in TEXT


@pytest.mark.parametrize("name", [name for name, entry in registry().items() if entry.file])
def test_sizes_on_the_disk_are_the_registrys(name: str):
    entry = registry()[name]
    row = next(line for line in TEXT.splitlines() if line.startswith(f"| {name} |"))
    model, run, weights = (cell.strip() for cell in row.strip("|").split("|")[1:])
    assert model == f"{entry.file.size / 1e6:,.0f}"
    made = requantised_size(entry.shape) if entry.run_as else 0
    assert made <= float(run or 0) * 1e6 <= made + 5e6  # and the vocabulary
    told = float(weights.replace(",", "")) * 1e6
    assert 2 * entry.shape.values < told < 2 * entry.shape.values + 50e6  # and the tokenizer
