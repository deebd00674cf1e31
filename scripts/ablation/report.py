"""The tables of an experiment, 80 columns wide: one for each question, then what holds."""

from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import Any

from ablation.claims import BEST, SURE_BELOW, Tested, best_member, combination_claims, retrieval_claims
from ablation.grid import NOTHING, WIDTH, Cell, Line, grid
from ablation.results import Result, SetResults
from ablation.rows import DERIVED, FORMATS, OTHER_K, RANDOM, SENTENCE, SPAN, VERIFIED, VOTES, ZERO
from ablation.table import rule
from el4ner.scoring.bootstrap import f1_scores

DEMONSTRATIONS = {
    ZERO: "zero-shot",
    RANDOM: "random, k=5",
    SENTENCE: "sentence, k=5",
    SPAN: "span, k=5",
    **{f"span-{k}": f"span, k={k}" for k in OTHER_K},
}
SHOWN = {RANDOM: "random", SENTENCE: "sentence", SPAN: "span"}
COMBINED = {
    "union": "union",
    SPAN: "plurality",
    **{name: name for name in (*VOTES, *VERIFIED, *DERIVED[1:])},
}
FREE = (*VOTES, *DERIVED)
"""Rows that ask what the ensemble's other rows have asked."""


def report_lines(sets: Sequence[SetResults], samples: int) -> list[str]:
    """All tables and claims."""
    there = [one for one in sets if one.rows]
    retrieval = retrieval_claims(there, samples)
    combined = combination_claims(there, list(COMBINED), samples)
    return [
        *demonstrations_table(there),
        *retrieval_table(there, retrieval),
        *formats_table(there),
        *combination_table(there, combined),
        *cost_table(there),
        *verdicts(retrieval, combined),
        *unfinished(sets),
    ]


def as_dict(sets: Sequence[SetResults], samples: int) -> dict[str, Any]:
    """All numbers, ready for JSON."""
    claims = [*retrieval_claims(sets, samples), *combination_claims(sets, list(COMBINED), samples)]
    chosen = {
        one.name: {name: best.names for name in one.ensembles if (best := best_member(one, name))} for one in sets
    }
    return {
        "sets": {one.name: {name: row.as_dict() for name, row in one.rows.items()} for one in sets},
        "best_members": chosen,
        "claims": [claim.as_dict() for claim in claims],
        "unfinished": {one.name: {"begun": one.begun, "not_begun": one.missing} for one in sets},
    }


def demonstrations_table(sets: Sequence[SetResults]) -> list[str]:
    """(a) Members and ensembles by what is shown to them."""
    lines: list[Line | str] = []
    for who in _speakers(sets):
        lines.append(_titled(who, sets, SPAN))
        lines += [
            (f" {label}", _f1(f"{who}/{what}")) for what, label in DEMONSTRATIONS.items() if _any(sets, who, what)
        ]
    return grid("(a) What demonstrations are worth: strict F1 in percent, nothing verified", sets, lines)


def retrieval_table(sets: Sequence[SetResults], claims: Sequence[Tested]) -> list[str]:
    """What a better choice of demonstrations adds on each set."""
    lines: list[Line | str] = []
    for who in dict.fromkeys(claim.who for claim in claims):
        lines.append(who)
        lines += [(f" {_short(claim)}", _difference(claim)) for claim in claims if claim.who == who]
    return grid("    Differences of F1 at k=5; * p < 0.05 on the set (paired bootstrap)", sets, lines)


def formats_table(sets: Sequence[SetResults]) -> list[str]:
    """(b) Members by answer format, with the sentences that were lost to unreadable answers."""
    lines: list[Line | str] = []
    for who in _members(sets):
        whats = {name: _format_row(sets, who, name) for name in FORMATS}
        if sum(_any(sets, who, what) for what in whats.values()) > 1:
            lines.append(_titled(who, sets, SPAN))
            lines += [(f" {name}", _f1_and_lost(f"{who}/{what}")) for name, what in whats.items()]
    return grid("(b) Answer formats, span, k=5: F1, sentences partial/failed", sets, lines)


def combination_table(sets: Sequence[SetResults], claims: Sequence[Tested]) -> list[str]:
    """(c) Ensembles by what is made of their candidates."""
    lines: list[Line | str] = []
    for who in dict.fromkeys(name for one in sets for name in one.ensembles):
        stars = {claim.better: claim for claim in claims if (claim.who, claim.worse) == (who, BEST)}
        lines += [_titled(who, sets, SPAN), (f" {BEST}", _best(who))]
        lines += [
            (f" {label}", _f1(f"{who}/{what}", stars.get(what)))
            for what, label in COMBINED.items()
            if _any(sets, who, what)
        ]
    title = "(c) Combination, span, k=5: F1; * differs from the best member, p < 0.05"
    return grid(title, sets, lines if len(lines) > 2 else []) + _best_members(sets)


def cost_table(sets: Sequence[SetResults]) -> list[str]:
    """(d) What a sentence costs, and how many sentences lost an answer."""
    names = dict.fromkeys(name for one in sets for name in one.rows if name.partition("/")[2] not in FREE)
    if not names:
        return []
    head = f"{'(d) A sentence costs':<35}{'requests':>9}{'read':>9}{'written':>9}{'partial':>9}{'failed':>9}"
    lines = [head, rule(WIDTH)]
    for name in names:
        rows = [one.rows[name] for one in sets if name in one.rows]
        lines.append(f"{name[:35]:<35}{_cost_cells(rows)}")
    return [*lines, _COUNTED, ""]


_COUNTED = "read, written: tokens; beginnings that prompts share count each time"


def verdicts(retrieval: Sequence[Tested], combined: Sequence[Tested]) -> list[str]:
    """What holds, is refuted, or is left open over all sets together."""
    if not retrieval and not combined:
        return []
    lines = ["What is claimed: mean difference of F1 over the sets, p by paired bootstrap", rule(WIDTH)]
    for claims, names in ((retrieval, SHOWN), (combined, COMBINED)):
        for claim in claims:
            above = f"{sum(one > 0 for one in claim.differences.values())} of {len(claim.differences)} sets"
            pair = f"{names.get(claim.better, claim.better)} above {names.get(claim.worse, claim.worse)}"
            said = f"{claim.verdict:<8} {claim.who}: {pair}: {100 * claim.difference:+.1f} (p {claim.p_value:.3f}; {above})"
            lines += wrap(said, WIDTH, subsequent_indent=" " * 9, break_on_hyphens=False)
    return [*lines, *_EXPLAINED, ""]


_EXPLAINED = (
    "holds, refuted: p < 0.05, not corrected for how many claims are tested. In the",
    "brackets: on how many sets the difference is above 0. The best member is chosen",
    "on one half of the sentences and compared on the other, both ways; learned",
    "combination is learned on one half and applied to the other.",
)


def unfinished(sets: Sequence[SetResults]) -> list[str]:
    """Which rows were begun and are not finished, and how many were not begun."""
    lines = [
        f"not finished: {one.name}, {name}: {written} of {wanted} sentences"
        for one in sets
        for name, (written, wanted) in one.begun.items()
    ]
    return lines + [f"not begun: {one.name}: {one.missing} rows" for one in sets if one.missing]


def _titled(who: str, sets: Sequence[SetResults], what: str) -> str:
    """A heading, with how many sentences it is about."""
    counts = [len(row.ids) for one in sets if (row := one.rows.get(f"{who}/{what}"))]
    if not counts:
        return who
    return f"{who} ({min(counts)}{f' to {max(counts)}' if max(counts) > min(counts) else ''} sentences)"


def _f1(name: str, claim: Tested | None = None) -> Cell:
    def cell(one: SetResults) -> str:
        row = one.rows.get(name)
        if row is None:
            return NOTHING
        sure = claim is not None and claim.p_values.get(one.name, 1.0) < SURE_BELOW
        return f"{100 * row.total.f1:.1f}{'*' if sure else ' '}"

    return cell


def _difference(claim: Tested) -> Cell:
    def cell(one: SetResults) -> str:
        if one.name not in claim.differences:
            return NOTHING
        sure = claim.p_values[one.name] < SURE_BELOW
        return f"{100 * claim.differences[one.name]:+.1f}{'*' if sure else ' '}"

    return cell


def _f1_and_lost(name: str) -> Cell:
    def cell(one: SetResults) -> str:
        row = one.rows.get(name)
        return NOTHING if row is None else f"{100 * row.total.f1:.1f} {row.partial}/{row.failed}"

    return cell


def _best(ensemble: str) -> Cell:
    def cell(one: SetResults) -> str:
        best = best_member(one, ensemble)
        return NOTHING if best is None else f"{100 * float(f1_scores(best.counts.sum(axis=0))):.1f} "

    return cell


def _best_members(sets: Sequence[SetResults]) -> list[str]:
    """Who was chosen as the best member, on either half of the sentences."""
    said = [
        f"{one.name} {' and '.join(dict.fromkeys(best.names))}"
        for one in sets
        for name in one.ensembles
        if (best := best_member(one, name)) is not None
    ]
    return [*wrap("Best members: " + "; ".join(said), WIDTH, break_on_hyphens=False), ""] if said else []


def _cost_cells(rows: Sequence[Result]) -> str:
    sentences = sum(len(row.ids) for row in rows)
    means = [
        sum(getattr(row, name) for row in rows) / sentences for name in ("requests", "prompt_tokens", "answer_tokens")
    ]
    lost = [sum(getattr(row, name) for row in rows) for name in ("partial", "failed")]
    return "".join(f"{number:>9,.1f}" for number in means) + "".join(f"{number:>9,}" for number in lost)


def _short(claim: Tested) -> str:
    return " - ".join(SHOWN[what].replace("sentence", "sent.") for what in (claim.better, claim.worse))


def _format_row(sets: Sequence[SetResults], who: str, name: str) -> str:
    """A member's row of a format; its own format has no name."""
    named = f"{SPAN}-{name}"
    return named if any(f"{who}/{named}" in one.planned for one in sets) else SPAN


def _any(sets: Iterable[SetResults], who: str, what: str) -> bool:
    return any(f"{who}/{what}" in one.rows for one in sets)


def _members(sets: Sequence[SetResults]) -> list[str]:
    return list(dict.fromkeys(name for one in sets for name in one.members))


def _speakers(sets: Sequence[SetResults]) -> list[str]:
    return [*_members(sets), *dict.fromkeys(name for one in sets for name in one.ensembles)]
