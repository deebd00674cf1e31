"""Servers on the CPU step back for the job that asks them; those on cards do not."""

import os
import sys
from pathlib import Path

import pytest

from el4ner.serve.launch import NICE, Launch, start_process

SLEEPING = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.mark.parametrize("nice", [False, True])
def test_a_server_on_the_cpu_steps_back(tmp_path: Path, nice: bool):
    own = os.getpriority(os.PRIO_PROCESS, 0)
    launch = Launch("a", SLEEPING, dict(os.environ), "127.0.0.1", 1, tmp_path / "a.log", nice=nice)
    process, _ = start_process(launch)
    try:
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == (max(own, NICE) if nice else own)
        share = Path(f"/proc/{process.pid}/autogroup")
        if share.exists():  # only where the kernel shares the CPU out by session
            assert share.read_text().endswith(f" nice {NICE if nice else 0}\n")
    finally:
        process.kill()
        process.wait()
