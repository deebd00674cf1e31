"""What an OpenAI-compatible server replied: answers, token log-probabilities, served models."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from el4ner.engines.base import Answer, TokenLogProb, Usage
from el4ner.engines.choice_probs import Position
from el4ner.engines.endpoint import MalformedReplyError


def read_answer(reply: Any) -> Answer:
    """The answer of a chat completion, without thoughts.

    Raises:
        MalformedReplyError: it is no chat completion, or holds no answer.
    """
    return read_choice(reply)[0]


def read_choice(reply: Any) -> tuple[Answer, list[Position]]:
    """The answer of a chat completion and its token log-probabilities (empty where there are none).

    Raises:
        MalformedReplyError: it is no chat completion, or holds no answer.
    """
    try:
        choice = reply["choices"][0]
        text, finish_reason = choice["message"]["content"], choice["finish_reason"]
    except (KeyError, IndexError, TypeError) as error:
        raise MalformedReplyError("is no chat completion") from error
    if finish_reason not in ("stop", "length"):
        raise MalformedReplyError("ends with an unknown finish_reason")
    if not isinstance(text, str):
        if finish_reason == "stop":
            raise MalformedReplyError(
                "holds no answer; if the model thinks, switch thinking off or raise max_answer_tokens"
            )
        text = ""
    tokens = (choice.get("logprobs") or {}).get("content")
    answer = Answer(without_thoughts(text), finish_reason, _read_usage(reply))
    return replace(answer, token_log_probs=_read_token_log_probs(tokens, answer.text)), read_positions(tokens)


def read_completion(reply: Any) -> tuple[Answer, list[Position]]:
    """The answer of a plain completion and its token log-probabilities (empty where there are none).

    Raises:
        MalformedReplyError: it is no completion.
    """
    try:
        choice = reply["choices"][0]
        text, finish_reason = choice["text"], choice["finish_reason"]
    except (KeyError, IndexError, TypeError) as error:
        raise MalformedReplyError("is no completion") from error
    if finish_reason not in ("stop", "length") or not isinstance(text, str):
        raise MalformedReplyError("is no completion")
    return Answer(text, finish_reason, _read_usage(reply)), _read_plain_positions(choice)


def _read_plain_positions(choice: Any) -> list[Position]:
    try:
        found = choice["logprobs"]
        steps = zip(found["tokens"], found["token_logprobs"], found["top_logprobs"], strict=True)
        return [Position(token, {**top, token: max(value, top.get(token, -math.inf))}) for token, value, top in steps]
    except (KeyError, TypeError, ValueError, AttributeError):
        return []


def _read_usage(reply: Any) -> Usage:
    usage = reply.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    return Usage(int(counts.get("prompt_tokens") or 0), int(counts.get("completion_tokens") or 0))


def _read_token_log_probs(tokens: Any, text: str) -> tuple[TokenLogProb, ...]:
    """Bytes and log-probability of each token; none where the tokens do not spell the text, as where one is half a character."""
    try:
        spelled = [(bytes(item["bytes"]), float(item["logprob"])) for item in tokens]
    except (KeyError, TypeError, ValueError):
        return ()
    if not b"".join(piece for piece, _ in spelled).startswith(text.encode(errors="replace")):
        return ()
    return tuple((len(piece), log_prob) for piece, log_prob in spelled)


def read_positions(tokens: Any) -> list[Position]:
    """Token log-probabilities, each with its ``top_logprobs``; empty where there are none."""
    try:
        return [Position(item["token"], _alternatives((*item["top_logprobs"], item))) for item in tokens]
    except (KeyError, TypeError, ValueError):
        return []


def _alternatives(tokens: Iterable[Any]) -> dict[str, float]:
    """Log-probability by what a token says; of several that say the same (a letter, and its byte) the likeliest."""
    found: dict[str, float] = {}
    for token in tokens:
        found[token["token"]] = max(float(token["logprob"]), found.get(token["token"], -math.inf))
    return found


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model that a server lists.

    Attributes:
        names: what requests may call it.
        owner: what the server calls itself: ``vllm``, ``llamacpp``, for Ollama ``library`` or a user's name.
        root: the path of its weights, where the server tells it.
        meta: what else llama.cpp tells of it.
    """

    names: tuple[str, ...]
    owner: str
    root: str | None
    meta: str


def read_models(reply: Any) -> list[ServedModel]:
    """The served models.

    Raises:
        MalformedReplyError: it is no list of models.
    """
    try:
        return [
            ServedModel(
                names=tuple(map(str, (model["id"], *(model.get("aliases") or ())))),
                owner=str(model.get("owned_by")),
                root=model.get("root"),
                meta=json.dumps(model.get("meta"), sort_keys=True),
            )
            for model in reply["data"]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise MalformedReplyError("is no list of models") from error


def without_thoughts(text: str) -> str:
    """The answer after the thoughts, for servers that do not split them off themselves."""
    return text.rpartition("</think>")[2].lstrip() if "</think>" in text else text
