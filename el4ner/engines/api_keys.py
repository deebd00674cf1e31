"""The API key of a server, for the server and for who asks it: from the environment, or from a file of mode 0600."""

import os
import stat
from pathlib import Path

from el4ner.errors import ConfigError


def api_key(variable: str | None, file: str | None) -> str | None:
    """The key for a server whose members name the environment variable ``variable``; None if they name none.

    Raises:
        ConfigError: the variable is not set and there is no file, or the file is empty or open to others.
    """
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if key:
        return key
    if file is None:
        raise ConfigError(
            f"environment variable {variable} (api_key_env) is not set, and there is no serving.api_key_file"
        )
    return _read(Path(file))


def _read(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot read the API key file {path} ({type(error).__name__}); create it with mode 0600"
        ) from None
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError(f"the API key file {path} is open to others; chmod 600 it")
    if not key or any(character.isspace() for character in key):
        raise ConfigError(
            f"the API key file {path} holds no key on one line; write one, for instance with openssl rand"
        )
    return key
