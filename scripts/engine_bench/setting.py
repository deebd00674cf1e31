"""What is measured: sentences, the configuration of the one member, and where results lie."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from el4ner.config import Config, parse_config
from el4ner.models.resolve import weights_folder
from el4ner.scoring.predictions import read_gold
from el4ner.text.documents import Document

LABELS = Path(__file__).parents[2] / "configs" / "labels" / "per-loc-org.yaml"


@dataclass(frozen=True)
class Setting:
    """One model, the sentences that it reads, and the folder of the results."""

    model: str
    folder: Path
    gold: tuple[Document, ...]
    pool: Path
    output: Path

    @classmethod
    def of(cls, options: argparse.Namespace) -> "Setting":
        """The setting of a command line.

        Raises:
            InputError: the gold file cannot be read.
            ConfigError: the model is not installed.
        """
        documents = read_gold(options.gold)
        count = min(options.sentences, len(documents))
        gold = tuple(documents[place * len(documents) // count] for place in range(count))
        name = Path(options.model).stem
        folder = options.folder or weights_folder(options.model)
        return cls(options.model, folder, gold, options.pool, options.output / f"{name}-{count}")

    def config(self, **member: Any) -> Config:
        """The configuration with the member as an engine runs it.

        Raises:
            ConfigError: a path is wrong.
        """
        settings = {"name": "model", "engine": "local", "prompt_style": "full", "answer_format": "lines", **member}
        content = {
            "labels": str(LABELS),
            "members": [settings],
            "pool": {"path": str(self.pool.resolve())},
            "embedder": {"kind": "static", "path": "bundled:embedder"},
            "demonstrations": {"method": "span", "k": 5},
            "extract": {"few_shot": True},
            "verify": {"mode": "off"},
        }
        return parse_config(content, base=Path.cwd())

    def result(self, engine: str) -> Path:
        """The file of an engine's figures."""
        return self.output / f"{engine}.json"

    @property
    def requests(self) -> Path:
        """The file of the recorded requests; it holds text."""
        return self.output / "requests.jsonl"
