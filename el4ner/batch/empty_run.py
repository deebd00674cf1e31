"""Why a run found nothing at all: a configuration that cannot work looks like documents without entities."""

from collections.abc import Mapping
from typing import Any

from el4ner.batch.report import Tally

NONE_BY = "none-by-"
"""Counts of votes for no entity have this before the member's name."""


def explain_empty_run(run: Mapping[str, Any], tally: Tally) -> str | None:
    """Where a finished run has no entity at all: one line that says how far candidates came, and what to check.

    Args:
        run: the run record, with its totals.
        tally: what the predictions hold.

    Returns:
        The line, or None where there are entities, or no document has an answer.
    """
    answered = tally.documents - tally.statuses["failed"]
    if run["state"] != "finished" or not answered or tally.types:
        return None
    counts = run["totals"]["counts"]
    candidates, voted_out = counts.get("candidates", 0), counts.get("voted-out", 0)
    if not candidates:
        what = (
            "no member marked a candidate; look at what they are asked (--dry-run): labels, prompt_style, answer_format"
        )
    elif voted_out == candidates:
        what = (
            f"the vote rejected all {candidates:,} candidates ({_voters(counts, candidates)}); check that the members know the "
            "labels (words, definitions, what they were tuned on), classify.rule and classify.threshold"
        )
    else:
        what = (
            f"of {candidates:,} candidates the vote rejected {voted_out:,}, and none of the others was kept; "
            "check verify.mode and verify.member"
        )
    return f"no entity in any of {answered:,} document(s): {what}"


def _voters(counts: Mapping[str, int], candidates: int) -> str:
    """Who voted for no entity, and how often."""
    against = {name.removeprefix(NONE_BY): count for name, count in counts.items() if name.startswith(NONE_BY)}
    said = ", ".join(f"{name} {count:,}" for name, count in sorted(against.items(), key=lambda item: -item[1]))
    return f"votes for none: {said}" if said else f"no vote for none: {candidates:,} fell short of the rule"
