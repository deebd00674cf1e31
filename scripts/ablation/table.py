"""The table of an ablation, 80 columns wide."""

import sys
from collections.abc import Sequence

from ablation.scores import Block
from ablation.variants import Variant

NAME_WIDTH, BLOCK_WIDTH, SIDE_BY_SIDE = 16, 31, 2
SURE_BELOW = 0.05
RULE = "─"
HEAD = "    P    R   F1  span    s call"


def print_table(blocks: Sequence[Block], variants: Sequence[Variant]) -> None:
    """The table, 80 columns wide: two gold files side by side, further ones below."""
    for first in range(0, len(blocks), SIDE_BY_SIDE):
        side_by_side = blocks[first : first + SIDE_BY_SIDE]
        titles = [f"{block.name} ({block.documents:,})"[: BLOCK_WIDTH - 1] for block in side_by_side]
        print_line("", [f" {title}" for title in titles])
        print_line("variant", [HEAD] * len(side_by_side))
        print(rule(NAME_WIDTH + (BLOCK_WIDTH + 1) * len(side_by_side)))
        for variant in variants:
            print_line(variant.name, [cells(block, variant.name) for block in side_by_side])
        print()
    for line in incomplete(blocks, variants):
        print(line)


def print_line(name: str, cells_of_blocks: Sequence[str]) -> None:
    """One line of the table."""
    print("|".join([f"{name:<{NAME_WIDTH}}", *(f"{text:<{BLOCK_WIDTH}}" for text in cells_of_blocks)]).rstrip())


def rule(width: int) -> str:
    """A line across a table, of dashes where standard output cannot encode it."""
    try:
        RULE.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return "-" * width
    return RULE * width


def cells(block: Block, name: str) -> str:
    """The cells of one row in one block."""
    scores, cost = block.scores[name], block.costs[name]
    star = "*" if scores.p_value < SURE_BELOW else " "
    texts = [percent(scores.precision), percent(scores.recall), percent(scores.f1) + star, percent(scores.span_f1)]
    return "{:>5}{:>5}{:>6}{:>5}{:>5}{:>5}".format(*texts, short(cost.seconds), short(cost.calls))


def short(number: float | None) -> str:
    """A number below 10,000 in at most four characters; a dash for None."""
    if number is None:
        return "-"
    return f"{number:.1f}" if number < 99.95 else f"{number:.0f}"


def percent(share: float) -> str:
    """A share from 0 to 1 in percent, at most four characters."""
    return short(100 * share)


def incomplete(blocks: Sequence[Block], variants: Sequence[Variant]) -> list[str]:
    """One line for each row with documents that failed (they count as missed) or are partial."""
    return [
        f"{block.name}, {variant.name}: {scores.failed:,} document(s) failed, {scores.partial:,} partial"
        for block in blocks
        for variant in variants
        if (scores := block.scores[variant.name]).failed or scores.partial
    ]
