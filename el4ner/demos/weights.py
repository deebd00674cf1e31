"""Weights w(s) of input spans in SpanSim: all alike, by part of speech (the paper), or by label statistics (DEER)."""

import importlib
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from el4ner.config import DemonstrationConfig
from el4ner.demos.similarity import Floats
from el4ner.environment import pip_install
from el4ner.errors import ConfigError
from el4ner.text.documents import Document
from el4ner.text.formats import tokenize
from el4ner.text.spans import Span

POS_PIPELINES = {"en": "en_core_web_sm", "zh": "zh_core_web_sm"}
POS_WEIGHTS = {"PROPN": 4.0, "NOUN": 2.0, "PRON": 1.0}
ENTITY_SHARE, CONTEXT_SHARE, OTHER_SHARE = 1.0, 0.5, 0.01
CONTEXT_TOKENS = 2
UNSEEN_WEIGHT = 1.0


class SpanWeights(Protocol):
    """Says how much each span of an input counts; safe to call concurrently."""

    def weigh(self, text: str, spans: Sequence[Span], language: str) -> Floats:
        """``(n_spans,)`` float32, none negative."""
        ...


class UniformWeights:
    """Every span counts 1."""

    def weigh(self, text: str, spans: Sequence[Span], language: str) -> Floats:
        """``(n_spans,)`` ones."""
        return np.ones(len(spans), dtype=np.float32)


class PosWeights:
    """Part of speech: proper noun 4, common noun 2, pronoun 1, other 0; a span counts as its highest token.

    Raises:
        ConfigError: spaCy or a pipeline is not installed.
    """

    def __init__(self, pipelines: Mapping[str, str]) -> None:
        self._pipelines = {language: _load_pipeline(name) for language, name in pipelines.items()}
        self._lock = threading.Lock()

    def weigh(self, text: str, spans: Sequence[Span], language: str) -> Floats:
        """``(n_spans,)`` weights.

        Raises:
            ConfigError: no pipeline is named for the language.
        """
        if language not in self._pipelines:
            raise ConfigError(f"demonstrations.weights pos knows no spaCy pipeline for {language}; use weights: labels")
        with self._lock:
            parsed = self._pipelines[language](text)
        tokens = [(Span(token.idx, token.idx + len(token)), POS_WEIGHTS.get(token.pos_, 0.0)) for token in parsed]
        best = [max((weight for place, weight in tokens if place.overlaps(span)), default=0.0) for span in spans]
        return np.array(best, dtype=np.float32)


class LabelWeights:
    """Label statistics of the pool: ``W(t) = w_e P(entity|t) + w_c P(context|t) + w_o P(other|t)`` (DEER).

    A token is *entity* inside a labelled entity, *context* within two tokens of one, else *other*; tokens are words
    without regard to case, and single Chinese characters, so no tagger is needed. Unseen tokens weigh 1. A span weighs
    the mean of its tokens. The shares w_e = 1, w_c = 0.5 and w_o = 0.01 are ours.
    """

    def __init__(self, token_weights: Mapping[str, float]) -> None:
        self._token_weights = dict(token_weights)

    @classmethod
    def learn(cls, pool: Sequence[Document]) -> "LabelWeights":
        """Count how the pool's tokens are used."""
        counts: dict[str, list[int]] = {}
        for document in pool:
            for token, role in _roles(document):
                counts.setdefault(token, [0, 0, 0])[role] += 1
        shares = (ENTITY_SHARE, CONTEXT_SHARE, OTHER_SHARE)
        return cls({token: float(np.dot(shares, row)) / sum(row) for token, row in counts.items()})

    def token_weight(self, token: str) -> float:
        """W of one token; 1 if the pool does not hold it."""
        return self._token_weights.get(token.casefold(), UNSEEN_WEIGHT)

    def weigh(self, text: str, spans: Sequence[Span], language: str) -> Floats:
        """``(n_spans,)`` means over each span's tokens."""
        return np.array([self._span_weight(span.surface(text)) for span in spans], dtype=np.float32)

    def _span_weight(self, surface: str) -> float:
        weights = [self.token_weight(token.surface(surface)) for token in tokenize(surface)]
        return sum(weights) / len(weights) if weights else 0.0


def build_weights(config: DemonstrationConfig, pool: Sequence[Document]) -> SpanWeights:
    """The weights that the configuration names, learned from the pool where they are learned."""
    if config.weights == "pos":
        return PosWeights(POS_PIPELINES)
    return LabelWeights.learn(pool) if config.weights == "labels" else UniformWeights()


def _roles(document: Document) -> Iterator[tuple[str, int]]:
    """Each token (case folded) with its role: 0 entity, 1 context, 2 other."""
    tokens = tokenize(document.text)
    inside = np.zeros(len(tokens), dtype=bool)
    starts, ends = np.array([token.start for token in tokens]), np.array([token.end for token in tokens])
    for entity in document.entities or ():
        inside |= (starts < entity.end) & (ends > entity.start)
    near = np.convolve(inside, np.ones(2 * CONTEXT_TOKENS + 1), mode="full")[CONTEXT_TOKENS:][: len(tokens)] > 0
    for place, token in enumerate(tokens):
        role = 0 if inside[place] else 1 if near[place] else 2
        yield token.surface(document.text).casefold(), role


def _load_pipeline(name: str) -> Any:
    try:
        spacy: Any = importlib.import_module("spacy")
    except ImportError as error:
        raise ConfigError(
            f"demonstrations.weights pos needs spaCy: {pip_install('spacy')}; or use weights: labels"
        ) from error
    try:
        return spacy.load(name, exclude=["ner"])
    except OSError as error:
        raise ConfigError(
            f"demonstrations.weights pos needs spaCy's {name}: {sys.executable} -m spacy download {name}"
            " (or pip install its wheel where there is no network)"
        ) from error
