"""A server on loopback that plays from a script: answers, delays and every kind of failure.

    with ScriptedServer(answer=lambda body: completion("hello"), script=[status(429, retry_after="0")]) as server:
        HttpMember(server.config(), backoff_s=0.01)

The script's replies are used up first, one a request that asks for an answer; then ``answer`` is asked. Everything received is
kept. It passes for vLLM unless it is given other pages (``imitations.py``). Requests of one token, by which a member finds out
what is there, are answered out of the script.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

MODEL = "scripted"
ANSWERING = ("/v1/chat/completions", "/v1/completions", "/api/chat")
"""Paths that give an answer."""


@dataclass(frozen=True)
class Reply:
    """What the server sends. ``cut``: the connection breaks in mid-body; ``delay_s``: seconds before the first byte."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    cut: bool = False


@dataclass(frozen=True)
class Received:
    """A request as it came: method, path, headers in lower case, and the JSON body (None for GET)."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


def completion(
    text: str | None,
    finish_reason: str = "stop",
    logprobs: Sequence[Mapping[str, float]] | None = None,
    delay_s: float = 0.0,
    cut: bool = False,
    tokens: int = 3,
    prompt_tokens: int = 11,
) -> Reply:
    """A chat completion. ``logprobs``: per position, token to log-probability, the generated token first."""
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": finish_reason,
    }
    if logprobs is not None:
        choice["logprobs"] = {"content": [_position(tokens) for tokens in logprobs]}
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": tokens, "total_tokens": prompt_tokens + tokens}
    return Reply(json.dumps({"choices": [choice], "usage": usage}).encode(), delay_s=delay_s, cut=cut)


def status(code: int, message: str = "", retry_after: str | None = None, location: str | None = None) -> Reply:
    """An error or a redirect, with an OpenAI-like error body."""
    headers = {"Retry-After": retry_after, "Location": location}
    body = json.dumps({"error": {"message": message, "type": "Error", "code": code}}).encode()
    return Reply(body, code, {name: value for name, value in headers.items() if value is not None})


def overflow(echo: str = "") -> Reply:
    """The refusal of a prompt that is too long."""
    return status(400, f"This model's maximum context length is 128 tokens. However, you requested 900. {echo}")


def page(content: Any) -> Reply:
    """A page of JSON."""
    return Reply(json.dumps(content).encode())


def first_token(body: Any) -> Reply:
    """The answer to a request of one token, with a count of the words that were read."""
    return completion("1", "length", tokens=1, prompt_tokens=words_in(body))


def words_in(body: Any) -> int:
    """The words of a request."""
    texts = [body["prompt"]] if "prompt" in body else [message["content"] for message in body["messages"]]
    return sum(len(text.split()) for text in texts)


def garbage(body: bytes = b"<html>it works</html>") -> Reply:
    """A reply with status 200 that is no completion."""
    return Reply(body)


class ScriptedServer:
    """The server; use it in a ``with`` block.

    Args:
        answer: from a request's body to the reply, once the script is used up.
        script: replies to the first chat requests, in order of arrival.
        models: what ``/v1/models`` lists: name to ``root``.
        metrics: what ``/metrics`` gives, one page a request, the last one again and again; none: it is not found.
        owner: what it calls itself in ``/v1/models``.
        pages: further pages, each from the request's body to the reply.
        first: the answer to a request of one token.

    Attributes:
        received: all requests, in order of arrival.
        most_at_once: most requests for an answer that were under way together.
    """

    def __init__(
        self,
        answer: Callable[[Any], Reply] = lambda body: completion("fine"),
        script: Iterable[Reply] = (),
        models: Mapping[str, str | None] | None = None,
        metrics: Sequence[str] = (),
        owner: str = "vllm",
        pages: Mapping[str, Callable[[Any], Reply]] | None = None,
        first: Callable[[Any], Reply] = first_token,
    ) -> None:
        self.received: list[Received] = []
        self.most_at_once = 0
        self._answer = answer
        self._script = list(script)
        self._models = {MODEL: None} if models is None else models
        self._metrics = list(metrics)
        self._owner = owner
        self._pages = pages or {}
        self._first = first
        self._under_way = 0
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.server_address[1]

    @property
    def endpoint(self) -> str:
        """The base URL for a member."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def asked(self) -> list[Received]:
        """The requests for an answer among those received; the others find out what is there."""
        return [request for request in self.received if _asks(request)]

    def reply(self, request: Received) -> Reply:
        """The reply to a request; called from the server's threads."""
        with self._lock:
            self.received.append(request)
            if request.path in self._pages:
                return self._pages[request.path](request.body)
            if request.path == "/v1/models":
                return page({"data": [{"id": m, "root": r, "owned_by": self._owner} for m, r in self._models.items()]})
            if request.path == "/metrics" and self._metrics:
                return Reply((self._metrics.pop(0) if self._metrics[1:] else self._metrics[0]).encode())
            if request.path not in ANSWERING:
                return status(404)
            if _asks(request) and self._script:
                return self._script.pop(0)
        return self._answer(request.body) if _asks(request) else self._first(request.body)

    def enter(self, step: int) -> None:
        """Count a request that begins (+1) or ends (-1)."""
        with self._lock:
            self._under_way += step
            self.most_at_once = max(self.most_at_once, self._under_way)


def _asks(request: Received) -> bool:
    if request.path not in ANSWERING or request.body is None:
        return False
    options = request.body.get("options", {})
    return 1 not in (request.body.get("max_tokens"), options.get("num_predict"))


class _Server(ThreadingHTTPServer):
    request_queue_size = 256
    """Clients that send everything at once are not turned away."""


def _position(tokens: Mapping[str, float]) -> dict[str, Any]:
    top = [{"token": token, "logprob": value, "bytes": list(token.encode())} for token, value in tokens.items()]
    return top[0] | {"top_logprobs": top}


def _handler(server: ScriptedServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # head and body go in two pieces, and each reply would take 40 ms

        def do_GET(self) -> None:
            self._serve(None)

        def do_POST(self) -> None:
            self._serve(json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0")))))

        def log_message(self, format: str, *args: object) -> None:
            pass

        def _serve(self, body: Any) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Received(self.command, self.path, headers, body)
            server.enter(+1)
            try:
                reply = server.reply(request)
                time.sleep(reply.delay_s)
            finally:
                server.enter(-1)
            try:
                self._send(reply)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def _send(self, reply: Reply) -> None:
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(reply.body)))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body[: len(reply.body) // 2] if reply.cut else reply.body)
            self.wfile.flush()
            self.close_connection = self.close_connection or reply.cut

    return Handler
