"""Whether a server answers: one token from each of its models; a health page may say yes while the engine hangs."""

import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx


@dataclass(frozen=True)
class Probe:
    """What came of asking. ``answers``: every model completed a token. ``fault``: what no waiting will mend."""

    answers: bool
    fault: str = ""


def probe(url: str, models: list[str], key: str | None, timeout_s: float = 20.0) -> Probe:
    """Ask each model for one token; adapters (all but the first model) must not answer exactly as their base.

    A server that does not listen yet is found out by a bare connection, which costs nothing.
    """
    if not _listens(url):
        return Probe(False)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    limits = httpx.Timeout(timeout_s, connect=2.0)
    try:
        # No proxy of the environment: the servers are on this machine.
        with httpx.Client(headers=headers, timeout=limits, trust_env=False) as client:
            answers = [_first_token(client, url, model) for model in models]
    except httpx.HTTPStatusError as error:
        return Probe(False, _refusal(error.response.status_code))
    except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError):
        return Probe(False)
    for model, answer in zip(models[1:], answers[1:], strict=True):
        if answer == answers[0]:
            return Probe(
                False,
                f"adapter {model} answers exactly as its base: it has no effect; "
                "train it further, or check that its modules belong to this base",
            )
    return Probe(True)


def _listens(url: str) -> bool:
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 80), timeout=2.0).close()
    except OSError:
        return False
    return True


def _first_token(client: httpx.Client, url: str, model: str) -> Any:
    """The log-probabilities of the likeliest first tokens, as they came; of a base model, which knows no chat, plainly."""
    shared = {"model": model, "max_tokens": 1, "temperature": 0}
    chat = {**shared, "messages": [{"role": "user", "content": "1"}], "logprobs": True, "top_logprobs": 5}
    response = client.post(f"{url}/chat/completions", json=chat)
    if response.status_code != httpx.codes.BAD_REQUEST:
        response.raise_for_status()
        return response.json()["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    response = client.post(f"{url}/completions", json={**shared, "prompt": "1", "logprobs": 5})
    response.raise_for_status()
    return response.json()["choices"][0]["logprobs"]["top_logprobs"]


def _refusal(status: int) -> str:
    """Refusals that stay; servers under way answer 429 and 5xx."""
    if status == 429 or status >= 500:
        return ""
    causes = {401: "it refuses the API key; another server may hold the port", 404: "the model is not served there"}
    return causes.get(status, f"it refuses a one-token request with HTTP {status}; see its log")
