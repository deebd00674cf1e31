"""``predictions.conll``: the predictions as IOB2 columns, beside ``predictions.jsonl``."""

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from el4ner.batch.prediction import Prediction
from el4ner.text.documents import Document, Item, Unreadable
from el4ner.text.formats import to_conll
from el4ner.text.new_files import open_anew


class ColumnFile:
    """Written anew by each attempt (documents of earlier ones included), and put in its place when the attempt ends.

    A document that failed stands there without entities; what the format cannot hold (entities inside others, or that
    do not begin and end with a token) is left out; both are counted.

    Args:
        path: the file; mode 0600, for it holds the text.

    Attributes:
        left_out: entities that the format could not hold.
        failed: documents that failed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beside = path.with_name(path.name + ".part")
        self.left_out = 0
        self.failed = 0
        descriptor = open_anew(self._beside)
        self._stream = os.fdopen(descriptor, "w", encoding="utf-8", newline="\n")

    def add(self, document: Item, prediction: Prediction) -> None:
        """Write one document; of one that cannot be read, its id alone."""
        if isinstance(document, Unreadable):
            document = Document(document.id, "", tokens=())
        block, dropped = to_conll(document.text, document.tokens, prediction.entities, document.id)
        self._stream.write(block)
        self.left_out += dropped
        self.failed += prediction.status == "failed"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        self._beside.replace(self._path)
