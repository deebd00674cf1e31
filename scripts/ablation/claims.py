"""What is claimed of the method, tested on the finished rows: better retrieval, and an ensemble above its best member.

Tests are paired: both rows are drawn the same sentences in each bootstrap sample. Over several sets the difference is the
mean of the sets' differences, every set being resampled by itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from ablation.results import CountArray, SetResults
from ablation.rows import DERIVED, RANDOM, SENTENCE, SPAN, VERIFIED
from el4ner.scoring.bootstrap import bootstrap_f1, bootstrap_p_value, f1_scores

SURE_BELOW = 0.05
BEST = "best member"
RETRIEVAL = ((SENTENCE, RANDOM), (SPAN, SENTENCE), (SPAN, RANDOM))
"""Pairs of ways to choose demonstrations, the better one first, as it is claimed."""
Verdict = Literal["holds", "refuted", "open"]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two rows on the same sentences of one set, ``(n, 3)`` counts each."""

    better: CountArray
    worse: CountArray


@dataclass(frozen=True, slots=True)
class Tested:
    """The claim that one row is better than another.

    Attributes:
        who: the member or ensemble.
        better: what should be better.
        worse: than what.
        differences: by set, F1 of the better one minus F1 of the other, from -1 to 1.
        p_values: by set, two-sided.
        difference: mean over the sets.
        p_value: of the mean, two-sided; not corrected for how many claims are tested.
    """

    who: str
    better: str
    worse: str
    differences: dict[str, float]
    p_values: dict[str, float]
    difference: float
    p_value: float

    @property
    def verdict(self) -> Verdict:
        """``holds`` or ``refuted`` where chance does not explain the mean difference, else ``open``."""
        if self.p_value >= SURE_BELOW:
            return "open"
        return "holds" if self.difference > 0 else "refuted"

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self) | {"verdict": self.verdict}


def examine(who: str, better: str, worse: str, pairs: Mapping[str, Pair], samples: int) -> Tested | None:
    """Test a claim on sets; None where there is none."""
    if not pairs:
        return None
    differences, p_values, drawn = {}, {}, []
    for number, (name, pair) in enumerate(pairs.items()):
        counts = np.stack([pair.better, pair.worse])
        observed = f1_scores(counts.sum(axis=1))
        sampled = bootstrap_f1(counts, samples, seed=13 + number)  # (B, 2), drawn for each set by itself
        differences[name] = float(observed[0] - observed[1])
        p_values[name] = bootstrap_p_value(differences[name], sampled[:, 0] - sampled[:, 1])
        drawn.append(sampled[:, 0] - sampled[:, 1])
    mean = float(np.mean(list(differences.values())))
    return Tested(who, better, worse, differences, p_values, mean, bootstrap_p_value(mean, np.mean(drawn, axis=0)))


def retrieval_claims(sets: Sequence[SetResults], samples: int) -> list[Tested]:
    """For each member and ensemble: sentence above random, span above sentence, span above random demonstrations."""
    speakers = dict.fromkeys(name for one in sets for name in (*one.members, *one.ensembles))
    return _examined(sets, speakers, RETRIEVAL, samples)


def combination_claims(sets: Sequence[SetResults], whats: Sequence[str], samples: int) -> list[Tested]:
    """For each ensemble: each way to combine is above the best member, and what comes after the vote is above the vote."""
    names = dict.fromkeys(name for one in sets for name in one.ensembles)
    above_best = [examine(who, what, BEST, _against_best(sets, who, what), samples) for who in names for what in whats]
    added = [(what, SPAN) for what in (*VERIFIED, *DERIVED)]
    return [one for one in above_best if one is not None] + _examined(sets, names, added, samples)


def _examined(
    sets: Sequence[SetResults], speakers: Iterable[str], pairs: Sequence[tuple[str, str]], samples: int
) -> list[Tested]:
    tested = [
        examine(who, better, worse, _pairs(sets, f"{who}/{better}", f"{who}/{worse}"), samples)
        for who in speakers
        for better, worse in pairs
    ]
    return [one for one in tested if one is not None]


@dataclass(frozen=True, slots=True)
class BestMember:
    """The best member of an ensemble on a set, chosen on sentences that it is not scored on.

    Attributes:
        names: who was the best on either half of the sentences.
        counts: ``(n, 3)``: of each sentence, those of the member that was the best on the other half.
    """

    names: tuple[str, str]
    counts: CountArray


def best_member(results: SetResults, ensemble: str) -> BestMember | None:
    """The best member at the ensemble's setting; None where the ensemble or some member has no finished row."""
    rows = [results.rows.get(f"{name}/{SPAN}") for name in results.ensembles.get(ensemble, ())]
    together = results.rows.get(f"{ensemble}/{SPAN}")
    if together is None or not rows or any(row is None for row in rows):
        return None
    alone = np.stack([row.of(together.ids) for row in rows if row is not None])  # (M, n, 3)
    halves = np.arange(len(together.ids)) % 2
    best = [int(f1_scores(alone[:, halves == half].sum(axis=1)).argmax()) for half in (0, 1)]
    counts = np.where((halves == 0)[:, None], alone[best[1]], alone[best[0]])
    names = results.ensembles[ensemble]
    return BestMember((names[best[0]], names[best[1]]), counts)


def _pairs(sets: Sequence[SetResults], better: str, worse: str) -> dict[str, Pair]:
    found = {}
    for one in sets:
        if better in one.rows and worse in one.rows:
            first, second = one.rows[better], one.rows[worse]
            common = [identity for identity in first.ids if identity in set(second.ids)]
            found[one.name] = Pair(first.of(common), second.of(common))
    return found


def _against_best(sets: Sequence[SetResults], who: str, what: str) -> dict[str, Pair]:
    found = {}
    for one in sets:
        best, row = best_member(one, who), one.rows.get(f"{who}/{what}")
        if best is not None and row is not None:
            found[one.name] = Pair(row.counts, best.counts)
    return found
