"""The experiment's table."""

from collections.abc import Mapping, Sequence

from mrc_experiment.scores import Row

SCORES = f"{'P':>7}{'R':>7}{'F1':>7}{'±':>6}{'lowest':>8}{'highest':>8}"
HEAD = f"{'arm':<27}{'seeds':>6}{SCORES}{'full - it':>11}{'p':>7}{'minutes':>9}"


def print_table(blocks: Mapping[str, Sequence[Row]], left: Mapping[str, int]) -> None:
    """One table: a block for each set, a row for each arm; ``left`` says how many runs of a set are still to be done."""
    for name, rows in blocks.items():
        print(f"{name}: strict micro scores on dev in percent" + (f"; {left[name]} runs to go" if left[name] else ""))
        print(HEAD)
        print("-" * len(HEAD))
        for row in rows:
            print(line_of(row))
        print()


def line_of(row: Row) -> str:
    """An arm's line."""
    scores = "".join(f"{100 * score:>7.1f}" for score in (row.precision, row.recall, row.f1))
    spread = f"{100 * row.spread:>6.1f}{100 * row.lowest:>8.1f}{100 * row.highest:>8.1f}"
    against = f"{'-':>11}{'-':>7}"
    if row.difference is not None and row.p_value is not None:
        against = f"{100 * row.difference:>+11.1f}{row.p_value:>7.3f}"
    return f"{row.arm:<27}{row.runs:>6}{scores}{spread}{against}{row.minutes:>9.1f}"
