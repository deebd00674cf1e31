"""The retriever of a configuration: pool, embedder, index and weights put together."""

from collections.abc import Sequence
from pathlib import Path

from el4ner.config import Config
from el4ner.demos.embed import Embedder, build_embedder
from el4ner.demos.index import SpanIndex, gold_spans
from el4ner.demos.pool import check_pool_labels, read_pool, unique_texts
from el4ner.demos.retrieve import Retriever
from el4ner.demos.weights import build_weights
from el4ner.errors import ConfigError
from el4ner.text.documents import Document


def build_retriever(config: Config, pool: Sequence[Document] | None = None) -> Retriever | None:
    """The retriever, or None where the configuration has nothing shown or looked up.

    Args:
        config: the configuration.
        pool: labelled sentences in place of those that it names.

    Raises:
        El4nerError: the pool, the index or the embedder cannot be used.
    """
    settings = config.demonstrations
    shows = settings.method != "none" and (settings.k or config.mrc.k)
    if not (shows or config.mrc.lookup) or (pool is None and config.pool.path is None):
        return None
    embedder = build_embedder(config.embedder)
    if pool is None:
        sentences = load_pool(config)
        index = load_index(config, sentences, embedder)
    else:
        sentences = unique_texts(pool)
        check_pool_labels(sentences, config.type_names)
        index = SpanIndex.build(sentences, gold_spans(sentences), embedder)
    return Retriever(settings, sentences, index, embedder, build_weights(settings, sentences), config.seed)


def load_pool(config: Config) -> list[Document]:
    """The labelled pool, its labels checked against the configuration's.

    Raises:
        ConfigError: there is no pool, or it has labels that the configuration has not.
        InputError: it cannot be read.
    """
    if config.pool.path is None:
        raise ConfigError("pool.path is not set; name a JSONL or CoNLL file of labelled sentences")
    pool = read_pool(Path(config.pool.path))
    check_pool_labels(pool, config.type_names)
    return pool


def load_index(config: Config, pool: list[Document], embedder: Embedder) -> SpanIndex:
    """The saved index of the pool or, without one, an index of its gold spans built in memory.

    Raises:
        ConfigError: the saved index is of another pool or embedder.
    """
    if config.pool.index is not None:
        return SpanIndex.load(Path(config.pool.index), pool, embedder)
    return SpanIndex.build(pool, gold_spans(pool), embedder)
