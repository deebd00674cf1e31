"""A report as plain values, for JSON."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from el4ner import __version__
from el4ner.scoring.bootstrap import Comparison
from el4ner.scoring.counts import Counts, Scored, macro
from el4ner.scoring.mismatches import Outcome
from el4ner.scoring.reliability import Reliability
from el4ner.scoring.report import Report, SystemScores


def as_dict(report: Report) -> dict[str, Any]:
    """The report as plain values for JSON; holds ids, types and numbers, but no text of any document."""
    kept = report.selection.kept
    return {
        "el4ner": __version__,
        "settings": {
            "samples": report.samples,
            "seed": report.seed,
            "map": dict(report.selection.renamed),
            "types": None if kept is None else sorted(kept),
        },
        "gold": {
            "files": [_file(path) for path in report.gold_paths],
            "documents": report.n_documents,
            "documents_without_entities": report.n_empty,
            "entities": sum(report.gold_types.values()),
            "types": report.gold_types,
        },
        "systems": [_system(system) for system in report.systems],
        "comparisons": [_comparison(comparison, report.systems) for comparison in report.comparisons],
        "notes": list(report.notes),
    }


def _system(system: SystemScores) -> dict[str, Any]:
    total = system.breakdown.total
    held = system.predictions
    return {
        "name": system.name,
        **_file(system.path),
        "documents": {"missing": held.missing, "failed": held.failed, "partial": held.partial},
        "repeated_entities": held.repeated,
        "micro": {**_counts(system.strict), "f1_low": system.micro_f1.low, "f1_high": system.micro_f1.high},
        "macro": _ratios(macro(system.by_type)),
        "types": {name: _counts(counts) for name, counts in system.by_type.items()},
        "stages": {"span_only": _counts(system.span_only), "type_accuracy": system.breakdown.type_accuracy},
        "outcomes": {outcome.value: total[outcome] for outcome in Outcome},
        "outcomes_by_type": {
            name: {outcome.value: counts[outcome] for outcome in Outcome}
            for name, counts in system.breakdown.by_type.items()
        },
        "confusions": [
            {"gold": gold, "predicted": predicted, "count": count}
            for (gold, predicted), count in sorted(
                system.breakdown.confusions.items(), key=lambda item: (-item[1], item[0])
            )
        ],
        "calibration": None if system.reliability is None else _reliability(system.reliability),
    }


def _reliability(reliability: Reliability) -> dict[str, Any]:
    bands = [
        {"low": band.low, "high": band.high, "mean_score": band.mean, "right": band.counts.tp, "wrong": band.counts.fp}
        for band in reliability.bands
    ]
    return {"error": reliability.error, "bands": bands}


def _comparison(comparison: Comparison, systems: Sequence[SystemScores]) -> dict[str, Any]:
    return {
        "first": systems[comparison.first].name,
        "second": systems[comparison.second].name,
        "f1_difference": asdict(comparison.difference),
        "p_bootstrap": comparison.p_bootstrap,
        "p_randomisation": comparison.p_randomisation,
    }


def _counts(counts: Counts) -> dict[str, float]:
    return {"tp": counts.tp, "fp": counts.fp, "fn": counts.fn, **_ratios(counts)}


def _ratios(scores: Scored) -> dict[str, float]:
    return {"precision": scores.precision, "recall": scores.recall, "f1": scores.f1}


def _file(path: Path) -> dict[str, str | None]:
    """Path and sha256; a folder has no hash."""
    if not path.is_file():
        return {"path": str(path), "sha256": None}
    with path.open("rb") as stream:
        return {"path": str(path), "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}
