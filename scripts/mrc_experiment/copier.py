"""What the demonstrations say by themselves: their mentions that stand in the text, without any model."""

import json
from collections.abc import Sequence
from pathlib import Path

from el4ner.config import DemonstrationConfig, EmbedderConfig
from el4ner.demos.embed import build_embedder
from el4ner.demos.index import SpanIndex, gold_spans
from el4ner.demos.lookup import looked_up
from el4ner.demos.pool import unique_texts
from el4ner.demos.retrieve import Retriever
from el4ner.demos.weights import build_weights
from el4ner.text.documents import Document
from el4ner.text.spans import Entity


def write_copied(
    train: Sequence[Document], dev: Sequence[Document], k: int, kept: Sequence[Sequence[Entity]], path: Path
) -> None:
    """A prediction file of the mentions of each text's k nearest training sentences; offsets and types, no text.

    Args:
        train: the sentences to copy from.
        dev: the texts.
        k: how many sentences a text copies from.
        kept: entities of each text that stand in the file as they are; a copied one that overlaps them is left out.
        path: of the file.
    """
    settings = DemonstrationConfig(method="sentence", k=k)
    pool, embedder = unique_texts(train), build_embedder(EmbedderConfig())
    index = SpanIndex.build(pool, gold_spans(pool), embedder, settings.index)
    retriever = Retriever(settings, pool, index, embedder, build_weights(settings, pool), 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as stream:
        for document, known in zip(dev, kept, strict=True):
            shown = retriever.retrieve(document.text, [], "zh").demonstrations
            new = [one for one in looked_up(document.text, shown) if not any(one.span.overlaps(k.span) for k in known)]
            entities = [{"start": one.start, "end": one.end, "type": one.type} for one in sorted([*known, *new])]
            stream.write(json.dumps({"id": document.id, "status": "ok", "entities": entities}) + "\n")
