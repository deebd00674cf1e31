"""el4ner: named entities by an ensemble of small open language models, on your own machines.

>>> import el4ner                                    # doctest: +SKIP
>>> with el4ner.load("default") as ner:
...     for document in ner.annotate(["Angela Merkel met Emmanuel Macron in Paris."]):
...         print(document.entities)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from el4ner.api import AnnotatedDocument, AnnotatedEntity, Annotator, Score, load, score
    from el4ner.config import Config
    from el4ner.errors import ConfigError, El4nerError, InputError, MemberError, ModelError

__version__ = "0.1.0"
_HOMES = {
    "el4ner.api": ("AnnotatedDocument", "AnnotatedEntity", "Annotator", "Score", "load", "score"),
    "el4ner.config": ("Config",),
    "el4ner.errors": ("ConfigError", "El4nerError", "InputError", "MemberError", "ModelError"),
}
__all__ = [
    "AnnotatedDocument",
    "AnnotatedEntity",
    "Annotator",
    "Config",
    "ConfigError",
    "El4nerError",
    "InputError",
    "MemberError",
    "ModelError",
    "Score",
    "load",
    "score",
]


def __getattr__(name: str) -> Any:
    """What the package offers, imported when it is first asked for: commands start without the libraries of others."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'el4ner' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
