"""What is known about the running servers: one JSON file that the supervisor writes and the other commands read."""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

from el4ner.errors import ConfigError, El4nerError, InputError
from el4ner.serve.processes import Identity
from el4ner.text.files import load_json
from el4ner.text.new_files import write_atomically

Phase = Literal["waiting", "starting", "ready", "resting", "failed", "stopped"]


@dataclass
class ServerState:
    """One server.

    Attributes:
        models: model names that it answers to.
        process: the running process, if any.
        since: seconds of the epoch when it entered its phase.
        reason: why it last died, empty if it never did.
    """

    name: str
    url: str
    models: list[str]
    log: str
    phase: Phase = "waiting"
    process: Identity | None = None
    restarts: int = 0
    since: float = 0.0
    reason: str = ""

    def enter(self, phase: Phase) -> None:
        """Go to another phase."""
        self.phase, self.since = phase, time.time()


@dataclass
class State:
    """All servers of one configuration, and their supervisor; ``wanted`` tells their settings apart from others."""

    configuration: str
    wanted: str
    supervisor: Identity
    servers: list[ServerState] = field(default_factory=list)


class StateFolder:
    """Where state and logs of one configuration lie; mode 0700."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def supervisor_log(self) -> Path:
        """Where the supervisor in the background writes."""
        return self.path / "supervisor.log"

    def log(self, name: str) -> Path:
        """The log of a server."""
        return self.path / f"{name}.log"

    def make(self) -> None:
        """Create it where it is missing, and close it to others.

        Raises:
            ConfigError: it belongs to somebody else, or is a link.
        """
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = self.path.lstat()
        if self.path.is_symlink() or status.st_uid != os.geteuid():
            raise ConfigError(
                f"{self.path} is a link or belongs to another user; set XDG_STATE_HOME to a folder of your own"
            )
        self.path.chmod(0o700)

    def write(self, state: State) -> None:
        """Replace the state file in one step."""
        content = asdict(state)
        write_atomically(self.path / "state.json", json.dumps(content | {"digest": _digest(content)}, indent=1))

    def read(self) -> State | None:
        """The last state; None if nothing was started from here.

        Raises:
            InputError: the file is damaged.
        """
        path = self.path / "state.json"
        try:
            data = load_json(path)
            if data.pop("digest", None) not in (None, _digest(data)):
                raise ValueError("changed")
            servers = [ServerState(**{**item, "process": _identity(item["process"])}) for item in data["servers"]]
            return State(data["configuration"], data["wanted"], Identity(**data["supervisor"]), servers)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path} is damaged ({type(error).__name__}); end its servers by hand, then remove it"
            ) from None

    def forget(self) -> None:
        """Remove the state file; logs stay."""
        (self.path / "state.json").unlink(missing_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only supervisor of this folder; the system frees it however the process ends.

        Raises:
            AlreadyRunningError: another one is.
        """
        self.make()
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AlreadyRunningError(f"servers of this configuration are running already ({self.path})") from None
            yield
        finally:
            os.close(descriptor)


class AlreadyRunningError(El4nerError):
    """A supervisor holds the folder."""


def _digest(content: dict[str, Any]) -> str:
    """Of a state: with a changed number, other processes than the servers would be ended."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def open_private(path: Path, flags: int) -> BinaryIO:
    """A file to write that only its owner can read; a link is not followed.

    Args:
        path: the file; it is made where it is missing.
        flags: further flags of ``open(2)``, for instance ``os.O_APPEND``.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | flags, 0o600)
    os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "wb")


def state_folder_of(path: Path) -> StateFolder:
    """The folder of the configuration at ``path``, under ``$XDG_STATE_HOME`` or ``~/.local/state``."""
    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    return StateFolder(base / "el4ner" / "serving" / f"{path.stem}-{digest}")


def _identity(data: dict[str, object] | None) -> Identity | None:
    return None if data is None else Identity(**data)  # type: ignore[arg-type]
