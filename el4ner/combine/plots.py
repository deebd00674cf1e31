"""Pictures of how far the probabilities can be trusted; needs the optional matplotlib."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from el4ner.combine.calibration import calibration_error, reliability_bins, risk_coverage
from el4ner.combine.job import Result
from el4ner.environment import pip_install
from el4ner.errors import InputError
from el4ner.vote.table import BoolArray, FloatArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FIRST = 10
"""The share wrong among fewer candidates is mere chance, and not drawn."""
_BLUE, _GREY, _RED = "#1f5fa8", "#888888", "#b03030"


def plot(folder: Path, result: Result) -> list[Path]:
    """Write ``reliability.png`` and ``risk-coverage.png`` into a folder, made where it is missing; gives their paths.

    Both look at the candidates of the labelled documents, those that were not kept included.

    Raises:
        InputError: there are no labels, matplotlib is not installed, or the folder cannot be written.
    """
    if result.labels is None:
        raise InputError("--plots shows how often probabilities are right; give labelled documents with --gold FILE")
    figures = _figures()
    mine = result.labels.labelled[result.table.document]
    probabilities, right, kept = result.probabilities[mine], result.labels.right[mine], result.kept[mine]
    pictures = {
        "reliability": _reliability(figures, probabilities, right),
        "risk-coverage": _risk_coverage(figures, probabilities, right, kept),
    }
    paths = [folder / f"{name}.png" for name in pictures]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, figure in zip(paths, pictures.values(), strict=True):
            figure.savefig(path, dpi=120)
    except OSError as error:
        raise InputError(f"cannot write plots to {folder}: {error.strerror or error}; give another folder") from None
    return paths


def _figures() -> "type[Figure]":
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError(f"--plots needs matplotlib; install it: {pip_install('matplotlib')}") from None
    figures: type[Figure] = Figure
    return figures


def _reliability(figures: "type[Figure]", probabilities: FloatArray, right: BoolArray) -> "Figure":
    """Share right against probability, in bins of equal numbers, over a histogram of the probabilities."""
    stated, found, _ = reliability_bins(probabilities, right)
    figure = figures(figsize=(5, 6), layout="constrained")
    axes, counts = figure.subplots(2, 1, height_ratios=(4, 1), sharex=True)
    axes.plot([0, 1], [0, 1], linestyle=":", color=_GREY, label="perfectly calibrated")
    axes.plot(stated, found, marker="o", color=_BLUE, label="candidates, in tenths")
    axes.set_title(f"Reliability: calibration error {calibration_error(probabilities, right):.3f}")
    _label(axes, "", "share right")
    axes.legend(loc="upper left", frameon=False)
    counts.hist(probabilities, bins=20, range=(0, 1), color=_BLUE)
    counts.set(xlabel="probability", ylabel="candidates", xlim=(0, 1))
    return figure


def _risk_coverage(figures: "type[Figure]", probabilities: FloatArray, right: BoolArray, kept: BoolArray) -> "Figure":
    """The share wrong among the surest candidates, by how many are taken; the point is what was kept."""
    coverage, risk = risk_coverage(probabilities, right)
    figure = figures(figsize=(5, 4.5), layout="constrained")
    axes = figure.subplots()
    first = min(_FIRST, len(risk)) - 1
    axes.plot(coverage[first:], risk[first:], color=_BLUE, label="the surest candidates")
    if kept.any():
        wrong = float((~right[kept]).mean())
        axes.plot([float(kept.mean())], [wrong], marker="o", linestyle="", color=_RED, label="kept")
    axes.set_title("Risk and coverage")
    _label(axes, "part of the candidates", "share wrong")
    axes.legend(loc="upper left", frameon=False)
    return figure


def _label(axes: Any, x: str, y: str) -> None:
    axes.set(xlabel=x, ylabel=y, xlim=(0, 1), ylim=(0, 1))
    axes.grid(visible=True, color="#e4e4e4")
