"""Shared pieces: a pool of our own sentences, and an embedder whose vectors are chosen by the test."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import el4ner
from el4ner.demos.embed import StaticEmbedder, normalise
from el4ner.text.documents import Document
from el4ner.text.spans import Entity, Span

EMBEDDER_FOLDER = Path(el4ner.__file__).parent / "bundled" / "embedder"


def document(id_: str, text: str, **mentions: str) -> Document:
    """A labelled document; ``PER="Ada"`` marks the first place of that surface."""
    entities = [Entity(text.index(s), text.index(s) + len(s), t) for t, s in mentions.items()]
    return Document(id_, text, tuple(sorted(entities)))


def span_of(text: str, surface: str) -> Span:
    """The first place of a surface."""
    return Span(text.index(surface), text.index(surface) + len(surface))


class TableEmbedder:
    """Looks vectors up; what is not in the table is unknown (zero)."""

    def __init__(self, table: dict[str, Sequence[float]], dim: int, fingerprint: str = "table") -> None:
        self.table, self.dim, self.fingerprint = table, dim, fingerprint
        self.encoded: list[str] = []

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.encoded += texts
        rows = [self.table.get(text, [0.0] * self.dim) for text in texts]
        return normalise(np.asarray(rows, dtype=np.float32).reshape(len(texts), self.dim))


@pytest.fixture(scope="session")
def embedder() -> StaticEmbedder:
    return StaticEmbedder(EMBEDDER_FOLDER)


@pytest.fixture(scope="session")
def pool() -> list[Document]:
    return [
        document("hospital", "Dr. Lena Brandt joined the clinic in Graz.", PER="Lena Brandt", LOC="Graz"),
        document("bank", "Harbour Bank opened a branch in Lisbon.", ORG="Harbour Bank", LOC="Lisbon"),
        document("river", "The ferry crosses the Danube near Ruse.", LOC="Danube"),
        document("pills", "Patients took ibuprofen twice a day.", DRUG="ibuprofen"),
        document("nothing", "It rained all afternoon."),
        document("orchestra", "The Oslo quartet played a new sonata.", ORG="Oslo quartet"),
        document("zh-city", "张伟去年搬到了南京市。", PER="张伟", LOC="南京市"),
        document("zh-firm", "李娜在远山科技公司工作。", PER="李娜", ORG="远山科技公司"),
        document("zh-rain", "昨天下了一整天雨。"),
    ]
