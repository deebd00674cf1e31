"""An engine in this process whose weights are a GGUF file: llama.cpp, quantised, any tokenizer, all cores."""

import asyncio
import hashlib
from functools import cached_property
from pathlib import Path

from el4ner.config import MemberConfig
from el4ner.engines.base import Answer, Choice, Request
from el4ner.engines.endpoint import Endpoint, RetryPolicy
from el4ner.engines.gguf_adapter import MERGED_AS, check_adapter, merge_system_message
from el4ner.engines.gguf_header import GgufHeader, read_header
from el4ner.engines.llamacpp import LlamaCppClient
from el4ner.engines.llamacpp_server import LocalServer, start_server
from el4ner.engines.scheduler import RoundRobinScheduler
from el4ner.engines.special_tokens import KNOWN_SPECIAL_TOKENS
from el4ner.errors import ModelError, TemplateError
from el4ner.models.weights import hash_folder
from el4ner.prompts.chat import ChatTemplate
from el4ner.prompts.messages import Message

_CONTEXT = 4096
"""Tokens of the longest prompt with its answer: memory grows with it."""
_PATIENCE = RetryPolicy(retries=0, backoff_s=0.0, timeout_s=3600.0)
"""The server is this process: what fails once fails again."""


class GgufEngine:
    """Answers by llama.cpp; the weights are loaded at the first request.

    Args:
        config: engine ``local``, ``model`` a GGUF file.
        scheduler: shared by the members of this process, so that one computes at a time.

    Raises:
        ModelError: the model is no GGUF file, or the adapter does not fit it.
    """

    def __init__(self, config: MemberConfig, scheduler: RoundRobinScheduler) -> None:
        self.name = config.name
        self._config = config
        self._path = Path(config.model)
        if self._path.is_dir():
            raise ModelError(
                f"member {config.name}: {self._path} is a folder, and engine local runs GGUF files; take the model's GGUF file, "
                "or serve the folder with vLLM (engine: http with a section serve)"
            )
        self._adapter = Path(config.adapter) if config.adapter else None
        self._scheduler = scheduler
        self._header: GgufHeader = read_header(self._path)
        if self._adapter is not None:
            check_adapter(self._adapter, self._header)
        self._loading: asyncio.Task[tuple[LocalServer, Endpoint, LlamaCppClient]] | None = None

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the weights, the adapter and the settings that change answers."""
        adapter = [MERGED_AS, hash_folder(self._adapter)] if self._adapter else []
        parts = ["llama.cpp", self._weights, *adapter, str(self._config.constrain), repr(self._arguments)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    @cached_property
    def _weights(self) -> str:
        with self._path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()

    def check(self) -> None:
        """See that the chat template takes the conversations that members have: a system message, solved turns, a question.

        Raises:
            ModelError: it is broken, or refuses them; the message names the member.
        """
        turns = [Message("system", "1"), Message("user", "1"), Message("assistant", "1"), Message("user", "1")]
        try:
            template = self._template()
            template.render(turns)
        except TemplateError as error:
            raise ModelError(f"member {self.name}: {error}") from error

    async def generate(self, request: Request) -> Answer:
        """Answer in free text, held to its form."""
        model = await self._model()
        async with self._scheduler.slot(self):
            return await model.generate(request)

    async def choose(self, request: Request) -> Choice:
        """Choose one of ``request.choices`` by probability."""
        model = await self._model()
        async with self._scheduler.slot(self):
            return await model.choose(request)

    async def close(self) -> None:
        """End the server and give back its memory."""
        loading, self._loading = self._loading, None
        if loading is None:
            return
        await asyncio.wait({loading})
        if not loading.cancelled() and loading.exception() is None:
            await loading.result()[1].close()

    @property
    def _arguments(self) -> dict[str, object]:
        return {"enable_thinking": self._config.thinking, **self._config.chat_template_kwargs}

    def _template(self) -> ChatTemplate:
        header = self._header
        return ChatTemplate(header.chat_template, header.bos, header.eos, self._arguments, puts_bos=header.puts_bos)

    async def _model(self) -> LlamaCppClient:
        if self._loading is None:
            self._loading = asyncio.create_task(self._load())
        return (await asyncio.shield(self._loading))[2]

    async def _load(self) -> tuple[LocalServer, Endpoint, LlamaCppClient]:
        header, config = self._header, self._config
        path = await asyncio.to_thread(self._file)
        server = await asyncio.to_thread(start_server, path, header, _CONTEXT)
        endpoint = Endpoint(self.name, server.url, server.key, concurrency=64, policy=_PATIENCE)
        template, first = self._template(), header.bos if header.puts_bos else None
        special_tokens = tuple(dict.fromkeys((*KNOWN_SPECIAL_TOKENS, *header.special_tokens)))
        return (
            server,
            endpoint,
            LlamaCppClient(self.name, endpoint, template, special_tokens, first, bool(config.constrain)),
        )

    def _file(self) -> Path:
        """The file to load: the model's, or the one with the adapter merged into it."""
        if self._adapter is None:
            return self._path
        return merge_system_message(self._adapter, self._path, self._header, self._weights)


__all__ = ["GgufEngine"]
