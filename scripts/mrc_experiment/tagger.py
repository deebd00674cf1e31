"""What a user would train otherwise: a linear-chain CRF over the characters, from scratch (CRFsuite)."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

from el4ner.errors import ConfigError
from el4ner.text.documents import Document

OUTSIDE = "O"
AROUND = (-2, -1, 0, 1, 2)
PAIRS = ((-2, -1), (-1, 0), (0, 1), (1, 2), (-1, 1))


def is_installed() -> bool:
    """Whether the library is there."""
    try:
        import pycrfsuite  # noqa: F401
    except ImportError:
        return False
    return True


def train_tagger(documents: Sequence[Document], path: Path, seed: int, iterations: int = 150) -> None:
    """Train a tagger and write it to ``path``.

    Raises:
        ConfigError: the library is missing.
    """
    if not is_installed():
        raise ConfigError("the CRF needs the package python-crfsuite; pip install python-crfsuite")
    import pycrfsuite

    trainer = pycrfsuite.Trainer(verbose=False)
    ordered = random.Random(seed).sample(documents, len(documents))
    for document in ordered:
        trainer.append(features(document.text), tags(document))
    trainer.set_params(
        {
            "c1": 0.1,
            "c2": 0.01,
            "max_iterations": iterations,
            "feature.possible_transitions": True,
            "feature.minfreq": 1,
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    trainer.train(str(path))


def write_predictions(documents: Sequence[Document], model: Path, path: Path) -> None:
    """The tagger's entities as a prediction file; offsets and types, no text."""
    import pycrfsuite

    tagger = pycrfsuite.Tagger()
    tagger.open(str(model))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as stream:
        for document in documents:
            entities = entities_of(tagger.tag(features(document.text)))
            stream.write(json.dumps({"id": document.id, "status": "ok", "entities": entities}) + "\n")


def features(text: str) -> list[list[str]]:
    """Of each character: the characters around it, one by one and in pairs, and their kinds."""
    return [
        [
            "bias",
            *(f"{at}={_at(text, place + at)}" for at in AROUND),
            *(f"{at}:{_kind(_at(text, place + at))}" for at in AROUND),
            *(f"{a}{b}={_at(text, place + a)}{_at(text, place + b)}" for a, b in PAIRS),
        ]
        for place in range(len(text))
    ]


def tags(document: Document) -> list[str]:
    """IOB2 tags of the characters."""
    found = [OUTSIDE] * len(document.text)
    for entity in document.entities or ():
        found[entity.start : entity.end] = [f"I-{entity.type}"] * (entity.end - entity.start)
        found[entity.start] = f"B-{entity.type}"
    return found


def entities_of(found: Sequence[str]) -> list[dict[str, object]]:
    """The entities that tags mark; an I that continues nothing begins one."""
    entities: list[dict[str, object]] = []
    for place, tag in enumerate(found):
        if tag == OUTSIDE:
            continue
        kind = tag[2:]
        goes_on = tag[0] == "I" and entities and entities[-1]["end"] == place and entities[-1]["type"] == kind
        if goes_on:
            entities[-1]["end"] = place + 1
        else:
            entities.append({"start": place, "end": place + 1, "type": kind})
    return entities


def _at(text: str, place: int) -> str:
    return text[place] if 0 <= place < len(text) else "<>"


def _kind(character: str) -> str:
    if len(character) > 1:
        return "edge"
    if character.isdigit():
        return "digit"
    if character.isascii() and character.isalpha():
        return "latin"
    return "letter" if character.isalpha() else "sign"
