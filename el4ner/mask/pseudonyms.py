"""What stands in a masked place: the tag of its type, or a pseudonym that only the holder of a key can undo."""

import hmac
import json
import secrets
import stat
from base64 import b32encode
from collections.abc import Mapping
from pathlib import Path

from el4ner.errors import InputError
from el4ner.text.align import fold
from el4ner.text.new_files import write_atomically

TAGS: Mapping[str, str] = {"PER": "PERSON", "LOC": "LOCATION", "ORG": "ORGANISATION"}
"""Tags of types that have another one than their own name."""
_CODE = 8
"""Least length of a pseudonym's code; each character is 5 bits of the HMAC."""


def tag(type_: str) -> str:
    """The tag of a type in brackets: ``[PERSON]``."""
    return f"[{TAGS.get(type_, type_)}]"


class Pseudonyms:
    """Gives a surface the same pseudonym wherever the same key is used: ``[PERSON-K7Q2M4XA]``.

    Its code follows from the key, the type and the surface (HMAC-SHA256), so it says nothing of the surface to whoever lacks
    the key. Surfaces that differ in case, width or white space alone share one.

    Args:
        path: of the key file (JSON, mode 0600); it holds the surfaces as well, and must be kept apart from masked texts.

    Attributes:
        surfaces: by pseudonym, as first written; what is put back.

    Raises:
        InputError: the file is no key file, or others may read it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key, self.surfaces = _read(path) if path.exists() else (secrets.token_bytes(32), {})
        self._folded = {name: fold(surface)[0] for name, surface in self.surfaces.items()}

    def __call__(self, surface: str, tag: str) -> str:
        """The pseudonym, with a tag in brackets at its beginning; it is remembered for the key file."""
        folded, beginning = fold(surface)[0], tag.rstrip("]")
        code = b32encode(hmac.digest(self._key, f"{tag}\0{folded}".encode(), "sha256")).decode()
        names = (f"{beginning}-{code[:size]}]" for size in range(_CODE, len(code)))
        name = next(name for name in names if self._folded.get(name, folded) == folded)
        self._folded[name] = folded
        self.surfaces.setdefault(name, surface)
        return name

    def save(self) -> None:
        """Write the key file."""
        content = {"key": self._key.hex(), "surfaces": self.surfaces}
        write_atomically(self._path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def _read(path: Path) -> tuple[bytes, dict[str, str]]:
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise InputError(f"key file {path}: others may read it; chmod 600 it, or take a new key if it was seen")
    try:
        content = json.loads(path.read_bytes())
        key, surfaces = bytes.fromhex(content["key"]), dict(content["surfaces"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no key file; name another one, which will be made") from error
    if len(key) < 16 or not all(isinstance(surface, str) for surface in surfaces.values()):
        raise InputError(f"{path} is no key file; name another one, which will be made")
    return key, surfaces
