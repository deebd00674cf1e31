"""Documents reach the listed hosts and no other: a whole run in a sandbox whose kernel counts what wants to leave."""

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from .sandbox import ELSEWHERE

HERE = Path(__file__).parent
NAMESPACE = ["unshare", "--map-root-user", "--net", "--mount"]


def sandboxed(report: Path, *command: str) -> dict[str, int]:
    """What the kernel counted while a command ran."""
    words = [*NAMESPACE, sys.executable, str(HERE / "sandbox.py"), str(report), *command]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode in (0, 1), done.stderr
    return {"exit": done.returncode, **json.loads(report.read_text(encoding="utf-8"))}


needs_namespace = pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode != 0,
    reason="this kernel lets us make no network namespace",
)


@needs_namespace
def test_the_sandbox_counts_what_wants_to_leave(tmp_path: Path):
    code = (
        "import socket\n"
        "for family, kind, address in [(2, 1, '192.0.2.1'), (2, 2, '192.0.2.1'), (10, 1, '2001:db8::1')]:\n"
        "    try:\n"
        "        socket.socket(family, kind).connect((address, 9))\n"
        "    except OSError:\n"
        "        pass\n"
    )
    assert sandboxed(tmp_path / "report.json", sys.executable, "-c", code)["left"] >= 3


@needs_namespace
def test_a_whole_run_sends_nothing_elsewhere(tmp_path: Path):
    """Proxies and .netrc in the environment, redirects, and a ``localhost`` that is elsewhere."""
    counted = sandboxed(tmp_path / "report.json", sys.executable, str(HERE / "driver.py"), str(tmp_path))
    assert counted["left"] == 0
    records = [json.loads(line) for line in (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()]
    answered = ["server" in record["members_answered"] for record in records]
    assert len(records) == 6 and any(answered) and not all(answered)  # some were redirected
    told = json.loads((tmp_path / "told.json").read_text(encoding="utf-8"))
    assert told["named"] == (2 if counted["elsewhere"] else 0)
    assert told["headers"] and not any("authorization" in headers for headers in told["headers"])


def test_localhost_that_is_elsewhere_is_not_reached(monkeypatch: pytest.MonkeyPatch):
    """A connection to this machine begins at its loopback address, from which no way leads out."""
    import asyncio

    from el4ner.engines.endpoint import Endpoint, RetryPolicy
    from el4ner.errors import MemberError

    real = socket.getaddrinfo

    def lying(host: str, *rest: object, **more: object) -> object:
        return real(ELSEWHERE if host == "localhost" else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", lying)

    async def ask() -> None:
        endpoint = Endpoint("m", "http://localhost:9", None, 1, RetryPolicy(0, 0.01, 5.0))
        try:
            await endpoint.get("/v1/models", lambda content: content)
        finally:
            await endpoint.close()

    with pytest.raises(MemberError, match="ConnectError"):
        asyncio.run(ask())
