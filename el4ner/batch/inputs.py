"""A job's input: its documents, and in the place of those that cannot be read, why."""

from collections.abc import Iterator
from itertools import islice

from el4ner.batch.resume import JobOptions
from el4ner.errors import InputError
from el4ner.text.documents import Document, Item
from el4ner.text.formats import STDIN, read_items


def read_input(options: JobOptions, *, report: bool = False) -> Iterator[Item]:
    """The items of a job's input up to its limit, read lazily.

    Args:
        options: what the job was asked to do.
        report: whether to log what is skipped, empty or odd.

    Raises:
        InputError: as ``read_items``; or, at the end, none of them could be read.
    """
    readable, first = False, None
    for item in islice(read_items(options.inputs, report=report), options.limit):
        if isinstance(item, Document):
            readable = True
        elif first is None:
            first = item
        yield item
    if not readable and options.limit != 0:
        raise InputError(
            _nothing(options) if first is None else f"no document of the input can be read; the first: {first.reason}"
        )


def check_readable(options: JobOptions) -> None:
    """See that something of the input can be read; standard input can be read only once, so that it is left alone.

    Raises:
        InputError: nothing can be read.
    """
    if STDIN not in options.inputs:
        any(isinstance(item, Document) for item in read_input(options))


def _nothing(options: JobOptions) -> str:
    return f"the input holds no document: {', '.join(options.inputs)}; name files with documents"
