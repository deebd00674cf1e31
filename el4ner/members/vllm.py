"""A model behind an OpenAI-compatible chat endpoint, made for vLLM: closed choices are enforced by the engine."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from el4ner.config import MemberConfig
from el4ner.errors import ContextOverflowError, MemberError
from el4ner.members.base import Answer, Choice, Request
from el4ner.members.choice_probs import Position, choice_log_probs
from el4ner.members.endpoint import Endpoint, RetryPolicy
from el4ner.members.guard import check_endpoint
from el4ner.members.keys import api_key
from el4ner.members.metrics import PATH, ServerCounts
from el4ner.members.neutralise import KNOWN_SPECIALS, neutralise, specials_in
from el4ner.members.outages import Outages
from el4ner.members.replies import read_answer, read_choice, read_models
from el4ner.members.structured import structured_outputs

TOP_LOGPROBS = 20
"""Alternatives asked for at each token: the most that vLLM gives unless its max_logprobs is raised."""
CHAT = "/chat/completions"
METRICS_S = 5.0
"""Longest wait for the server's counters; a run neither waits for them nor fails without them."""


class VllmMember:
    """A served model. Control tokens in messages are neutralised: the common ones, and the model's own where its folder
    is at hand (``serve.model``).

    Args:
        config: engine ``http``.
        allow_hosts: hosts besides loopback that documents may be sent to.
        specials: control tokens to neutralise besides the model's own.
        backoff_s: mean pause before the first retry, in seconds; it doubles each time.
        outages: shared by the members of one ensemble; None: this one is on its own.
        key_file: file with the API key, where the environment variable is not set.
        report: gets what the server counted between the first request and ``close``, where it tells.

    Raises:
        ConfigError: the endpoint is not allowed, or there is no API key where one is named.
    """

    def __init__(
        self,
        config: MemberConfig,
        *,
        allow_hosts: Sequence[str] = (),
        specials: Sequence[str] = KNOWN_SPECIALS,
        backoff_s: float = 0.5,
        outages: Outages | None = None,
        key_file: str | None = None,
        report: Callable[[ServerCounts], None] | None = None,
    ) -> None:
        self.name = config.name
        self._config = config
        own = specials_in(Path(config.serve.model)) if config.serve else ()
        self._specials = tuple(dict.fromkeys((*specials, *own)))
        url = check_endpoint(config.name, config.endpoint or "", allow_hosts)
        policy = RetryPolicy(config.retries, backoff_s, config.timeout_s)
        key = api_key(config.api_key_env, key_file)
        self._endpoint = Endpoint(config.name, url, key, config.concurrency, policy, outages)
        self._template_kwargs = {"enable_thinking": config.thinking, **config.chat_template_kwargs}
        self.fingerprint = self._fingerprint(served_root=None)
        self._report = report
        self._first_counts: asyncio.Task[ServerCounts | None] | None = None

    async def generate(self, request: Request) -> Answer:
        """Answer in free text, greedily, in at most ``request.max_tokens`` tokens (thoughts included).

        Raises:
            ContextOverflowError: the prompt and its answer do not fit into the context.
            MemberError: the server cannot be reached, refuses, or does not answer in the expected form.
        """
        await self._count()
        body = self.body(request)
        try:
            answer, latency_s = await self._endpoint.post(CHAT, body, read_answer)
        except ContextOverflowError:
            # The bound of the answer may be what does not fit: ask again for as much as there is room for.
            del body["max_tokens"]
            answer, latency_s = await self._endpoint.post(CHAT, body, read_answer)
        if answer.finish_reason == "length" and 0 < answer.usage.answer_tokens < request.max_tokens:
            raise ContextOverflowError(self.name, "the context ended before the answer; use smaller windows")
        return replace(answer, usage=replace(answer.usage, latency_s=latency_s))

    async def choose(self, request: Request) -> Choice:
        """Choose one of ``request.choices``; the answer is as long as the choices need, whatever ``max_tokens`` says.

        ``log_probs`` are read from the answer's tokens (see ``choice_log_probs``), and None where they do not show.

        Raises:
            ContextOverflowError: the prompt and its answer do not fit into the context.
            MemberError: as for ``generate``, or the answer is none of the choices.
        """
        await self._count()
        (answer, positions), latency_s = await self._endpoint.post(CHAT, self.body(request), read_choice)
        label = _chosen(request.choices, answer.text, positions)
        if label is None or answer.finish_reason != "stop":
            reason = (
                "the answer is none of the choices; does the server support structured_outputs (vLLM 0.12 or later)?"
            )
            raise MemberError(self.name, f"stage {request.stage}: {reason}")
        usage = replace(answer.usage, latency_s=latency_s)
        return Choice(label, choice_log_probs(request.choices, positions) if positions else None, usage)

    def body(self, request: Request) -> dict[str, Any]:
        """What is sent for a request, as JSON."""
        messages = [
            {"role": message.role, "content": neutralise(message.content, self._specials)}
            for message in request.messages
        ]
        body = self._common() | {"messages": messages, "max_tokens": self._max_tokens(request)}
        config = self._config
        # A thinking model's thoughts are no part of its answer's form; for choices its server has to tell them apart.
        hold = "choices" if config.thinking and config.constrain else config.constrain
        constraint = structured_outputs(request, hold, config.answer_format, self._specials)
        if request.choices:
            body |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        return body if constraint is None else body | {"structured_outputs": constraint}

    async def check(self, deadline_s: float = 30.0) -> None:
        """Readiness: the model is served and completes one token within the deadline (a health page may lie).

        The served weights' path, where the server tells it, becomes part of the fingerprint: call it before asking.

        Raises:
            MemberError: the model is not served, or does not complete.
        """
        served = await self._endpoint.once("GET", "/models", None, read_models, deadline_s)
        if self._config.model not in served:
            raise MemberError(self.name, f"model {self._config.model!r} is not served; served are {sorted(served)}")
        self.fingerprint = self._fingerprint(served[self._config.model])
        body = self._common() | {"messages": [{"role": "user", "content": "1"}], "max_tokens": 1}
        await self._endpoint.once("POST", CHAT, body, read_answer, deadline_s)

    async def close(self) -> None:
        """Report what the server counted, and close the connections."""
        try:
            first = await self._first_counts if self._first_counts else None
            last = await self._read_counts() if first else None
            if first and last and self._report:
                self._report(last.since(first))
        finally:
            await self._endpoint.close()

    async def _count(self) -> None:
        """Read the server's counters once, before the first request."""
        if self._report is not None:
            if self._first_counts is None:
                self._first_counts = asyncio.create_task(self._read_counts())
            await asyncio.shield(self._first_counts)

    async def _read_counts(self) -> ServerCounts | None:
        page = await self._endpoint.page(PATH, METRICS_S)
        return None if page is None or "vllm:" not in page else ServerCounts.read(page)

    def _common(self) -> dict[str, Any]:
        return {"model": self._config.model, "temperature": 0, "chat_template_kwargs": self._template_kwargs}

    def _max_tokens(self, request: Request) -> int:
        """For choices, one token a byte, a leading space and the end: no tokenizer needs more. Thoughts come on top."""
        if not request.choices:
            return request.max_tokens
        longest = max(len(choice.encode()) for choice in request.choices) + 2
        return longest + request.max_tokens if self._config.thinking else longest

    def _fingerprint(self, served_root: str | None) -> str:
        config = self._config
        content = [
            "vllm",
            config.model,
            config.revision,
            served_root,
            config.constrain,
            config.answer_format,
            self._template_kwargs,
            sorted(self._specials),
        ]
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _chosen(choices: Sequence[str], text: str, positions: Sequence[Position]) -> str | None:
    """The choice that was answered; None if it is none of them.

    Some tokenizers put a space between any two tokens that they decode. And where the prompt ends in characters that a
    tokenizer does not know, vLLM gives the prompt back before the answer: the tokens alone then say what was chosen.
    """
    known = {_unspaced(choice): choice for choice in choices}
    spelled = [
        "".join(position.token for position in positions[:count]) for count in (len(positions) - 1, len(positions))
    ]
    return next((known[said] for said in map(_unspaced, (text, *spelled)) if said in known), None)


def _unspaced(text: str) -> str:
    return "".join(text.split())
