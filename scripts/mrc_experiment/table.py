"""The experiment's table, 80 columns wide."""

from collections.abc import Mapping, Sequence

from mrc_experiment.scores import Row

HEAD = f"{'arm':<26}{'seeds':>5}{'P':>6}{'R':>6}{'F1':>6}{'±':>5}{'full - it':>11}{'p':>7}{'minutes':>8}"


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
    scores = "".join(f"{100 * score:>6.1f}" for score in (row.precision, row.recall, row.f1))
    against = f"{'-':>11}{'-':>7}"
    if row.difference is not None and row.p_value is not None:
        against = f"{100 * row.difference:>+11.1f}{row.p_value:>7.3f}"
    return f"{row.arm:<26}{len(row.by_seed):>5}{scores}{100 * row.spread:>5.1f}{against}{row.minutes:>8.1f}"
