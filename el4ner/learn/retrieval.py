"""Demonstrations for training: retrieved from the training sentences as at inference, the sentence itself excluded."""

from collections.abc import Sequence

from el4ner.demos.embed import build_embedder
from el4ner.demos.index import SpanIndex, gold_spans
from el4ner.demos.pool import unique_texts
from el4ner.demos.retrieve import Retriever
from el4ner.demos.weights import build_weights
from el4ner.learn.config import TrainConfig
from el4ner.learn.data import Sentence
from el4ner.learn.examples import Retrieve
from el4ner.text.documents import Document


def build_retrieve(sentences: Sequence[Sentence], config: TrainConfig) -> Retrieve:
    """Retrieval over the training sentences; each sentence's neighbours are looked up once and kept."""
    settings = config.demonstrations
    if settings.k == 0 or settings.method == "none":
        return lambda sentence, count: ()
    pool = unique_texts(sentence.document for sentence in sentences)
    embedder = build_embedder(config.embedder)
    index = SpanIndex.build(pool, gold_spans(pool), embedder, settings.index)
    retriever = Retriever(settings, pool, index, embedder, build_weights(settings, pool), config.seed)
    known: dict[Document, tuple[Document, ...]] = {}

    def retrieve(sentence: Sentence, count: int) -> Sequence[Document]:
        document = sentence.document
        if document not in known:
            spans = [entity.span for entity in document.entities or ()]
            found = retriever.retrieve(document.text, spans, sentence.language, exclude_id=document.id)
            known[document] = found.demonstrations
        nearest = known[document]
        return nearest[:count] if settings.order == "best-first" else nearest[len(nearest) - min(count, len(nearest)) :]

    return retrieve
