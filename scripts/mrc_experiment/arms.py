"""The arms of the experiment: what is tuned, what is shown, how the types are asked about."""

from dataclasses import dataclass
from typing import Literal

Shown = Literal["none", "random", "sentence", "span"]


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to find the entities of a set.

    Attributes:
        name: as in the table.
        shown: demonstrations, in training and at inference alike.
        tuned: whether an adapter is trained for it.
        joint: whether one call asks about all types.
        crf: whether it is the tagger that a user would train from scratch instead.
        copied: whether it takes the demonstrations' mentions that stand in the text, and no model.
        based_on: the arm whose adapter with the same seed it takes over.
        adds: whether the answers without demonstrations, which choose those of span similarity, count beside the later ones, and
            so do the mentions of as many of the nearest sentences as others show, where they stand in the text.
    """

    name: str
    shown: Shown = "none"
    tuned: bool = True
    joint: bool = False
    crf: bool = False
    copied: bool = False
    based_on: str | None = None
    adds: bool = False

    @property
    def varies(self) -> bool:
        """Whether its outcome depends on the seed."""
        return self.tuned or self.based_on is not None

    @property
    def reads(self) -> bool:
        """Whether a reader answers its questions."""
        return not (self.crf or self.copied)

    @property
    def folder(self) -> str:
        """The name as a folder's name."""
        return self.name.replace(", ", "-").replace(" + ", "-").replace(" ", "-").lower()


FULL = "LoRA + span demos"
ALONE = "LoRA alone"
ARMS = (
    Arm("demos only", "span", tuned=False, adds=True),
    Arm(ALONE, "none"),
    Arm("LoRA + random demos", "random"),
    Arm("LoRA + sentence demos", "sentence"),
    Arm(FULL, "span", adds=True),
    Arm(f"{FULL}, prompt", "span", tuned=False, based_on=FULL),
    Arm("LoRA + span demos, joint", "span", joint=True, adds=True),
    Arm("demos copied", "sentence", tuned=False, copied=True),
    Arm(f"{ALONE} + copied", "none", tuned=False, based_on=ALONE, adds=True),
    Arm("CRF", tuned=False, crf=True),
)
"""The paper's ablation (demonstrations, LoRA, both) with three ways to retrieve, and the two forms of a call."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """A data set.

    Attributes:
        name: the folder that holds it.
        labels: its label set under ``configs/labels``.
        epochs: how often a training passes over it: more often over few sentences, so that there are as many steps.
    """

    name: str
    labels: str
    epochs: float


CORPORA = {
    corpus.name: corpus for corpus in (Corpus("resume_zh", "resume.yaml", 1), Corpus("weibo_zh", "weibo.yaml", 3))
}
