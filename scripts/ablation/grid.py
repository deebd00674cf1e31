"""A table with a column for each set, 80 columns wide."""

from collections.abc import Callable, Sequence

from ablation.results import SetResults
from ablation.table import rule

WIDTH, FIRST, COLUMN = 80, 15, 13
PER_TABLE = (WIDTH - FIRST) // COLUMN
NOTHING = "-"
Cell = Callable[[SetResults], str]
Line = tuple[str, Cell]


def grid(title: str, sets: Sequence[SetResults], lines: Sequence[Line | str]) -> list[str]:
    """A table with a column for each set, as many as 80 columns hold at once; nothing where it has no line.

    Args:
        title: above it.
        sets: the columns.
        lines: a heading, or a label with what gives the cell of a set.
    """
    if not lines:
        return []
    printed = [title]
    for first in range(0, len(sets), PER_TABLE):
        shown = sets[first : first + PER_TABLE]
        printed.append(" " * FIRST + "".join(f"{one.name[: COLUMN - 1]:>{COLUMN}}" for one in shown))
        printed.append(rule(FIRST + COLUMN * len(shown)))
        for line in lines:
            printed.append(line if isinstance(line, str) else _cells(line, shown))
        printed.append("")
    return printed


def _cells(line: Line, shown: Sequence[SetResults]) -> str:
    label, cell = line
    return (f"{label:<{FIRST}}" + "".join(f"{cell(one):>{COLUMN}}" for one in shown)).rstrip()
