"""Start one server's process, its output going to its log."""

import contextlib
import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from el4ner.errors import ConfigError, ModelError
from el4ner.serve.processes import Identity, identify
from el4ner.serve.state import open_private

LOG_BYTES = 20_000_000
"""A log that has grown beyond this is set aside (one old log is kept) when its server starts again."""


NICE = 15
"""How far servers on the CPU step back for other programs. Their processes wait for one another by looking again and again,
so that they always seem busy: on two cores the job that asks them got a tenth of the time that it needed."""


@dataclass(frozen=True)
class Launch:
    """How one server is started. The key is in ``env``, so that this is never printed or stored; ``nice``: on the CPU."""

    name: str
    words: Sequence[str]
    env: Mapping[str, str]
    host: str
    port: int
    log: Path
    nice: bool = False

    def __repr__(self) -> str:
        return f"Launch({self.name})"


def check_port(launch: Launch) -> None:
    """Refuse a port that another program listens on.

    Raises:
        ConfigError: it is taken.
    """
    session_processes = socket.AF_INET6 if ":" in launch.host else socket.AF_INET
    with socket.socket(session_processes, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections are only dying down is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((launch.host, launch.port))
        except OSError:
            raise ConfigError(
                f"member {launch.name}: port {launch.port} is taken by another program; end it or change the endpoint"
            ) from None


def start_process(launch: Launch) -> "tuple[subprocess.Popen[bytes], Identity]":
    """Start a server in a session of its own, so that all its processes can be found and ended together.

    Raises:
        ModelError: the program cannot be started.
    """
    if launch.log.exists() and launch.log.stat().st_size > LOG_BYTES:
        launch.log.replace(launch.log.with_suffix(".log.old"))
    with open_private(launch.log, os.O_APPEND) as log:
        try:
            process = subprocess.Popen(
                list(launch.words), env=dict(launch.env), stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise ModelError(
                f"member {launch.name}: cannot start {launch.words[0]} ({error.strerror}); name an interpreter that has "
                "vLLM: EL4NER_VLLM_PYTHON"
            ) from None
    if launch.nice:
        _step_back(process.pid)
    identity = identify(process.pid)
    assert identity is not None  # it is our child and has not been waited for
    return process, identity


def _step_back(pid: int) -> None:
    """Lower the priority of a process just started, and, where Linux shares the CPU out by session, that of its session."""
    with contextlib.suppress(OSError):  # it ended already, or may not be touched: it runs as it is
        os.setpriority(os.PRIO_PROCESS, pid, NICE)
        Path(f"/proc/{pid}/autogroup").write_text(f"{NICE}\n")
