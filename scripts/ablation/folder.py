"""The output folder of an experiment: sentences, answers, predictions, and which rows are finished.

OUT/manifest.json                   models, sets, settings, versions; no text
OUT/answers.sqlite                  every answer of every member, by the hash of what was asked; holds text, mode 0600
OUT/SET/gold.jsonl, pool.jsonl      the sentences; mode 0600
OUT/SET/WHO/WHAT/predictions.jsonl  a row's predictions with all candidates and votes; offsets, no text
OUT/SET/WHO/WHAT/row.json           written when the row is finished: what it was computed from, and what it cost
"""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ablation.rows import Row
from ablation.scores import GOLD, write_gold
from ablation.sets import LabelledSet
from el4ner import __version__
from el4ner.batch.journal import PREDICTIONS
from el4ner.batch.record import utc_now, versions
from el4ner.config import Config
from el4ner.demos.pool import pool_hash
from el4ner.errors import ConfigError, InputError
from el4ner.prompts.render import Prompts
from el4ner.text.documents import Document
from el4ner.text.new_files import write_atomically

ANSWERS, MANIFEST, MARK, POOL = "answers.sqlite", "manifest.json", "row.json", "pool.jsonl"
OF_THE_JOB = {"members", "batch", "allow_hosts", "pool", "embedder"}
"""Sections that change no answer, or whose content is hashed otherwise."""
OF_A_ROW = {"language", "demonstrations", "extract", "classify", "verify", "windows", "entities"}
"""Sections that a finished row states."""
OF_SERVERS = {"api_key_env", "serve", "weight"}
"""What the manifest does not say of members; their votes weigh the same here."""
ENGINES = ("xllamacpp", "vllm", "tokenizers", "safetensors")
"""Packages beside those of a run's record that may have answered."""


@contextlib.contextmanager
def locked(output: Path) -> Iterator[None]:
    """Keep other runs from writing there.

    Raises:
        ConfigError: one does, or the folder cannot be made.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        lock = os.open(output / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigError(f"cannot write {output}: {error.strerror}; choose another --output") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ConfigError(f"another run writes {output}; wait for it, or choose another --output") from None
    finally:
        os.close(lock)


def row_key(row: Row, labelled: LabelledSet, fingerprints: Mapping[str, str], embedder: str) -> str:
    """The sha256 (hex) of all that a row's predictions depend on, but for the code.

    Args:
        row: one that is not derived.
        labelled: its set.
        fingerprints: of its members.
        embedder: fingerprint of what retrieval compares by.
    """
    assert row.config is not None
    config = row.config
    members = [
        [m.name, m.answer_format, Prompts.of(m.prompt_style, config).identity, fingerprints[m.name]]
        for m in config.members
    ]
    settings = config.model_dump(mode="json", exclude=OF_THE_JOB)
    sentences = [pool_hash(labelled.first(row.limit)), pool_hash(labelled.pool)]
    return _hash([__version__, settings, members, sentences, embedder])


def derived_key(row: Row, of_set: Path) -> str:
    """The sha256 (hex) of what a derived row depends on: its name, its source's predictions, and gold."""
    return _hash([__version__, row.what, file_hash(of_set / row.source / PREDICTIONS), file_hash(of_set / GOLD)])


def file_hash(path: Path) -> str | None:
    """The sha256 (hex) of a file; None where there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def read_mark(folder: Path) -> dict[str, Any] | None:
    """What was written when a row was finished; None where it is not finished, or its predictions were changed since."""
    try:
        mark = json.loads((folder / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(mark, dict) and mark.get("predictions") == file_hash(folder / PREDICTIONS)
    return mark if whole else None


def write_mark(folder: Path, row: Row, key: str, documents: Sequence[Document], cost: Mapping[str, Any]) -> None:
    """Say that a row's predictions for these sentences are complete."""
    settings = None if row.config is None else row.config.model_dump(mode="json", include=OF_A_ROW)
    mark: dict[str, Any] = {"key": key, "gold": pool_hash(documents), "predictions": file_hash(folder / PREDICTIONS)}
    mark |= {"finished": utc_now(), "settings": settings, **cost}
    write_atomically(folder / MARK, json.dumps(mark, ensure_ascii=False, indent=2) + "\n")


def remove_mark(folder: Path) -> None:
    """Say that a row is not finished, before its predictions are written anew."""
    (folder / MARK).unlink(missing_ok=True)


def write_sets(sets: Sequence[LabelledSet], output: Path) -> None:
    """Put the sentences into the folder, so that the recordings stand by themselves."""
    for labelled in sets:
        for name, documents in ((GOLD, labelled.gold), (POOL, labelled.pool)):
            write_gold(documents, output / labelled.name / name)


def write_manifest(
    output: Path,
    config: Config,
    fingerprints: Mapping[str, str],
    rows: Mapping[str, Sequence[Row]],
    sets: Sequence[LabelledSet],
) -> None:
    """Describe the recordings: who was asked what, about which sentences, with which versions.

    Args:
        output: the folder.
        config: the configuration that all rows are made from.
        fingerprints: of all members.
        rows: all rows of each set, finished or not.
        sets: that are there.
    """
    members = [member.model_dump(mode="json", exclude=OF_SERVERS) for member in config.members]
    manifest = {
        "versions": {**versions(), **{name: _version(name) for name in ENGINES}},
        "members": [member | {"fingerprint": fingerprints.get(member["name"])} for member in members],
        "embedder": config.embedder.model_dump(mode="json"),
        "sets": {labelled.name: _described(labelled, rows[labelled.name]) for labelled in sets},
    }
    write_atomically(output / MANIFEST, json.dumps(manifest, ensure_ascii=False, indent=2) + "\n")


def read_manifest(output: Path) -> dict[str, Any]:
    """What ``write_manifest`` wrote.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    path = output / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        manifest["sets"], manifest["members"]
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; name the --output of an experiment") from error
    except (ValueError, TypeError, KeyError):
        raise InputError(f"{path} is no manifest of an experiment; run the experiment again") from None
    return manifest


def _described(labelled: LabelledSet, rows: Sequence[Row]) -> dict[str, Any]:
    asked = {row.who: [member.name for member in row.config.members] for row in rows if row.config is not None}
    return {
        "language": labelled.language,
        "members": [who for who, members in asked.items() if members == [who]],
        "ensembles": {who: members for who, members in asked.items() if members != [who]},
        "labels": [label.model_dump(mode="json") for label in labelled.labels],
        "gold": {"sentences": len(labelled.gold), "sha256": pool_hash(labelled.gold)},
        "pool": {"sentences": len(labelled.pool), "sha256": pool_hash(labelled.pool), "left_out": labelled.left_out},
        "rows": {row.name: row.limit for row in rows},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
