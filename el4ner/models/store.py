"""Where models lie on this machine: one folder each, a record of its files and their hashes, one writer at a time."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from el4ner.errors import ModelError
from el4ner.text.files import load_json

RECORD = "el4ner-model.json"
MODEL, RUN, SAFETENSORS, CARD = "model.gguf", "run.gguf", "safetensors", "README.md"
"""In a model's folder: the file as published, the one to run if that is another, the folder for Transformers, the card."""
Watch = Callable[[int], None]
"""Is told of bytes that are done."""
CHUNK = 1 << 20


@dataclass(frozen=True)
class InstalledFile:
    """Size and sha256 that a file must have."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Installed:
    """What is known of an installed model.

    Attributes:
        source: where it came from, for reading.
        files: path inside its folder to what that file must be.
    """

    name: str
    source: str
    files: dict[str, InstalledFile] = field(default_factory=dict)

    @property
    def sha256(self) -> str | None:
        """Of the published GGUF file, where there is one."""
        return self.files[MODEL].sha256 if MODEL in self.files else None


def root() -> Path:
    """The folder of all models: the environment's EL4NER_MODELS, else ``~/.local/share/el4ner/models``."""
    named = os.environ.get("EL4NER_MODELS")
    base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return Path(named).expanduser().resolve() if named else base / "el4ner" / "models"


def model_folder(name: str) -> Path:
    """The folder of one model."""
    return root() / name


def installed(name: str) -> Installed | None:
    """The record of a model, None if it is not installed (or not wholly).

    Raises:
        ModelError: the record is damaged.
    """
    path = model_folder(name) / RECORD
    try:
        data = load_json(path)
        return Installed(
            name, str(data["source"]), {str(key): InstalledFile(**kept) for key, kept in data["files"].items()}
        )
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ModelError(f"{path} is damaged; remove the folder {path.parent} and get the model again") from None


def installed_names() -> list[str]:
    """Names of all that is installed, sorted."""
    return sorted(path.parent.name for path in root().glob(f"[!.]*/{RECORD}"))


def work_folder(name: str) -> Path:
    """Where a model is put together before it appears, on the same file system; what a cut left is found there again."""
    return root() / f".{name}.part"


def publish(name: str, source: str, paths: Iterable[str]) -> None:
    """Move files and folders from the work folder to the model's, each in one step, and the record after them.

    Args:
        name: the model.
        source: where it came from.
        paths: names inside the work folder.
    """
    work, place = work_folder(name), model_folder(name)
    place.mkdir(parents=True, exist_ok=True)
    before = installed(name)
    files = dict(before.files) if before else {}
    for top in paths:
        for path in sorted(p for p in [work / top, *(work / top).rglob("*")] if p.is_file()):
            files[path.relative_to(work).as_posix()] = InstalledFile(
                path.stat().st_size, _digest(path, lambda _: None, sync=True)
            )
        (work / top).replace(place / top)
    _write_record(Installed(name, source, files))


def check_ours(name: str) -> None:
    """Refuse to touch a folder that was not made here.

    Raises:
        ModelError: the model's folder has no record, and holds what no cut installation leaves.
    """
    ours = {RECORD, MODEL, RUN, SAFETENSORS, CARD}
    if (
        not (model_folder(name) / RECORD).exists()
        and model_folder(name).exists()
        and {p.name for p in model_folder(name).iterdir()} - ours
    ):
        raise ModelError(f"{model_folder(name)} is there, but not from el4ner; move it away, or give its path as model")


def forget(name: str) -> None:
    """Take away what is installed under a name; the record first, so that a cut leaves no half of it."""
    (model_folder(name) / RECORD).unlink(missing_ok=True)
    if model_folder(name).is_dir():
        shutil.rmtree(model_folder(name))


def damaged(record: Installed, watch: Watch = lambda _: None) -> list[Path]:
    """The files of an installed model that are missing or not what they were."""
    place = model_folder(record.name)

    def is_whole(path: Path, kept: InstalledFile) -> bool:
        return path.is_file() and path.stat().st_size == kept.size and sha256_of(path, watch) == kept.sha256

    return [place / name for name, kept in record.files.items() if not is_whole(place / name, kept)]


def sha256_of(path: Path, watch: Watch = lambda _: None) -> str:
    """The sha256 of a file, as hexadecimal digits."""
    return _digest(path, watch, sync=False)


def _digest(path: Path, watch: Watch, *, sync: bool) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if sync:
            os.fsync(file.fileno())
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            watch(len(chunk))
    return digest.hexdigest()


@contextmanager
def lock(name: str, say: Callable[[str], None] = lambda _: None) -> Iterator[Path]:
    """Be the only process that writes this model; gives its empty or left-over work folder, and waits for others.

    Raises:
        OSError: the folder of models cannot be written.
    """
    root().mkdir(parents=True, exist_ok=True)
    held = FileLock(root() / f".{name}.lock")
    try:
        held.acquire(blocking=False)
    except Timeout:
        say(f"{name}: another process is at it; waiting")
        held.acquire()
    try:
        work_folder(name).mkdir(exist_ok=True)
        yield work_folder(name)
    finally:
        held.release()


def check_space(what: str, folder: Path, needed: int) -> None:
    """Refuse what does not fit.

    Raises:
        ModelError: fewer than ``needed`` bytes are free where ``folder`` is.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ModelError(
            f"{what} needs {needed / 1e6:,.0f} MB, but {free / 1e6:,.0f} MB are free in {folder.parent}; make room, or let "
            "the environment variable EL4NER_MODELS name a folder on another disk"
        )


def _write_record(record: Installed) -> None:
    content = {**asdict(record), "sha256": record.sha256}
    temporary = work_folder(record.name) / RECORD
    temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    _digest(temporary, lambda _: None, sync=True)
    temporary.replace(model_folder(record.name) / RECORD)
