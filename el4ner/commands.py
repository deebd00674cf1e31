"""What the commands share: exit codes, and one line on standard error for whatever keeps one from its work."""

import argparse
import io
import resource
import sys
from collections.abc import Callable

from el4ner.errors import El4nerError

OK, CANNOT, INTERRUPTED = 0, 2, 130
_CONTROL = {
    code: "\N{REPLACEMENT CHARACTER}"
    for code in (
        *range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A),
        *range(0xFFF9, 0xFFFC), *range(0xE0000, 0xE0080),
    )
}  # fmt: skip
"""What can steer a terminal or hide in it: controls, line ends, directions of writing, annotations, tags."""


def command_parser(name: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """The parser of ``python -m el4ner.NAME``: texts are printed as they stand, and options are not abbreviated."""
    return argparse.ArgumentParser(
        prog=f"python -m el4ner.{name}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def run_command(name: str, work: Callable[[], int], *, interrupted: str = "interrupted") -> int:
    """Do a command's work; returns its exit code, 2 where it cannot be done, 130 where it was interrupted.

    What standard output cannot encode is replaced, so that no character of a document or a table ends a run. A crash leaves no
    core dump, which would hold texts and keys. Messages hold no control characters, whatever a file's name does.

    Args:
        name: the command's name, for messages: ``run`` for ``el4ner.run``.
        work: what it does; returns the exit code.
        interrupted: what is said where it was.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        return work()
    except El4nerError as error:
        return _say(name, str(error), CANNOT)
    except OSError as error:
        return _say(name, f"{error.filename or 'a file'}: {error.strerror or type(error).__name__}", CANNOT)
    except KeyboardInterrupt:
        return _say(name, interrupted, INTERRUPTED)


def _say(name: str, message: str, code: int) -> int:
    print("\n".join(map(visible, f"el4ner.{name}: {message}".split("\n"))), file=sys.stderr)
    return code


def visible(text: str) -> str:
    """The text with each character that could steer a terminal replaced by one visible character."""
    return text.translate(_CONTROL)
