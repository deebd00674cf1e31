"""Demonstrations for training: retrieved from the training sentences as at inference, the sentence itself excluded."""

from collections.abc import Callable, Sequence

from el4ner.demos.balance import QuestionDemonstrations
from el4ner.demos.embed import build_embedder
from el4ner.demos.index import SpanIndex, gold_spans
from el4ner.demos.pool import unique_texts
from el4ner.demos.retrieve import Retriever
from el4ner.demos.weights import build_weights
from el4ner.text.documents import Document
from el4ner.text.spans import Span
from el4ner.train.config import TrainConfig
from el4ner.train.data import Sentence
from el4ner.train.questions import Retrieve

TypeNames = tuple[str, ...] | None
"""Names of the types of a data file that has a label set of its own."""


def build_retrieves(sentences: Sequence[Sentence], config: TrainConfig) -> tuple[Retrieve, Retrieve]:
    """Retrieval over the training sentences, for extraction and typing and for the questions of reading comprehension.

    Each sentence's neighbours are looked up once and kept.
    """
    settings, types = config.demonstrations, [label.name for label in config.labels]
    if settings.method == "none" or not (settings.k or config.mrc.k):
        return _nothing, _nothing
    by_labels: dict[TypeNames, list[Sentence]] = {}
    for sentence in sentences:
        by_labels.setdefault(_label_set(sentence), []).append(sentence)
    retrievers = {labels: _retriever(alike, config) for labels, alike in by_labels.items()}

    def nearest(sentence: Sentence) -> tuple[Document, ...]:
        document, retriever = sentence.document, retrievers[_label_set(sentence)]
        found = retriever.retrieve(document.text, _spans(document), sentence.language, exclude_ids=sentence.ids)
        return found.demonstrations

    def for_questions(sentence: Sentence) -> tuple[Document, ...]:
        document, language = sentence.document, sentence.language
        choice = QuestionDemonstrations(retrievers[_label_set(sentence)], settings, config.mrc, types)
        return choice.choose(document.text, _spans(document), language, sentence.ids)

    return _cached(nearest, settings.order), _cached(for_questions, settings.order)


def _retriever(sentences: Sequence[Sentence], config: TrainConfig) -> Retriever:
    settings = config.demonstrations
    pool = unique_texts(sentence.document for sentence in sentences)
    embedder = build_embedder(config.embedder)
    index = SpanIndex.build(pool, gold_spans(pool), embedder)
    return Retriever(settings, pool, index, embedder, build_weights(settings, pool), config.seed)


def _cached(find: Callable[[Sentence], tuple[Document, ...]], order: str) -> Retrieve:
    """The most similar of what is found for a sentence, which is looked up once."""
    known: dict[Document, tuple[Document, ...]] = {}

    def retrieve(sentence: Sentence, count: int) -> Sequence[Document]:
        if sentence.document not in known:
            known[sentence.document] = find(sentence)
        found = known[sentence.document]
        return found[:count] if order == "best-first" else found[len(found) - min(count, len(found)) :]

    return retrieve


def _label_set(sentence: Sentence) -> TypeNames:
    """What tells apart label sets: a demonstration of another one would be wrong."""
    return None if sentence.labels is None else tuple(label.name for label in sentence.labels)


def _nothing(_sentence: Sentence, _count: int) -> Sequence[Document]:
    return ()


def _spans(document: Document) -> list[Span]:
    return [entity.span for entity in document.entities or ()]
