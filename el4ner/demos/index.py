"""SpanIndex: the whole pool, searchable by spans and by sentences, one partition per language."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from el4ner.demos import storage
from el4ner.demos.embed import Embedder
from el4ner.demos.partition import Partition, Scored
from el4ner.demos.pool import pool_hash
from el4ner.demos.ragged import Ragged
from el4ner.demos.similarity import Floats
from el4ner.text.documents import Document
from el4ner.text.language import detect
from el4ner.text.spans import Span

SpanSource = Literal["gold", "pre-extracted"]


@dataclass(frozen=True)
class SpanIndex:
    """Span and sentence vectors of a pool. Immutable; safe to search concurrently.

    Attributes:
        manifest: what it was built from; written beside it and checked when it is loaded.
        partitions: by language.
    """

    manifest: storage.Manifest
    partitions: dict[str, Partition]

    @classmethod
    def build(
        cls,
        pool: Sequence[Document],
        spans_per_sentence: Sequence[Sequence[Span]],
        embedder: Embedder,
        source: SpanSource = "gold",
    ) -> "SpanIndex":
        """Embed and index a pool.

        Args:
            pool: labelled sentences.
            spans_per_sentence: for each, the spans to compare inputs with.
            embedder: for spans and sentences.
            source: where the spans come from; recorded in the manifest.
        """
        languages = [detect(document.text) for document in pool]
        partitions: dict[str, Partition] = {}
        for language in sorted(set(languages)):
            positions = [place for place, other in enumerate(languages) if other == language]
            surfaces = [_surfaces(pool[place].text, spans_per_sentence[place]) for place in positions]
            vectors, spans_of = _unique_vectors(surfaces, embedder)
            sentences = embedder.encode([pool[place].text for place in positions])
            partitions[language] = Partition.build(positions, vectors, sentences, spans_of)
        manifest = storage.Manifest(
            dim=embedder.dim,
            embedder=embedder.fingerprint,
            pool=pool_hash(pool),
            source=source,
            sentences={language: len(part.positions) for language, part in partitions.items()},
            spans={language: len(part.vectors) for language, part in partitions.items()},
        )
        return cls(manifest, partitions)

    def save(self, folder: Path) -> None:
        """Write the index; a folder without a manifest is one whose writing was interrupted."""
        storage.save(folder, self.manifest, self.partitions)

    @classmethod
    def load(cls, folder: Path, pool: Sequence[Document], embedder: Embedder) -> "SpanIndex":
        """Read an index written by ``save``.

        Raises:
            ConfigError: it is missing, damaged, or was built from another pool or embedder.
        """
        return cls(*storage.load(folder, {"embedder": embedder.fingerprint, "pool": pool_hash(pool)}))

    def by_spans(
        self,
        inputs: Floats,
        weights: Floats,
        k: int,
        *,
        language: str | None = None,
        excluded: Collection[int] = (),
    ) -> Scored:
        """The k pool sentences with the highest SpanSim (see ``Partition.by_spans``); ``language`` None means any."""
        found = [part.by_spans(inputs, weights, k, excluded) for part in self._parts(language)]
        return _merge(found, k)

    def exhaustive(
        self, inputs: Floats, weights: Floats, k: int, *, language: str | None = None, excluded: Collection[int] = ()
    ) -> Scored:
        """The same by brute force."""
        return _merge([part.exhaustive(inputs, weights, k, excluded) for part in self._parts(language)], k)

    def by_sentence(
        self, vector: Floats, k: int, *, language: str | None = None, excluded: Collection[int] = ()
    ) -> Scored:
        """The k pool sentences nearest to a sentence vector ``(dim,)``."""
        return _merge([part.by_sentence(vector, k, excluded) for part in self._parts(language)], k)

    def positions(self, language: str | None = None) -> list[int]:
        """Pool positions in a language, or all, ascending."""
        return sorted(int(place) for part in self._parts(language) for place in part.positions)

    def _parts(self, language: str | None) -> list[Partition]:
        if language is None:
            return list(self.partitions.values())
        return [self.partitions[language]] if language in self.partitions else []


def gold_spans(pool: Sequence[Document]) -> list[list[Span]]:
    """The labelled spans of each pool sentence."""
    return [sorted({entity.span for entity in document.entities or ()}) for document in pool]


def _merge(found: Sequence[Scored], k: int) -> Scored:
    return sorted((item for part in found for item in part), key=lambda item: (-item[1], item[0]))[:k]


def _surfaces(text: str, spans: Sequence[Span]) -> list[str]:
    return list(dict.fromkeys(span.surface(text) for span in spans))


def _unique_vectors(surfaces: Sequence[Sequence[str]], embedder: Embedder) -> tuple[Floats, Ragged]:
    """``(u, dim)`` vectors of the different surfaces of which something is known, and each sentence's row numbers."""
    unique = list(dict.fromkeys(surface for row in surfaces for surface in row))
    vectors = embedder.encode(unique)
    known = np.asarray(vectors.any(axis=1))
    numbers = np.cumsum(known) - 1
    row_of = {surface: int(numbers[place]) for place, surface in enumerate(unique) if known[place]}
    return vectors[known], Ragged.of([[row_of[surface] for surface in row if surface in row_of] for row in surfaces])
