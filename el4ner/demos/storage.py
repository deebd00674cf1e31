"""A SpanIndex on disk: FAISS files, safetensors and a JSON manifest; nothing that runs code when it is read."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import faiss
import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from el4ner.demos.partition import Partition
from el4ner.demos.ragged import Ragged
from el4ner.errors import ConfigError
from el4ner.text.new_files import write_atomically

VERSION: Literal[2] = 2
MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 1_000_000
REBUILD = "rebuild it with python -m el4ner.index"
MEANINGS = {
    "embedder": "the embedder",
    "pool": "the pool",
}


class Manifest(BaseModel):
    """What an index was built from.

    Attributes:
        version: of this file layout.
        kind: of the FAISS indexes.
        dim: length of the vectors.
        embedder: fingerprint of the embedder.
        pool: hash of the pool.
        source: ``gold`` or ``pre-extracted`` spans.
        sentences: number of sentences per language.
        spans: number of different spans per language.
        hashes: sha256 (hex) of each file by its name, so that a damaged one never answers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[2] = VERSION
    kind: Literal["flat"] = "flat"
    dim: int
    embedder: str
    pool: str
    source: Literal["gold", "pre-extracted"]
    sentences: dict[str, int]
    spans: dict[str, int]
    hashes: dict[str, str] = {}


def save(folder: Path, manifest: Manifest, partitions: Mapping[str, Partition]) -> None:
    """Write an index, readable by its owner alone; the manifest goes first when an old one is replaced, and is written last."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    for language, part in partitions.items():
        faiss.write_index(part.span_index, str(folder / f"{language}.spans.faiss"))
        faiss.write_index(part.sentence_index, str(folder / f"{language}.sentences.faiss"))
        tensors = {
            "positions": part.positions,
            "vectors": part.vectors,
            "sentences": part.sentences,
            "starts": part.spans_of.starts,
            "values": part.spans_of.values,
        }
        save_file(
            {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, folder / _tensor_file(language)
        )
    files = [folder / name for language in partitions for name in _names(language)]
    for file in files:
        file.chmod(0o600)
    hashed = manifest.model_copy(update={"hashes": {file.name: _hash(file) for file in files}})
    write_atomically(folder / MANIFEST, hashed.model_dump_json(indent=2) + "\n")


def load(folder: Path, expected: Mapping[str, str]) -> tuple[Manifest, dict[str, Partition]]:
    """Read an index and check that it is the one meant.

    Args:
        folder: where ``save`` wrote it.
        expected: values that fields of the manifest must have.

    Raises:
        ConfigError: it is missing or damaged, or a field differs.
    """
    manifest = _read_manifest(folder)
    found = manifest.model_dump()
    changed = [meaning for field, meaning in MEANINGS.items() if field in expected and found[field] != expected[field]]
    if changed:
        raise ConfigError(f"index {folder} does not fit: {' and '.join(changed)} changed since; {REBUILD}")
    _check_hashes(folder, manifest)
    try:
        partitions: dict[str, Partition] = {
            language: _load_partition(folder, language, manifest) for language in manifest.sentences
        }
    except (OSError, RuntimeError, KeyError, ValueError, SafetensorError) as error:
        raise ConfigError(f"index {folder} is damaged ({type(error).__name__}); {REBUILD}") from error
    return manifest, partitions


def _bounded(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(MAX_MANIFEST_BYTES)


def _read_manifest(folder: Path) -> Manifest:
    try:
        return Manifest.model_validate_json(_bounded(folder / MANIFEST))
    except OSError as error:
        raise ConfigError(f"{folder} holds no complete index (no readable {MANIFEST}); {REBUILD}") from error
    except ValidationError as error:
        raise ConfigError(f"index {folder}: {MANIFEST} is of another version or damaged; {REBUILD}") from error


def _check_hashes(folder: Path, manifest: Manifest) -> None:
    """Refuse files that are not those that were written.

    Raises:
        ConfigError: one is missing or differs.
    """
    for name in (name for language in manifest.sentences for name in _names(language)):
        try:
            same = _hash(folder / name) == manifest.hashes.get(name)
        except OSError as error:
            raise ConfigError(f"index {folder} is damaged ({name}: {error.strerror}); {REBUILD}") from error
        if not same:
            raise ConfigError(f"index {folder} is damaged ({name} has changed); {REBUILD}")


def _hash(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _load_partition(folder: Path, language: str, manifest: Manifest) -> Partition:
    tensors = load_file(folder / _tensor_file(language))
    spans_of = Ragged(tensors["starts"], tensors["values"])
    vectors, sentences = tensors["vectors"], tensors["sentences"]
    span_index = faiss.read_index(str(folder / f"{language}.spans.faiss"))
    sentence_index = faiss.read_index(str(folder / f"{language}.sentences.faiss"))
    sizes = (len(vectors), len(sentences), span_index.ntotal, sentence_index.ntotal, len(spans_of.starts) - 1)
    count, spans = manifest.sentences[language], manifest.spans[language]
    if sizes != (spans, count, spans, count, count) or vectors.shape[1] != manifest.dim:
        raise ValueError("sizes differ from the manifest")
    owners_of = spans_of.inverse(spans)
    return Partition(
        tensors["positions"],
        vectors,
        sentences,
        spans_of,
        owners_of,
        span_index,
        sentence_index,
    )


def _names(language: str) -> tuple[str, ...]:
    return f"{language}.spans.faiss", f"{language}.sentences.faiss", _tensor_file(language)


def _tensor_file(language: str) -> str:
    return f"{language}.safetensors"
