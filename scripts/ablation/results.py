"""The finished rows of an experiment, read back from its output folder: scores, counts to resample, costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablation.folder import read_manifest, read_mark
from ablation.scores import GOLD
from ablation.sets import spread
from el4ner.batch.journal import PREDICTIONS
from el4ner.demos.pool import pool_hash
from el4ner.errors import InputError
from el4ner.scoring.counts import Counts, document_counts
from el4ner.scoring.labels import TypeSelection
from el4ner.scoring.predictions import read_gold, read_predictions
from el4ner.text.documents import Document

CountArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Result:
    """A finished row on one set.

    Attributes:
        ids: of its sentences, ``N`` of them.
        counts: ``(N, 3)``, strict tp, fp and fn of each sentence.
        partial: sentences where some answer could not be read or did not come.
        failed: sentences without any; they count as sentences in which nothing was found.
        requests: to members.
        prompt_tokens: that members read, beginnings that prompts share each time.
        answer_tokens: that members wrote.
        seconds: of the attempt that finished it.
    """

    ids: tuple[str, ...]
    counts: CountArray
    partial: int
    failed: int
    requests: int
    prompt_tokens: int
    answer_tokens: int
    seconds: float

    @property
    def total(self) -> Counts:
        """Of all its sentences."""
        tp, fp, fn = (int(number) for number in self.counts.sum(axis=0))
        return Counts(tp, fp, fn)

    def of(self, ids: Sequence[str]) -> CountArray:
        """``(n, 3)``: the counts of some of its sentences."""
        place = {identity: number for number, identity in enumerate(self.ids)}
        return self.counts[[place[identity] for identity in ids]]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON; scores from 0 to 1, costs of all sentences together."""
        total = self.total
        scores = {"precision": total.precision, "recall": total.recall, "f1": total.f1}
        rest = ("partial", "failed", "requests", "prompt_tokens", "answer_tokens", "seconds")
        return {"sentences": len(self.ids), **scores, **{name: getattr(self, name) for name in rest}}


@dataclass(frozen=True, slots=True)
class SetResults:
    """The rows of one set.

    Attributes:
        name: of the set.
        sentences: how many gold sentences it has here.
        members: who takes part, in order.
        ensembles: by name, the members of each.
        planned: names of all rows, also of those that nobody has asked for yet.
        rows: finished ones by name.
        begun: names of rows that were begun and are not finished, with how many of how many sentences they have.
        missing: how many of its rows have not been begun.
    """

    name: str
    sentences: int
    members: tuple[str, ...]
    ensembles: dict[str, tuple[str, ...]]
    planned: frozenset[str]
    rows: dict[str, Result]
    begun: dict[str, tuple[int, int]]
    missing: int


def read_results(output: Path) -> list[SetResults]:
    """All sets of an experiment's output folder, without asking any member.

    Raises:
        InputError: the folder holds no experiment, or a file there cannot be read.
    """
    manifest = read_manifest(output)
    return [_read_set(output / name, described) for name, described in manifest["sets"].items()]


def _read_set(folder: Path, described: dict[str, Any]) -> SetResults:
    gold = read_gold(folder / GOLD)
    selection = TypeSelection(kept=frozenset(label["name"] for label in described["labels"]))
    rows, begun, missing = {}, {}, 0
    for name, limit in described["rows"].items():
        documents = spread(gold, limit)
        result = _read_row(folder / name, documents, selection)
        if result is not None:
            rows[name] = result
        elif written := _lines(folder / name / PREDICTIONS):
            begun[name] = written, len(documents)
        else:
            missing += 1
    members, ensembles = tuple(described["members"]), {n: tuple(who) for n, who in described["ensembles"].items()}
    return SetResults(folder.name, len(gold), members, ensembles, frozenset(described["rows"]), rows, begun, missing)


def _read_row(folder: Path, documents: Sequence[Document], selection: TypeSelection) -> Result | None:
    mark = read_mark(folder)
    if mark is None or mark.get("gold") != pool_hash(documents):
        return None
    predictions = read_predictions(folder / PREDICTIONS, documents)
    if predictions.missing:
        raise InputError(f"{folder / PREDICTIONS} lacks {len(predictions.missing)} sentences; run the experiment again")
    wanted = [selection.apply(document.entities or ()) for document in documents]
    found = [selection.apply(entities) for entities in predictions.entities]
    spent = mark.get("members", {}).values()
    return Result(
        ids=tuple(document.id for document in documents),
        counts=document_counts(wanted, found),
        partial=len(predictions.partial),
        failed=len(predictions.failed),
        requests=sum(one["requests"] for one in spent),
        prompt_tokens=sum(one["prompt_tokens"] for one in spent),
        answer_tokens=sum(one["answer_tokens"] for one in spent),
        seconds=mark.get("seconds", 0.0),
    )


def _lines(path: Path) -> int:
    """How many whole lines a file has; none where it is not there."""
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0
