"""Choose the demonstrations of an input: none, random, nearest sentences, or span-level similarity (EL4NER stage 2)."""

import hashlib
import random
from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass
from typing import Literal

from el4ner.config import DemonstrationConfig
from el4ner.demos.cache import SpanCache
from el4ner.demos.embed import Embedder
from el4ner.demos.index import SpanIndex
from el4ner.demos.partition import Scored
from el4ner.demos.pool import text_key
from el4ner.demos.similarity import is_defined
from el4ner.demos.weights import SpanWeights
from el4ner.text.documents import Document
from el4ner.text.spans import Span

Method = Literal["none", "random", "sentence", "span"]
METHODS: tuple[Method, ...] = ("span", "sentence", "random")


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Demonstrations in prompt order.

    Attributes:
        demonstrations: pool sentences.
        scores: the similarity of each (SpanSim or cosine), None for random ones.
        method_used: how they were found; differs from the configured method where that was undefined for the input.
    """

    demonstrations: tuple[Document, ...]
    scores: tuple[float | None, ...]
    method_used: Method


NOTHING = Retrieval((), (), "none")


class Retriever:
    """Chooses demonstrations from an indexed pool. Deterministic; safe to call concurrently.

    Args:
        config: method, k, order and the rest.
        pool: the documents that ``index`` was built from, in the same order.
        index: of the pool.
        embedder: the one that built the index.
        weights: of input spans.
        seed: of random choices, together with the text.
    """

    def __init__(
        self,
        config: DemonstrationConfig,
        pool: Sequence[Document],
        index: SpanIndex,
        embedder: Embedder,
        weights: SpanWeights,
        seed: int,
    ) -> None:
        self._config = config
        self._pool = pool
        self._index = index
        self._embedder = SpanCache(embedder)
        self._weights = weights
        self._seed = seed
        self._places = {language: index.positions(language) for language in index.partitions}
        self._by_text: dict[str, set[int]] = {}
        self._by_id: dict[str, set[int]] = {}
        for place, document in enumerate(pool):
            self._by_text.setdefault(text_key(document.text), set()).add(place)
            self._by_id.setdefault(document.id, set()).add(place)

    def retrieve(
        self,
        text: str,
        spans: Sequence[Span],
        language: str,
        *,
        exclude_ids: Collection[str] = (),
        k: int | None = None,
        method: Method | None = None,
    ) -> Retrieval:
        """The demonstrations for a text, in its language.

        The text itself is never among them, nor are the pool documents ``exclude_ids``. There are fewer than k where the pool
        (in this language) has no more to offer.

        Args:
            text: the input.
            spans: what pre-extraction found in it; a surface that occurs twice counts once.
            language: of the input.
            exclude_ids: pool documents to leave out, for instance in cross-validation.
            k: how many; None: as configured.
            method: how to find them; None: as configured.
        """
        count = self._config.k if k is None else k
        method = method or self._config.method
        if count <= 0 or method == "none":
            return NOTHING
        query = _Query(text, tuple(spans), language, self._excluded(text, exclude_ids))
        method, found = self._search(query, count, method)
        return self._in_order(text, found, method) if found else NOTHING

    def provenance(self) -> dict[str, object]:
        """What the choice depends on: hashes of pool and embedder, kind of index, source of the pool's spans."""
        manifest = self._index.manifest
        return {
            "pool": manifest.pool,
            "sentences": dict(manifest.sentences),
            "embedder": manifest.embedder,
            "index": manifest.kind,
            "spans": manifest.source,
        }

    def _search(self, query: "_Query", count: int, method: Method) -> tuple[Method, Scored]:
        """Try the asked method, then those that need less: without known spans the nearest sentences, else chance."""
        for tried in METHODS[METHODS.index(method) :]:
            found = self._by_method(tried, query, count)
            if found is not None:
                return tried, found
        return "none", []

    def _by_method(self, method: Method, query: "_Query", count: int) -> Scored | None:
        """None where the method is undefined for this input."""
        if method == "span":
            return self._by_spans(query, count)
        if method == "sentence":
            return self._by_sentence(query, count)
        return self._by_chance(query, count)

    def _by_spans(self, query: "_Query", count: int) -> Scored | None:
        first: dict[str, Span] = {}
        for span in query.spans:
            first.setdefault(span.surface(query.text), span)
        vectors = self._embedder.encode(list(first))
        weights = self._weights.weigh(query.text, list(first.values()), query.language) * vectors.any(axis=1)
        if not is_defined(weights):
            return None
        found = self._index.by_spans(vectors, weights, count, language=query.language, excluded=query.excluded)
        return found or None

    def _by_sentence(self, query: "_Query", count: int) -> Scored | None:
        vector = self._embedder.encode([query.text])[0]
        if not vector.any():
            return None
        return self._index.by_sentence(vector, count, language=query.language, excluded=query.excluded)

    def _by_chance(self, query: "_Query", count: int) -> Scored:
        places = self._places.get(query.language, [])
        drawn = self._random(query.text).sample(places, min(len(places), count + len(query.excluded)))
        return [(place, 0.0) for place in drawn if place not in query.excluded][:count]

    def _in_order(self, text: str, found: Scored, method: Method) -> Retrieval:
        if self._config.order == "best-last":
            found = found[::-1]
        elif self._config.order == "random":
            found = self._random(text).sample(found, len(found))
        scores = tuple(None if method == "random" else score for _, score in found)
        return Retrieval(tuple(self._pool[place] for place, _ in found), scores, method)

    def _excluded(self, text: str, exclude_ids: Collection[str]) -> frozenset[int]:
        same_id = set().union(*(self._by_id.get(name, ()) for name in exclude_ids))
        return frozenset(self._by_text.get(text_key(text), set()) | same_id)

    def _random(self, text: str) -> random.Random:
        digest = hashlib.sha256(f"{self._seed}\0{text}".encode(errors="surrogatepass")).digest()
        return random.Random(int.from_bytes(digest[:8], "big"))


@dataclass(frozen=True, slots=True)
class _Query:
    text: str
    spans: tuple[Span, ...]
    language: str
    excluded: Set[int]
