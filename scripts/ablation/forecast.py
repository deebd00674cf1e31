"""How many requests and tokens an experiment's rows still need, before anything is asked.

Each row runs over some of its sentences, with members that answer from what is recorded. What is not recorded is counted
and guessed: the member is taken to find the gold mentions and one more, and to type and confirm all of them.
"""

from collections.abc import Iterable, Mapping
from textwrap import wrap
from typing import Any

from ablation.foreseen import Density, Foreseen, Need, Scene
from ablation.recording import Cast, Pools, pipeline_of
from ablation.rows import Row
from ablation.sets import LabelledSet, spread
from ablation.table import rule
from el4ner.config import Language
from el4ner.engines.answer_store import AnswerStore
from el4ner.engines.base import Engine
from el4ner.text.windows import cut_windows

SAMPLE = 20
"""Sentences of a set that a row is tried on; their requests are scaled up to all."""


class Forecast:
    """Foresees rows one after the other; a request that several need counts for the first.

    Args:
        cast: builds members, of whom the fingerprints alone are needed.
        pools: chooses demonstrations.
        known: the recordings, if there are any.
    """

    def __init__(self, cast: Cast, pools: Pools, known: AnswerStore | None) -> None:
        self._cast = cast
        self._pools = pools
        self._known = known
        self._seen: set[str] = set()
        self._density: dict[tuple[str, Language], Density] = {}

    async def need(self, row: Row, labelled: LabelledSet) -> dict[str, Need]:
        """What a row still needs, by member."""
        assert row.config is not None
        documents, scene = labelled.first(row.limit), Scene()
        sample = spread(documents, SAMPLE)
        members = await self._cast.members(row.config)
        foreseen = {
            m.name: self._foreseen(members[m.name], m.answer_format, labelled.language, scene)
            for m in row.config.members
        }
        pipeline = pipeline_of(row.config, foreseen, self._pools.retriever(row.config, labelled))
        cut = row.config.windows
        for document in sample:
            for window in cut_windows(
                document, cut.max_columns, cut.overlap_columns, labelled.language, row.config.overlap_at
            ):
                scene.show(document, window)
                await pipeline.find(window)
        total = {name: Need() for name in foreseen}
        for name, member in foreseen.items():
            total[name].add(member.need, len(documents) / len(sample))
        return total

    def _foreseen(self, member: Engine, written: str, language: Language, scene: Scene) -> Foreseen:
        density = self._density.setdefault((member.name, language), Density(language))
        return Foreseen(member.name, member.fingerprint, written, scene, self._known, density, self._seen)


def forecast_lines(needs: Mapping[str, Mapping[str, Need]], rates: Mapping[str, float], finished: int) -> list[str]:
    """The table of what is needed by row, all sets together.

    Args:
        needs: by row and member.
        rates: by member, seconds that a request took so far.
        finished: how many rows need nothing.
    """
    head = f"{'still needed':<38}{'requests':>10}{'read':>13}{'written':>11}{'hours':>8}"
    lines = [head, rule(len(head))]
    total = Need()
    hours: list[float | None] = []
    for name, by_member in needs.items():
        row = Need()
        for need in by_member.values():
            row.add(need)
        total.add(row)
        hours.append(_hours(by_member, rates))
        lines.append(_line(name, row, hours[-1]))
    known = [one for one in hours if one is not None]
    lines.append(_line("together", total, sum(known) if len(known) == len(hours) else None))
    return [*lines, *wrap(f"{finished:,} rows are finished. {_EXPLAINED}", len(head))]


def rates_of(marks: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Seconds that a request took so far, by member, from the marks of members' own finished rows."""
    seconds: dict[str, float] = {}
    asked: dict[str, int] = {}
    for mark in marks:
        names = [name for name, spent in mark.get("members", {}).items() if spent["asked"]]
        if len(mark.get("members", {})) == 1 and names:
            seconds[names[0]] = seconds.get(names[0], 0.0) + mark["seconds"]
            asked[names[0]] = asked.get(names[0], 0) + mark["members"][names[0]]["asked"]
    return {name: seconds[name] / asked[name] for name in seconds}


_EXPLAINED = (
    f"Estimated from {SAMPLE} sentences of each set; what several rows need counts for the first. Read, written: tokens; "
    "beginnings that prompts share count each time. Hours: at the pace of the finished rows; - where there is none."
)


def _hours(by_member: Mapping[str, Need], rates: Mapping[str, float]) -> float | None:
    asked = {name: need for name, need in by_member.items() if need.requests}
    if not asked.keys() <= rates.keys():
        return None
    return sum(need.requests * rates[name] for name, need in asked.items()) / 3600


def _line(name: str, need: Need, hours: float | None) -> str:
    cells = f"{need.requests:>10,.0f}{need.prompt_tokens:>13,.0f}{need.answer_tokens:>11,.0f}"
    return f"{name[:38]:<38}{cells}{'-' if hours is None else f'{hours:.1f}':>8}"
