"""The API key of a server, for the server and for who asks it: from the environment, never from a file or an argument."""

import os

from el4ner.errors import ConfigError


def api_key(variable: str | None) -> str | None:
    """The key for a server whose members name the environment variable ``variable``; None if they name none.

    Raises:
        ConfigError: the variable is not set.
    """
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ConfigError(f"environment variable {variable} (api_key_env) is not set; set it to the server's API key")
    return key
