"""An engine whose model stands behind a server: vLLM, llama.cpp, Ollama, or any that is OpenAI-compatible."""

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from el4ner.config import MemberConfig
from el4ner.engines.allowed_hosts import check_endpoint
from el4ner.engines.api_keys import api_key
from el4ner.engines.base import Answer, Choice, Request
from el4ner.engines.circuit_breaker import CircuitBreaker
from el4ner.engines.endpoint import Endpoint, RetryPolicy
from el4ner.engines.metrics import PATH, ServerCounts
from el4ner.engines.servers.connect import connect_server, split_endpoint
from el4ner.engines.servers.connection import ConnectedServer, Connection
from el4ner.engines.servers.single_call import SingleCallClient
from el4ner.engines.special_tokens import KNOWN_SPECIAL_TOKENS, special_tokens_in
from el4ner.errors import MemberError
from el4ner.models.resolve import tokenizer_folder

METRICS_S = 5.0
"""Longest wait for the server's counters; a run neither waits for them nor fails without them."""
logger = logging.getLogger(__name__)


class HttpEngine:
    """A served model. What the server is, and can do, is found out at ``check`` or before the first request.

    Control tokens in messages are escaped: the common ones, those that the server tells of, and the model's own where
    its folder is at hand (``serve.model``).

    Args:
        config: engine ``http``.
        allow_hosts: hosts besides loopback that documents may be sent to.
        backoff_s: mean pause before the first retry, in seconds; it doubles each time.
        circuit_breaker: shared by the members of one ensemble; None: this one is on its own.
        report: gets what the server counted between the first request and ``close``, where it tells.

    Raises:
        ConfigError: the endpoint is not allowed, or there is no API key where one is named.
    """

    def __init__(
        self,
        config: MemberConfig,
        *,
        allow_hosts: Sequence[str] = (),
        backoff_s: float = 0.5,
        circuit_breaker: CircuitBreaker | None = None,
        report: Callable[[ServerCounts], None] | None = None,
    ) -> None:
        self.name = config.name
        self._config = config
        own = special_tokens_in(tokenizer_folder(config.serve.model)) if config.serve else ()
        root, api = split_endpoint(check_endpoint(config.name, config.endpoint or "", allow_hosts))
        policy = RetryPolicy(config.retries, backoff_s, config.timeout_s)
        key = api_key(config.api_key_env)
        self._endpoint = Endpoint(config.name, root, key, config.concurrency, policy, circuit_breaker)
        self._connection = Connection(config, self._endpoint, api, tuple(dict.fromkeys((*KNOWN_SPECIAL_TOKENS, *own))))
        self.fingerprint = self._fingerprint(())
        self._report = report
        self._connecting: asyncio.Task[ConnectedServer] | None = None
        self._first_counts: ServerCounts | None = None

    async def generate(self, request: Request) -> Answer:
        """Answer in free text, greedily, in at most ``request.max_tokens`` tokens (thoughts included).

        Raises:
            ContextOverflowError: the prompt and its answer do not fit into the context.
            MemberError: the server cannot be reached, refuses, or does not answer in the expected form.
        """
        return await (await self._server()).client.generate(request)

    async def choose(self, request: Request) -> Choice:
        """Choose one of ``request.choices``; the answer is as long as the choices need, whatever ``max_tokens`` says.

        Raises:
            ContextOverflowError: the prompt and its answer do not fit into the context.
            MemberError: as for ``generate``, or the answer is none of the choices.
        """
        return await (await self._server()).client.choose(request)

    async def call(self, request: Request) -> tuple[str, dict[str, Any]]:
        """What is sent for a request: the path below the server's root, and the body.

        Raises:
            MemberError: the server cannot be reached, or needs several calls for an answer (llama.cpp).
        """
        server = await self._server()
        if not isinstance(server.client, SingleCallClient):
            raise MemberError(self.name, f"{server.kind} is asked in several calls")
        return server.client.dialect.path, server.client.dialect.body(request)

    async def check(self, deadline_s: float = 30.0) -> None:
        """Readiness: the model is served and completes one token within the deadline (a health page may lie).

        What tells the served model from others becomes part of the fingerprint: call it before asking.

        Raises:
            MemberError: the model is not served, or does not complete.
        """
        self._connecting = asyncio.create_task(self._open(deadline_s))
        server = await self._server()
        self.fingerprint = self._fingerprint((server.kind, *server.identity))

    async def close(self) -> None:
        """Report what the server counted, and close the connections."""
        try:
            first = self._first_counts
            last = await self._read_counts() if first else None
            if first and last and self._report:
                self._report(last.since(first))
        finally:
            if self._connecting is not None:
                self._connecting.cancel()
            await self._endpoint.close()

    async def _server(self) -> ConnectedServer:
        """What is known of the server; found out once, and again after a failure."""
        if self._connecting is None or _failed(self._connecting):
            self._connecting = asyncio.create_task(self._open(None))
        return await asyncio.shield(self._connecting)

    async def _open(self, deadline_s: float | None) -> ConnectedServer:
        server = await connect_server(replace(self._connection, deadline_s=deadline_s))
        for note in server.notes:
            _say(self.name, note)
        if self._report is not None and server.kind == "vLLM":
            self._first_counts = await self._read_counts()
        return server

    async def _read_counts(self) -> ServerCounts | None:
        page = await self._endpoint.page(PATH, METRICS_S)
        return None if page is None or "vllm:" not in page else ServerCounts.read(page)

    def _fingerprint(self, server: tuple[Any, ...]) -> str:
        config = self._config
        content = [
            "http",
            config.model,
            server,
            config.constrain,
            config.thinking,
            config.chat_template,
            config.chat_template_kwargs,
            sorted(self._connection.special_tokens),
        ]
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _failed(connecting: asyncio.Task[ConnectedServer]) -> bool:
    return connecting.done() and (connecting.cancelled() or connecting.exception() is not None)


@cache
def _say(member: str, note: str) -> None:
    """Once a process: a job makes its members twice, to check them and to run."""
    logger.warning("member %s: %s", member, note)


__all__ = ["HttpEngine"]
