"""The Python API: load an ensemble, annotate texts, score predictions. ``import el4ner`` offers all of it."""

from el4ner.api.annotator import Annotator
from el4ner.api.documents import AnnotatedDocument, AnnotatedEntity
from el4ner.api.loading import load
from el4ner.api.scores import Score, score

__all__ = ["AnnotatedDocument", "AnnotatedEntity", "Annotator", "Score", "load", "score"]
