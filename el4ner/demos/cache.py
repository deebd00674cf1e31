"""A bounded memory of encoded spans: mentions repeat, and a neural embedder is dear."""

import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from el4ner.demos.embed import Embedder
from el4ner.demos.similarity import Floats


class SpanCache:
    """Encodes through an embedder and keeps the most recently used vectors; safe to call concurrently.

    Args:
        embedder: what encodes.
        limit: most vectors kept.
    """

    def __init__(self, embedder: Embedder, limit: int = 50_000) -> None:
        self.dim = embedder.dim
        self.fingerprint = embedder.fingerprint
        self._embedder = embedder
        self._limit = limit
        self._kept: OrderedDict[str, Floats] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def encode(self, texts: Sequence[str]) -> Floats:
        """``(n_texts, dim)`` float32, as the embedder gives them."""
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        with self._lock:
            known = {text: self._kept[text] for text in texts if text in self._kept}
            for text in known:
                self._kept.move_to_end(text)
        unknown = [text for text in dict.fromkeys(texts) if text not in known]
        known |= dict(zip(unknown, self._embedder.encode(unknown), strict=True))
        with self._lock:
            self._kept.update((text, known[text]) for text in unknown)
            while len(self._kept) > self._limit:
                self._kept.popitem(last=False)
        return np.stack([known[text] for text in texts])
