"""What the project's own commands are told: the configurations of a run's training and of its ensemble of one member."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from el4ner.config import DemonstrationConfig, is_model_name
from el4ner.errors import ConfigError
from mrc_experiment.arms import ARMS, Arm, Corpus

LABELS = Path(__file__).parents[2] / "configs" / "labels"
ZERO_SHOT = 0.2
"""Share of the sentences whose questions show nothing: what span similarity compares is found without demonstrations."""

SHOWN_LENGTH = 3
"""How many times as long prompts with two demonstrations are, about: so many steps make an update where they are shown, so that
it sees about as many sentences."""


@dataclass(frozen=True, slots=True)
class Base:
    """The model that readers begin with.

    Attributes:
        weights: what is tuned: a name of the registry, or a folder.
        file: what answers, with an adapter or without: a name, or a GGUF file.
    """

    weights: str
    file: str

    @classmethod
    def of(cls, model: str, file: Path | None = None) -> "Base":
        """A model of the registry, or a folder together with the same model's GGUF file.

        Raises:
            ConfigError: a folder without that file.
        """
        if file is None and not is_model_name(model):
            raise ConfigError(f"{model} is tuned as a folder and answers as a GGUF file; name that file with --gguf")
        return cls(model, model if file is None else str(file.resolve()))


@dataclass(frozen=True, slots=True)
class Run:
    """One arm on one set with one seed.

    Attributes:
        arm: which arm.
        corpus: which set.
        seed: of training and of random demonstrations.
        folder: where its files lie.
        train: the sentences to learn from, and the pool of demonstrations.
        dev: the sentences to find entities in.
    """

    arm: Arm
    corpus: Corpus
    seed: int
    folder: Path
    train: Path
    dev: Path

    @property
    def adapter(self) -> Path | None:
        """Where its adapter lies, or will lie; None: it has none."""
        if self.arm.tuned:
            return self.folder / "adapter"
        return None if self.arm.based_on is None else self._folder_of(self.arm.based_on) / "adapter"

    def _folder_of(self, name: str) -> Path:
        (other,) = [arm for arm in ARMS if arm.name == name]
        return self.folder.parents[1] / other.folder / self.folder.name


def training(run: Run, recipe: Mapping[str, Any], base: Base, minutes: float, epochs: float) -> dict[str, Any]:
    """The training configuration of a run: the recipe with the run's data, demonstrations, form of a call and time."""
    steps = 1 if run.arm.shown == "none" else SHOWN_LENGTH
    changed = {"max_minutes": minutes, "epochs": epochs, "accumulate": steps}
    return dict(recipe) | {
        "model": base.weights,
        "output": str(run.folder / "adapter"),
        "title": f"{run.arm.name}, {run.corpus.name}, seed {run.seed}",
        "labels": _labels(run.corpus),
        "data": [{"path": str(run.train), "language": "zh", "licence": "measurement only"}],
        "repeat": {},
        "tasks": dict(recipe.get("tasks", {})) | {"zero_shot": ZERO_SHOT},
        "mrc": _questions(run, recipe),
        "demonstrations": _demonstrations(run, recipe),
        "optimisation": recipe["optimisation"] | changed,
        "evaluation": recipe.get("evaluation", {}) | {"fraction": 0, "patience": 0},
        "seed": run.seed,
    }


def ensemble(run: Run, recipe: Mapping[str, Any], base: Base) -> dict[str, Any]:
    """The ensemble of the run's one member."""
    member = {
        "name": "reader",
        "engine": "local",
        "role": "mrc",
        "model": base.file,
        "prompt_style": recipe.get("prompt_style", "full"),
        "allow_unseen_labels": True,  # what a reader does with labels that it never saw is one of the questions
        **({"adapter": str(run.adapter)} if run.adapter else {}),
    }
    return {
        "language": "zh",
        "labels": _labels(run.corpus),
        "members": [member],
        "pool": {"path": str(run.train) if run.arm.shown != "none" or run.arm.adds else None},
        "demonstrations": _demonstrations(run, recipe),
        "mrc": _questions(run, recipe) | {"lookup": max_demonstrations(recipe) if run.arm.adds else 0},
        "extract": {"pre_extract": True, "keep_pre_extracted": run.arm.adds},
        "verify": {"mode": "off"},
        "seed": run.seed,
    }


def write_yaml(content: Mapping[str, Any], path: Path) -> Path:
    """The content as a YAML file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(dict(content), allow_unicode=True, sort_keys=False), encoding="utf-8")
    return path


def _labels(corpus: Corpus) -> list[dict[str, Any]]:
    """The set's labels, asked about in the prompt style's own words: they name a type as the demonstrations' answers do."""
    labels = yaml.safe_load((LABELS / corpus.labels).read_text(encoding="utf-8"))
    return [{key: value for key, value in label.items() if key != "questions"} for label in labels]


def _questions(run: Run, recipe: Mapping[str, Any]) -> dict[str, Any]:
    return dict(recipe.get("mrc", {})) | {"types_per_call": 64 if run.arm.joint else 1, "k": None}


def _demonstrations(run: Run, recipe: Mapping[str, Any]) -> dict[str, Any]:
    return dict(recipe.get("demonstrations", {})) | {"method": run.arm.shown, "seed": run.seed}


def max_demonstrations(recipe: Mapping[str, Any]) -> int:
    """How many demonstrations arms show that show any."""
    return DemonstrationConfig(**recipe.get("demonstrations", {})).k
