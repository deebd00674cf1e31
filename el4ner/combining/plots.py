"""Pictures of how far the probabilities can be trusted; needs the optional matplotlib."""

from pathlib import Path

from el4ner.combining.calibration import reliability_bins, risk_coverage
from el4ner.combining.job import Result
from el4ner.errors import InputError


def plot(folder: Path, result: Result) -> None:
    """Write ``reliability.png`` and ``risk-coverage.png`` into a folder, made where it is missing.

    Raises:
        InputError: there are no labels, matplotlib is not installed, or the folder cannot be written.
    """
    if result.labels is None:
        raise InputError("--plots shows how often probabilities are right; give labelled documents with --gold FILE")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("--plots needs matplotlib; install it, or leave --plots out") from None
    mine = result.labels.labelled[result.table.document]
    probabilities, right = result.probabilities[mine], result.labels.right[mine]
    stated, found, _ = reliability_bins(probabilities, right)
    coverage, risk = risk_coverage(probabilities, right)
    pictures = {
        "reliability": (stated, found, "probability", "share right"),
        "risk-coverage": (coverage, risk, "part of the candidates, surest first", "share wrong"),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, (x, y, x_label, y_label) in pictures.items():
            figure = Figure(figsize=(5, 5))
            axes = figure.add_subplot(xlabel=x_label, ylabel=y_label, xlim=(0, 1), ylim=(0, 1))
            axes.plot(x, y, marker="o" if name == "reliability" else "")
            if name == "reliability":
                axes.plot([0, 1], [0, 1], linestyle=":")
            figure.savefig(folder / f"{name}.png", dpi=120)
    except OSError as error:
        raise InputError(f"cannot write plots to {folder}: {error.strerror or error}; give another folder") from None
