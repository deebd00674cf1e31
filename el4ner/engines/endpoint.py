"""JSON over HTTP to one server: bounded concurrency, retries, and errors that hold no text."""

import asyncio
import json
import random
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from functools import cache
from types import MappingProxyType
from typing import Any, TypeVar

import httpx

from el4ner.engines.allowed_hosts import is_loopback
from el4ner.engines.circuit_breaker import WAIT_S, CircuitBreaker
from el4ner.errors import ContextOverflowError, El4nerError, MemberError

ResultT = TypeVar("ResultT")

LONGEST_WAIT_S = 60.0
"""A server that asks for a longer pause than this is given up on."""
MAX_REPLY_BYTES = 8_000_000
"""A longer reply is no answer: a token with twenty alternatives takes about a kilobyte."""
_OVERFLOW = re.compile(r"context[ _](length|size|window)|maximum model length|max_model_len", re.IGNORECASE)
_NO_TEMPLATE = re.compile(r"default chat template is no longer allowed|does not define one", re.IGNORECASE)
_HINTS: Mapping[int, str] = MappingProxyType(
    {
        401: "the API key is missing or wrong; set api_key_env",
        403: "the API key does not allow this; set api_key_env",
        404: "no such path or model; check endpoint, and that model is a served name",
        413: "the request is too large; use smaller windows",
        503: "the server is busy, or is still loading its model",
    }
)


class MalformedReplyError(El4nerError):
    """A reply does not have the form of an answer; its reason names the form, never the content."""


class RefusedError(MemberError):
    """The server refuses what it was asked, and would again.

    Attributes:
        status: of its reply.
        no_template: because its model has no chat template.
    """

    def __init__(self, member: str, reason: str, *, status: int, no_template: bool = False) -> None:
        super().__init__(member, reason)
        self.status = status
        self.no_template = no_template


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How failures that may pass are tried again.

    Attributes:
        retries: further tries after the first.
        backoff_s: mean pause before the first further try; it doubles each time, up to LONGEST_WAIT_S, with jitter.
        timeout_s: longest time of one try, from connecting to the last byte.
    """

    retries: int
    backoff_s: float
    timeout_s: float

    def pause_s(self, tries: int, failure: "Failure") -> float | None:
        """Seconds to wait after ``tries`` tries, at least what the server asked for; None: do not try again."""
        asked_s = failure.pause_s or 0.0
        if not failure.retryable or tries > self.retries or asked_s > LONGEST_WAIT_S:
            return None
        backoff_s = random.uniform(0.5, 1.5) * self.backoff_s * 2.0 ** (tries - 1)
        return max(min(backoff_s, LONGEST_WAIT_S), asked_s)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a try failed: a reason without text, whether another try may help, and the pause that the server wants.

    ``outage``: the server itself seems to be away, whatever it was asked. ``refused``: the status with which it says no.
    """

    reason: str
    retryable: bool
    pause_s: float | None = None
    overflow: bool = False
    outage: bool = False
    refused: int = 0
    no_template: bool = False

    def error(self, member: str) -> MemberError:
        """The error to raise when no further try is made."""
        if self.refused:
            return RefusedError(member, self.reason, status=self.refused, no_template=self.no_template)
        kind = ContextOverflowError if self.overflow else MemberError
        return kind(member, self.reason, retryable=self.retryable)


class Endpoint:
    """The HTTP side of a member.

    It follows no redirect, and takes neither proxy nor ``.netrc`` from the environment: documents go to the checked host and
    nowhere else.

    Args:
        member: name for errors.
        url: checked URL of the server's root (see ``guard.check_endpoint``), without ``/v1`` and without a slash at its end.
        api_key: sent as a bearer token; None for none.
        concurrency: most requests under way at once.
        policy: timeout and retries.
        circuit_breaker: what is known of the other members, and whether this one can be spared; None: it is on its own.
    """

    def __init__(
        self,
        member: str,
        url: str,
        api_key: str | None,
        concurrency: int,
        policy: RetryPolicy,
        circuit_breaker: CircuitBreaker | None = None,
    ) -> None:
        self._member = member
        self._url = url
        self._policy = policy
        self._circuit_breaker = circuit_breaker or CircuitBreaker()
        self._slots = asyncio.Semaphore(concurrency)
        self._client = httpx.AsyncClient(
            headers={"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {api_key}"} if api_key else {}),
            timeout=None,
            follow_redirects=False,
            trust_env=False,
            transport=_transport(url, concurrency),
        )

    async def post(self, path: str, body: Any, read: Callable[[Any], ResultT]) -> tuple[ResultT, float]:
        """What ``read`` makes of the reply, and the seconds that the successful try took.

        Args:
            path: below the root, for instance ``/v1/chat/completions``.
            body: sent as JSON.
            read: from the reply's JSON to the result; raises MalformedReplyError where it has not the expected form.

        Raises:
            ContextOverflowError: the server says that the request does not fit into the model's context.
            RefusedError: the server refuses the request.
            MemberError: any other failure, after the retries that the policy allows.
        """
        return await self._with_retries("POST", path, body, read)

    async def get(self, path: str, read: Callable[[Any], ResultT]) -> ResultT:
        """As ``post``, without a body and without the seconds."""
        return (await self._with_retries("GET", path, None, read))[0]

    async def _with_retries(
        self, method: str, path: str, body: Any, read: Callable[[Any], ResultT]
    ) -> tuple[ResultT, float]:
        tries, began = 0, time.perf_counter()
        failed_at = began
        while True:
            if not self._circuit_breaker.allows_request(self._member):
                raise MemberError(self._member, "its server is down; the others go on without it", retryable=True)
            async with self._slots:
                started = time.perf_counter()
                result = await self._try(method, path, body, read, self._policy.timeout_s)
            tries += 1
            if not isinstance(result, Failure):
                self._circuit_breaker.record_success(self._member)
                return result, time.perf_counter() - started
            now = time.perf_counter()
            pause_s = self._pause_s(tries, result, now - began, now - failed_at)
            failed_at = now
            if pause_s is None:
                raise result.error(self._member)
            await asyncio.sleep(pause_s)

    async def once(
        self, method: str, path: str, body: Any, read: Callable[[Any], ResultT], deadline_s: float
    ) -> ResultT:
        """As ``post``, in one try that ends after ``deadline_s`` seconds, whatever else is under way."""
        result = await self._try(method, path, body, read, deadline_s)
        if isinstance(result, Failure):
            raise result.error(self._member)
        return result

    async def page(self, path: str, deadline_s: float) -> str | None:
        """A page in plain text (``/metrics``), or None where there is none to be had in time."""
        try:
            async with asyncio.timeout(deadline_s):
                reply = await self._exchange("GET", path, None, {})
        except (TimeoutError, httpx.HTTPError):
            return None
        return reply.text if isinstance(reply, _Reply) and reply.status == httpx.codes.OK else None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _pause_s(self, tries: int, failure: Failure, waited_s: float, last_s: float) -> float | None:
        """Seconds to wait before the next try; None: give up, since retries are used up and the member can be spared.

        Args:
            tries: so far.
            failure: of the last one.
            waited_s: since the request began.
            last_s: since the try before failed, or the request began.
        """
        known_down = (
            failure.outage
            and self._circuit_breaker.is_down(self._member)
            and self._circuit_breaker.can_do_without(self._member)
        )
        pause_s = None if known_down else self._policy.pause_s(tries, failure)
        # A server that answered others since the last failure is not away: this one request is what it cannot bear.
        if pause_s is None and failure.outage and not self._circuit_breaker.answered_within(self._member, last_s):
            self._circuit_breaker.record_failure(self._member)
            return WAIT_S if self._circuit_breaker.worth_waiting(self._member, waited_s) else None
        return pause_s

    async def _try(
        self, method: str, path: str, body: Any, read: Callable[[Any], ResultT], timeout_s: float
    ) -> ResultT | Failure:
        content = None if body is None else json.dumps(body).encode("ascii")
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            async with asyncio.timeout(timeout_s):
                reply = await self._exchange(method, path, content, headers)
        except TimeoutError:
            reason = f"no answer within {timeout_s:g} s; raise timeout_s or lower concurrency"
            return Failure(reason, retryable=True, outage=True)
        except httpx.HTTPError as error:
            reason = f"the connection failed ({type(error).__name__}); is the server running?"
            return Failure(reason, retryable=True, outage=True)
        if isinstance(reply, Failure):
            return reply
        if reply.status != httpx.codes.OK:
            return _refusal(reply)
        result = _read(reply, read)
        # A page that every path leads to is no passing fault.
        return (
            replace(result, retryable=False, refused=True) if isinstance(result, Failure) and body is None else result
        )

    async def _exchange(
        self, method: str, path: str, content: bytes | None, headers: Mapping[str, str]
    ) -> "_Reply | Failure":
        """The reply, as long as it may be; nothing that is compressed, since what it holds could be of any length."""
        async with self._client.stream(method, self._url + path, content=content, headers=headers) as response:
            if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
                return Failure("the reply is compressed, though that was not asked for", retryable=False)
            body = bytearray()
            async for part in response.aiter_raw():
                body += part
                if len(body) > MAX_REPLY_BYTES:
                    megabytes = MAX_REPLY_BYTES // 10**6
                    return Failure(f"the reply is longer than {megabytes} MB", retryable=False)
            return _Reply(response.status_code, response.headers, bytes(body))


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def text(self) -> str:
        """The body for looking at, whatever charset it states."""
        return self.body.decode(errors="replace")


def _transport(url: str, concurrency: int) -> httpx.AsyncHTTPTransport:
    """Connections to a server; those to this machine begin at its loopback address, so that none can leave it, whatever
    ``localhost`` is said to be.
    """
    host = httpx.URL(url).host
    source = ("::1" if ":" in host else "127.0.0.1") if is_loopback(host) else None
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=concurrency)
    return httpx.AsyncHTTPTransport(
        verify=_trusted_certificates(), trust_env=False, limits=limits, local_address=source
    )


@cache
def _trusted_certificates() -> ssl.SSLContext:
    """The system's certificates: an in-house authority is installed there."""
    return ssl.create_default_context()


def _read(reply: _Reply, read: Callable[[Any], ResultT]) -> ResultT | Failure:
    try:
        content = json.loads(reply.body)
    except (ValueError, RecursionError):
        return Failure("the reply is not JSON", retryable=True)
    try:
        return read(content)
    except MalformedReplyError as error:
        return Failure(f"the reply {error}", retryable=True)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return Failure("the reply does not have the expected form", retryable=True)


def _refusal(reply: _Reply) -> Failure:
    """The failure that a status other than 200 means; the body may repeat the document and is never quoted."""
    status = reply.status
    if status in (400, 413, 422) and _OVERFLOW.search(reply.text):
        reason = "prompt and answer do not fit into the model's context; use fewer demonstrations or smaller windows"
        return Failure(f"HTTP {status}: {reason}", retryable=False, overflow=True)
    if status == 429 or status >= 500:
        pause_s = _retry_after_s(reply.headers.get("Retry-After"))
        # Also 500: with it vLLM answers what was under way when its engine died, minutes before the server is back.
        reason = f"HTTP {status}: {_HINTS[status]}" if status in _HINTS else f"HTTP {status}"
        return Failure(reason, retryable=True, pause_s=pause_s, outage=status in (500, 502, 503, 504))
    if 300 <= status < 400:
        return Failure(f"HTTP {status}: redirects are not followed; give the final endpoint", retryable=False)
    hint = _HINTS.get(status, "the server refuses the request; see its log")
    no_template = status == 400 and _NO_TEMPLATE.search(reply.text) is not None
    return Failure(f"HTTP {status}: {hint}", retryable=False, refused=status, no_template=no_template)


def _retry_after_s(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or a date; None where it says nothing readable."""
    if value is None:
        return None
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value.strip()):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
