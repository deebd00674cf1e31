"""A model behind an OpenAI-compatible chat endpoint, made for vLLM: closed choices are enforced by the engine."""

import hashlib
import json
import os
from collections.abc import Sequence
from typing import Any

from el4ner.config import MemberConfig
from el4ner.errors import ConfigError, MemberError
from el4ner.members.base import Answer, Choice, Request, Usage
from el4ner.members.choice_probs import Position, choice_log_probs
from el4ner.members.endpoint import Endpoint, GarbageError, RetryPolicy
from el4ner.members.guard import check_endpoint
from el4ner.members.neutralise import KNOWN_SPECIALS, neutralise

TOP_LOGPROBS = 20
"""Alternatives asked for at each token: the most that vLLM gives unless its max_logprobs is raised."""
CHAT = "/chat/completions"


class VllmMember:
    """A served model. Control tokens in messages are neutralised; the served model's own list is out of reach.

    Args:
        config: engine ``vllm``.
        allow_hosts: hosts besides loopback that documents may be sent to.
        specials: control tokens to neutralise.
        backoff_s: mean pause before the first retry, in seconds; it doubles each time.

    Raises:
        ConfigError: the endpoint is not allowed, or the API key's environment variable is not set.
    """

    def __init__(
        self,
        config: MemberConfig,
        *,
        allow_hosts: Sequence[str] = (),
        specials: Sequence[str] = KNOWN_SPECIALS,
        backoff_s: float = 0.5,
    ) -> None:
        self.name = config.name
        self._config = config
        self._specials = tuple(specials)
        url = check_endpoint(config.name, config.endpoint or "", allow_hosts)
        policy = RetryPolicy(config.retries, backoff_s, config.timeout_s)
        self._endpoint = Endpoint(config.name, url, _api_key(config), config.concurrency, policy)
        self._template_kwargs = {"enable_thinking": config.thinking, **config.chat_template_kwargs}
        self.fingerprint = self._fingerprint(served_root=None)

    async def generate(self, request: Request) -> Answer:
        """Answer in free text, greedily, in at most ``request.max_tokens`` tokens (thoughts included).

        Raises:
            ContextOverflowError: the prompt and its answer do not fit into the context.
            MemberError: the server cannot be reached, refuses, or does not answer in the expected form.
        """
        answer, latency_s = await self._endpoint.post(CHAT, self._body(request), _read_answer)
        usage = Usage(answer.usage.prompt_tokens, answer.usage.answer_tokens, latency_s)
        return Answer(answer.text, answer.finish_reason, usage)

    async def choose(self, request: Request) -> Choice:
        """Choose one of ``request.choices``; the answer is as long as the choices need, whatever ``max_tokens`` says.

        ``log_probs`` are read from the answer's tokens (see ``choice_log_probs``), and None where they do not show.

        Raises:
            ContextOverflowError: the prompt and its answer do not fit into the context.
            MemberError: as for ``generate``, or the answer is none of the choices.
        """
        body = self._body(request) | {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        (answer, positions), latency_s = await self._endpoint.post(CHAT, body, _read_choice)
        label = answer.text.strip()
        if label not in request.choices or answer.finish_reason != "stop":
            reason = (
                "the answer is none of the choices; does the server support structured_outputs (vLLM 0.12 or later)?"
            )
            raise MemberError(self.name, f"stage {request.stage}: {reason}")
        usage = Usage(answer.usage.prompt_tokens, answer.usage.answer_tokens, latency_s)
        return Choice(label, choice_log_probs(request.choices, positions) if positions else None, usage)

    async def check(self, deadline_s: float = 30.0) -> None:
        """Readiness: the model is served and completes one token within the deadline (a health page may lie).

        The served weights' path, where the server tells it, becomes part of the fingerprint: call it before asking.

        Raises:
            MemberError: the model is not served, or does not complete.
        """
        served = await self._endpoint.once("GET", "/models", None, _read_models, deadline_s)
        if self._config.model not in served:
            raise MemberError(self.name, f"model {self._config.model!r} is not served; served are {sorted(served)}")
        self.fingerprint = self._fingerprint(served[self._config.model])
        body = self._common() | {"messages": [{"role": "user", "content": "1"}], "max_tokens": 1}
        await self._endpoint.once("POST", CHAT, body, _read_answer, deadline_s)

    async def close(self) -> None:
        """Close the connections."""
        await self._endpoint.close()

    def _common(self) -> dict[str, Any]:
        return {"model": self._config.model, "temperature": 0, "chat_template_kwargs": self._template_kwargs}

    def _body(self, request: Request) -> dict[str, Any]:
        messages = [
            {"role": message.role, "content": neutralise(message.content, self._specials)}
            for message in request.messages
        ]
        body = self._common() | {"messages": messages, "max_tokens": self._max_tokens(request)}
        constraint = self._structured_outputs(request)
        return body if constraint is None else body | {"structured_outputs": constraint}

    def _max_tokens(self, request: Request) -> int:
        """For choices, one token a byte, a leading space and the end: no tokenizer needs more. Thoughts come on top."""
        if not request.choices:
            return request.max_tokens
        longest = max(len(choice.encode()) for choice in request.choices) + 2
        return longest + request.max_tokens if self._config.thinking else longest

    def _structured_outputs(self, request: Request) -> dict[str, Any] | None:
        """The engine's constraint on the answer (vLLM's ``structured_outputs`` field); None for free text."""
        if self._config.constrain and request.choices:
            return {"choice": list(request.choices)}
        return None

    def _fingerprint(self, served_root: str | None) -> str:
        config = self._config
        content = [
            "vllm",
            config.model,
            config.revision,
            served_root,
            config.constrain,
            self._template_kwargs,
            sorted(self._specials),
        ]
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _api_key(config: MemberConfig) -> str | None:
    if config.api_key_env is None:
        return None
    key = os.environ.get(config.api_key_env, "").strip()
    if not key:
        raise ConfigError(f"member {config.name}: environment variable {config.api_key_env} (api_key_env) is not set")
    return key


def _read_answer(reply: Any) -> Answer:
    return _read_choice(reply)[0]


def _read_choice(reply: Any) -> tuple[Answer, list[Position]]:
    """The answer of a chat completion and its token log-probabilities (empty where there are none)."""
    try:
        choice = reply["choices"][0]
        text, finish_reason = choice["message"]["content"], choice["finish_reason"]
    except (KeyError, IndexError, TypeError) as error:
        raise GarbageError("is no chat completion") from error
    if finish_reason not in ("stop", "length"):
        raise GarbageError("ends with an unknown finish_reason")
    if not isinstance(text, str):
        if finish_reason == "stop":
            raise GarbageError("holds no answer; if the model thinks, switch thinking off or raise max_answer_tokens")
        text = ""
    return Answer(_without_thoughts(text), finish_reason, _read_usage(reply)), _read_positions(choice)


def _read_usage(reply: Any) -> Usage:
    usage = reply.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    return Usage(int(counts.get("prompt_tokens") or 0), int(counts.get("completion_tokens") or 0))


def _read_positions(choice: Any) -> list[Position]:
    try:
        return [
            Position(item["token"], {x["token"]: float(x["logprob"]) for x in (*item["top_logprobs"], item)})
            for item in choice["logprobs"]["content"]
        ]
    except (KeyError, TypeError, ValueError):
        return []


def _read_models(reply: Any) -> dict[str, str | None]:
    """Served model names, each with the path of its weights where the server tells it."""
    try:
        return {str(model["id"]): model.get("root") for model in reply["data"]}
    except (KeyError, TypeError, AttributeError) as error:
        raise GarbageError("is no list of models") from error


def _without_thoughts(text: str) -> str:
    """The answer after the thoughts, for servers that do not split them off themselves."""
    return text.rpartition("</think>")[2].lstrip() if "</think>" in text else text
