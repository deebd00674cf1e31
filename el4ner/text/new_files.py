"""Files written so that nobody else reads them, no link is followed, and no reader or crash sees a part."""

import os
from pathlib import Path


def write_atomically(path: Path, content: str) -> None:
    """Replace a file (mode 0600) by new content: a reader, or a crash, sees the old or the new one, never a part."""
    beside = path.with_name(path.name + ".part")
    descriptor = open_anew(beside)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    beside.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Bring the names of a folder's files to the disk."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def open_anew(path: Path) -> int:
    """Descriptor of a new file (mode 0600) in place of whatever is there: a link is removed, never followed."""
    path.unlink(missing_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
