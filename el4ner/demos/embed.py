"""What turns spans and sentences into vectors: a bundled token-vector table, or a local sentence-transformers model."""

import hashlib
import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from el4ner.config import BUNDLED, EmbedderConfig, bundled_path
from el4ner.devices import check_device
from el4ner.environment import pip_install
from el4ner.errors import ConfigError, ModelError
from el4ner.text.files import load_json

HASH_FILE = "sha256.txt"
"""Holds the hash of an embedder's files, so that a damaged one never answers."""
Vectors = npt.NDArray[np.float32]
BATCH_SIZE = 256
"""Texts that a model of sentence-transformers encodes at once."""


class Embedder(Protocol):
    """Maps texts to unit vectors, so that an inner product is a cosine."""

    dim: int
    fingerprint: str
    """Hash of all that changes its vectors; an index built with another fingerprint is refused."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """``(n_texts, dim)`` float32 with rows of length 1, or all zero for a text of which nothing is known."""
        ...


class StaticEmbedder:
    """Weighted mean of token vectors, normalised: microseconds a span, no neural network at run time.

    The folder holds ``config.json``, ``tokenizer.json`` and ``vectors.safetensors`` with the tensors ``vectors``
    ``(vocabulary, dim)``, int8 or floating, and ``weights`` ``(vocabulary,)`` (inverse frequency, and the scale of
    quantised rows). A token of weight 0 is unknown.

    Raises:
        ModelError: the folder lacks a file, or its files do not belong together.
    """

    def __init__(self, folder: Path) -> None:
        files = [folder / name for name in ("config.json", "tokenizer.json", "vectors.safetensors")]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise ModelError(
                f"embedder {folder} lacks {', '.join(missing)}; name a folder made by scripts/make_embedder.py"
            )
        self.fingerprint = _checked_hash(folder, files)
        try:
            tensors = load_file(files[2])
            self._tokenizer = Tokenizer.from_file(str(files[1]))
            shape, weights = tensors["vectors"].shape, tensors["weights"]
        except Exception as error:  # tokenizers raises no narrower one
            raise ModelError(
                f"embedder {folder} is damaged ({type(error).__name__}); make or install it again"
            ) from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        if len(shape) != 2 or weights.shape != shape[:1] or shape[0] != self._tokenizer.get_vocab_size():
            raise ModelError(f"embedder {folder}: tokenizer, vectors and weights differ in size; make it again")
        self._table: Vectors = tensors["vectors"].astype(np.float32) * weights.astype(np.float32)[:, None]
        self.dim = int(shape[1])

    def encode(self, texts: Sequence[str]) -> Vectors:
        """``(n_texts, dim)`` float32, rows of length 1; zero for texts without a known token."""
        encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        ids = [np.asarray(encoding.ids, dtype=np.intp) for encoding in encodings]
        sums = [self._table[row].sum(axis=0) if row.size else np.zeros(self.dim, np.float32) for row in ids]
        return normalise(np.stack(sums)) if sums else np.zeros((0, self.dim), np.float32)


class SentenceTransformersEmbedder:
    """A sentence-transformers model from a local folder; the hub is never asked and remote code is refused.

    Raises:
        ConfigError: the package is not installed, or there is no such folder.
        ModelError: the model asks for remote code.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        if not path.is_dir():
            raise ConfigError(
                f"embedder.path {path} is no folder; name bundled:embedder, or the local folder of a sentence-transformers model"
            )
        _refuse_remote_code(path)
        os.environ["HF_HUB_OFFLINE"] = "1"
        try:
            package: Any = importlib.import_module("sentence_transformers")
        except ImportError as error:
            raise ConfigError(
                f"embedder.path {path} needs sentence-transformers: {pip_install('sentence-transformers')}"
            ) from error
        model_kwargs = {"use_safetensors": True}
        self._model = package.SentenceTransformer(
            str(path), device=device, local_files_only=True, trust_remote_code=False, model_kwargs=model_kwargs
        )
        self.dim = int(self.encode(["."]).shape[1])
        self.fingerprint = _hash_files(sorted(file for file in path.rglob("*") if _shapes_vectors(file)))

    def encode(self, texts: Sequence[str]) -> Vectors:
        """``(n_texts, dim)`` float32, rows of length 1."""
        if not texts:
            return np.zeros((0, self.dim), np.float32)
        rows = self._model.encode(list(texts), batch_size=BATCH_SIZE, show_progress_bar=False, convert_to_numpy=True)
        return normalise(np.asarray(rows, dtype=np.float32))


def build_embedder(config: EmbedderConfig) -> Embedder:
    """The embedder that the configuration names: a token-vector table, or a model of sentence-transformers, by its files."""
    path = bundled_path(config.path) if config.path.startswith(BUNDLED) else Path(config.path)
    if not (path / "modules.json").is_file() and not any(path.glob("model*.safetensors")):
        return StaticEmbedder(path)
    check_device(config.device, "embedder")
    return SentenceTransformersEmbedder(path, config.device)


def normalise(rows: Vectors) -> Vectors:
    """``rows`` ``(n, dim)`` scaled to length 1; rows of length 0 stay zero.

    >>> normalise(np.array([[3.0, 4.0], [0.0, 0.0]], dtype=np.float32)).round(1).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)


def _shapes_vectors(file: Path) -> bool:
    return file.is_file() and file.suffix in {".json", ".safetensors", ".txt", ".model"}


def _hash_files(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest.update(f"{file.name}:{hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def _checked_hash(folder: Path, files: Sequence[Path]) -> str:
    """The hash of an embedder's files, found to be the one that was noted beside them, if one was.

    Raises:
        ModelError: it is another one.
    """
    found, noted = _hash_files(files), folder / HASH_FILE
    if noted.is_file() and noted.read_text(encoding="ascii", errors="replace").strip() != found:
        raise ModelError(
            f"embedder {folder} is damaged: its files are not those of {HASH_FILE}; make or install it again"
        )
    return found


def _refuse_remote_code(path: Path) -> None:
    for file in path.rglob("*.json"):
        if not file.name.endswith("config.json"):
            continue
        try:
            content = load_json(file)
        except ValueError as error:
            raise ModelError(f"embedder {path}: {file.name} is not JSON; copy the model again") from error
        if isinstance(content, dict) and "auto_map" in content:
            raise ModelError(f"embedder {path}: {file.name} asks for remote code (auto_map), which is refused")
