"""An OpenAI-compatible server on loopback that plays from a script: answers, delays and every kind of failure.

    with ScriptedServer(answer=lambda body: completion("hello"), script=[status(429, retry_after="0")]) as server:
        VllmMember(server.config(), backoff_s=0.01)

The script's replies are used up first, one a chat request; then ``answer`` is asked. Everything received is kept.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

MODEL = "scripted"


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
) -> Reply:
    """A chat completion. ``logprobs``: per position, token to log-probability, the generated token first."""
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": finish_reason,
    }
    if logprobs is not None:
        choice["logprobs"] = {"content": [_position(tokens) for tokens in logprobs]}
    usage = {"prompt_tokens": 11, "completion_tokens": tokens, "total_tokens": 11 + tokens}
    return Reply(json.dumps({"choices": [choice], "usage": usage}).encode(), delay_s=delay_s, cut=cut)


def status(code: int, message: str = "", retry_after: str | None = None, location: str | None = None) -> Reply:
    """An error or a redirect, with an OpenAI-like error body."""
    headers = {"Retry-After": retry_after, "Location": location}
    body = json.dumps({"error": {"message": message, "type": "Error", "code": code}}).encode()
    return Reply(body, code, {name: value for name, value in headers.items() if value is not None})


def overflow(echo: str = "") -> Reply:
    """The refusal of a prompt that is too long."""
    return status(400, f"This model's maximum context length is 128 tokens. However, you requested 900. {echo}")


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

    Attributes:
        received: all requests, in order of arrival.
        most_at_once: most chat requests that were under way together.
    """

    def __init__(
        self,
        answer: Callable[[Any], Reply] = lambda body: completion("fine"),
        script: Iterable[Reply] = (),
        models: Mapping[str, str | None] | None = None,
        metrics: Sequence[str] = (),
    ) -> None:
        self.received: list[Received] = []
        self.most_at_once = 0
        self._answer = answer
        self._script = list(script)
        self._models = {MODEL: None} if models is None else models
        self._metrics = list(metrics)
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
    def chats(self) -> list[Received]:
        """The chat requests among those received."""
        return [request for request in self.received if request.path.endswith("/chat/completions")]

    def reply(self, request: Received) -> Reply:
        """The reply to a request; called from the server's threads."""
        with self._lock:
            self.received.append(request)
            if request.path == "/v1/models":
                listed = [{"id": name, "root": root} for name, root in self._models.items()]
                return Reply(json.dumps({"data": listed}).encode())
            if request.path == "/metrics" and self._metrics:
                return Reply((self._metrics.pop(0) if self._metrics[1:] else self._metrics[0]).encode())
            if request.path != "/v1/chat/completions":
                return status(404)
            if self._script:
                return self._script.pop(0)
        return self._answer(request.body)

    def enter(self, step: int) -> None:
        """Count a request that begins (+1) or ends (-1)."""
        with self._lock:
            self._under_way += step
            self.most_at_once = max(self.most_at_once, self._under_way)


class _Server(ThreadingHTTPServer):
    request_queue_size = 256
    """Clients that send everything at once are not turned away."""


def _position(tokens: Mapping[str, float]) -> dict[str, Any]:
    top = [{"token": token, "logprob": value, "bytes": list(token.encode())} for token, value in tokens.items()]
    return top[0] | {"top_logprobs": top}


def _handler(server: ScriptedServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve(None)

        def do_POST(self) -> None:
            self._serve(json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0")))))

        def log_message(self, format: str, *args: object) -> None:
            pass

        def _serve(self, body: Any) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            server.enter(+1)
            try:
                reply = server.reply(Received(self.command, self.path, headers, body))
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
