"""What the demonstrations say by themselves: their mentions that stand in the text, without any model."""

import json
from collections.abc import Sequence
from pathlib import Path

from el4ner.config import DemonstrationConfig, EmbedderConfig
from el4ner.demos.embed import build_embedder
from el4ner.demos.index import SpanIndex, gold_spans
from el4ner.demos.lookup import lookup_mentions
from el4ner.demos.pool import unique_texts
from el4ner.demos.retrieve import Retriever
from el4ner.demos.weights import build_weights
from el4ner.text.documents import Document


def write_copied(train: Sequence[Document], dev: Sequence[Document], k: int, path: Path) -> None:
    """The mentions of each text's k nearest training sentences as a prediction file; offsets and types, no text."""
    settings = DemonstrationConfig(method="sentence", k=k)
    pool, embedder = unique_texts(train), build_embedder(EmbedderConfig())
    index = SpanIndex.build(pool, gold_spans(pool), embedder)
    retriever = Retriever(settings, pool, index, embedder, build_weights(settings, pool), 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as stream:
        for document in dev:
            shown = retriever.retrieve(document.text, [], "zh").demonstrations
            found = lookup_mentions(document.text, shown)
            entities = [{"start": one.start, "end": one.end, "type": one.type} for one in found]
            stream.write(json.dumps({"id": document.id, "status": "ok", "entities": entities}) + "\n")
