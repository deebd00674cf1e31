"""Faults of real servers in the middle of a job: every document ends with a record or a reason, and the servers come back."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from el4ner.serve.processes import session_processes
from tests.vllm.box import Box, write_documents

pytestmark = pytest.mark.vllm
FEW, MANY = 6, 60


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    """Sentences enough to be in the middle of."""
    return write_documents(tmp_path / "in.jsonl", MANY)


def until(condition: Callable[[], bool], seconds: float = 600, every: float = 0.2) -> float:
    """Seconds until the condition held; looked at so often, since what looks takes the processor from what is waited for."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it did not happen in time"
        time.sleep(every)
    return time.monotonic() - began


def in_the_middle(box: Box, config: Path, output: str, documents: Path, fault: Callable[[], None]) -> None:
    """Run a job, strike when some of its records are written, and let it end."""
    job = box.begin(config, output, documents)
    try:
        until(lambda: len(box.predictions(output)) >= FEW)
        fault()
        struck_at = len(box.predictions(output))
        said, _ = job.communicate(timeout=1200)
    finally:
        job.kill()
    assert job.returncode in (0, 1), said
    assert struck_at < MANY / 2, "the job was over before the fault"


def check_records(box: Box, output: str, documents: Path) -> list[dict[str, Any]]:
    """One record a document, in input order, each ok or with its reason."""
    ids = [json.loads(line)["id"] for line in documents.read_text().splitlines()]
    records = box.predictions(output)
    assert [record["id"] for record in records] == ids
    assert all(record["status"] == "ok" or record["reason"] for record in records)
    return records


def test_the_rest_goes_on_where_a_member_is_killed(box: Box, documents: Path):
    """A quorum of two of three can do without the one that is killed; it is started again meanwhile."""
    before = box.processes()["base"]
    config = box.with_batch("goes-on", quorum=2, windows_in_flight=8)
    in_the_middle(box, config, "killed", documents, lambda: os.kill(before.pid, signal.SIGKILL))
    records = check_records(box, "killed", documents)
    without = [record for record in records if "base" not in record["members_answered"]]
    failed = [record for record in records if record["status"] == "failed"]
    print(f"\nkilled: {len(without)} of {len(records)} records without the member, {len(failed)} failed")
    assert len(failed) < len(records) / 10
    took = until(lambda: box.serve("status") == 0, every=3)
    print(f"killed: back {took:.0f} s after the job's end")
    assert box.restarts()["base"] >= 1 and session_processes(before) == []


def test_a_job_waits_for_a_member_that_hangs_where_the_quorum_needs_it(box: Box, documents: Path):
    """All three must answer: the job stands still until the supervisor has found out and started the server again."""
    before = box.processes()["base"]
    restarts = box.restarts()["base"]
    config = box.with_batch("waits", quorum=3, windows_in_flight=8)

    def hang() -> None:
        for process in session_processes(before):
            os.kill(process, signal.SIGSTOP)

    in_the_middle(box, config, "hung", documents, hang)
    records = check_records(box, "hung", documents)
    failed = [record["reason"] for record in records if record["status"] == "failed"]
    print(f"\nhung: {len(failed)} of {len(records)} failed: {failed[:3]}")
    assert not [reason for reason in failed if "connection" in reason or "no answer within" in reason]
    assert len(failed) < len(records) / 10
    assert box.restarts()["base"] == restarts + 1 and session_processes(before) == []
    assert box.serve("status") == 0


def test_a_killed_engine_takes_its_server_along_and_both_come_back(box: Box):
    """The engine is a process of its own behind the server that listens."""
    leader = box.processes()["glm"]
    (engine,) = [pid for pid in session_processes(leader) if "EngineCore" in Path(f"/proc/{pid}/cmdline").read_text()]
    os.kill(engine, signal.SIGKILL)
    until(lambda: box.processes().get("glm", leader) != leader, every=1)
    took = until(lambda: box.serve("status") == 0, every=3)
    print(f"\nengine killed: all answer again {took:.0f} s after the restart")
    assert session_processes(leader) == []
