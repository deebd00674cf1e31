"""A llama.cpp server in this process, on a loopback port that only this process has the key of."""

import os
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from el4ner.engines.gguf_header import GgufHeader
from el4ner.environment import pip_install
from el4ner.errors import ModelError

SLOTS = 4
"""Requests that one model answers at once; each has its own share of the context's memory."""
_PROMPT_CACHE_MIB = 256
"""Memory for beginnings of prompts that no slot holds any more."""
_starting = threading.Lock()


@dataclass(frozen=True)
class LocalServer:
    """A running server: its address, its key, and what keeps it alive."""

    url: str
    key: str
    handle: Any


def start_server(path: Path, header: GgufHeader, context: int) -> LocalServer:
    """Load a model and serve it with all cores; it ends when nothing refers to it any more.

    Args:
        path: the GGUF file.
        header: of that file.
        context: tokens of the longest prompt with its answer.

    Raises:
        ModelError: llama.cpp is not installed, or cannot load the file.
    """
    try:
        import xllamacpp
    except ImportError as error:
        raise ModelError(
            f"engine local needs llama.cpp for GGUF models; install it: {pip_install('xllamacpp')}"
        ) from error
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * min(context, header.context or context)
    params.cache_ram_mib = _PROMPT_CACHE_MIB
    for share in (params.cpuparams, params.cpuparams_batch):
        share.n_threads, share.poll = (
            cores(),
            0,
        )  # waiting threads sleep: spinning ones take the cores from other programs
    params.hostnames, params.port, params.api_keys = ["127.0.0.1"], 0, [key := secrets.token_urlsafe(24)]
    params.ui = params.endpoint_slots = False
    params.verbosity = -1
    try:
        with _starting:
            server = xllamacpp.Server(params)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ModelError(f"llama.cpp cannot load {path} ({type(error).__name__}); get or convert it again") from error
    return LocalServer(server.listening_address, key, server)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


__all__ = ["SLOTS", "LocalServer", "cores", "start_server"]
