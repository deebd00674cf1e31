"""Start, status and stop against processes that behave as vLLM's do: faults, kills, strangers, runs twice."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from el4ner.config import load_config
from el4ner.engines.api_keys import api_key
from el4ner.errors import ConfigError
from el4ner.serve import __main__ as serve
from el4ner.serve.control import status
from el4ner.serve.logs import reason
from el4ner.serve.processes import Identity, end_session, identify, session_processes
from el4ner.serve.state import state_folder_of
from tests.serve.conftest import Member, write
from tests.serve.models import PUBLISHED, save_adapter

pytestmark = pytest.mark.slow
FAKE = str(Path(__file__).parent / "fake")
ROOT = str(Path(__file__).parents[2])
QWEN = PUBLISHED["Qwen3-0.6B"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def box(tmp_path: Path, member: Member, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Writes a configuration of two members whose servers are stand-ins; ends whatever it left running."""
    monkeypatch.setenv("PYTHONPATH", f"{FAKE}{os.pathsep}{ROOT}")
    monkeypatch.setenv("KEY", "secret-key")
    monkeypatch.setenv("EL4NER_VLLM_PYTHON", sys.executable)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = tmp_path / "box.yaml"

    def make() -> Path:
        a, b = (member(name, "Qwen3-0.6B", port=free_port(), concurrency=2) for name in "ab")
        return write(made, a, b)

    yield make
    if made.exists():
        serve.main(["stop", str(made)])


def start(path: Path, *options: str) -> int:
    return serve.main(["start", str(path), "--gpus", "80GiB", *options])


def until(condition: Callable[[], bool], seconds: float = 400) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def processes(path: Path) -> dict[str, Identity]:
    state = state_folder_of(path).read()
    return {} if state is None else {server.name: server.process for server in state.servers if server.process}


def test_start_twice_kill_one_stop(box: Callable[..., Path], capsys: pytest.CaptureFixture[str]):
    path = box()
    assert start(path) == 0
    assert capsys.readouterr().out.endswith("ready\n")
    first = processes(path)
    assert set(first) == {"a", "b"} and all(len(session_processes(process)) == 2 for process in first.values())
    assert "secret-key" not in "".join(file.read_text() for file in state_folder_of(path).path.iterdir())
    assert start(path) == 0
    assert "running already" in capsys.readouterr().out
    assert processes(path) == first

    os.kill(first["a"].pid, signal.SIGKILL)
    until(lambda: processes(path).get("a", first["a"]) != first["a"])
    until(lambda: serve.main(["status", str(path)]) == 0)
    assert session_processes(first["a"]) == []
    assert [server.restarts for server, _ in status(load_config(path), path)] == [1, 0]

    second = processes(path)
    assert serve.main(["stop", str(path)]) == 0
    assert all(session_processes(process) == [] for process in second.values())
    assert serve.main(["status", str(path)]) == 3
    assert serve.main(["stop", str(path)]) == 0


def test_a_server_that_hangs_is_started_again(box: Callable[..., Path]):
    path = box()
    assert start(path, "--hang-s", "4") == 0
    first = processes(path)
    for process in session_processes(first["b"]):
        os.kill(process, signal.SIGSTOP)
    until(lambda: processes(path).get("b", first["b"]) != first["b"])
    until(lambda: serve.main(["status", str(path)]) == 0)
    found = [server for server, _ in status(load_config(path), path)]
    assert [server.restarts for server in found] == [0, 1]
    assert session_processes(first["b"]) == []
    assert processes(path)["a"] == first["a"]


def test_a_server_that_dies_ends_the_start_with_its_reason(
    box: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("FAKE_FAULT", "1")
    assert start(path := box()) == 1
    out = capsys.readouterr().out
    assert "a: failed (ended with exit code 1: ValueError: Free memory on device" in out
    assert "nvidia-smi" in out
    assert processes(path) == {}


def test_other_settings_are_refused_while_servers_run(box: Callable[..., Path], capsys: pytest.CaptureFixture[str]):
    path = box()
    assert start(path) == 0
    path.write_text(path.read_text().replace("context: 2048", "context: 1024"))
    assert start(path) == 2
    assert "stop them first" in capsys.readouterr().err


def test_servers_outlive_a_killed_supervisor_until_they_are_stopped(box: Callable[..., Path]):
    path = box()
    assert start(path) == 0
    left = processes(path)
    state = state_folder_of(path).read()
    assert state is not None
    os.kill(state.supervisor.pid, signal.SIGKILL)
    until(lambda: not state.supervisor.alive())
    assert all(process.alive() for process in left.values())
    assert serve.main(["stop", str(path)]) == 0
    assert all(session_processes(process) == [] for process in left.values())


def test_a_taken_port_is_told_and_its_owner_left_alone(box: Callable[..., Path], capsys: pytest.CaptureFixture[str]):
    path = box()
    port = int(load_config(path).members[0].endpoint.split(":")[2].split("/")[0])  # type: ignore[union-attr]
    with socket.create_server(("127.0.0.1", port)):
        assert start(path) == 1
    assert f"port {port} is taken" in capsys.readouterr().out


def test_an_adapter_without_effect_is_no_ready_member(
    box: Callable[..., Path], member: Member, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    path = box()
    adapter = save_adapter(path.parent / "adapter", QWEN, ["q_proj"])
    port = free_port()
    write(path, member("n", "Qwen3-0.6B", port=port, concurrency=2, adapter=str(adapter)))
    monkeypatch.setenv("FAKE_DEAD_ADAPTERS", "1")
    assert start(path) == 1
    assert "adapter n answers exactly as its base" in capsys.readouterr().out
    monkeypatch.delenv("FAKE_DEAD_ADAPTERS")
    assert start(path) == 0


def test_a_stranger_under_an_old_process_id_is_not_touched():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        now = identify(process.pid)
        assert now is not None and now.alive() and session_processes(now) == [process.pid]
        for other in (Identity(now.pid, now.started - 1, now.boot), Identity(now.pid, now.started, "another boot")):
            assert not other.alive() and session_processes(other) == []
            assert end_session(other) and process.poll() is None
        os.kill(process.pid, signal.SIGSTOP)
        assert end_session(now, patience_s=5)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("pid", [0, 1, -1, True, "1", 2.0])
def test_a_damaged_state_never_names_a_group_of_processes(pid: Any):
    """Of the ids of groups, 0 is this very session; the state is called damaged instead of acted upon."""
    with pytest.raises(ValueError, match="no process"):
        Identity(pid, 1, "boot")


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    assert api_key(None) is None
    with pytest.raises(ConfigError, match=r"environment variable NO_SUCH_KEY \(api_key_env\) is not set"):
        api_key("NO_SUCH_KEY")
    monkeypatch.setenv("NO_SUCH_KEY", "from-environment\n")
    assert api_key("NO_SUCH_KEY") == "from-environment"


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("x\npython: No module named 'vllm'", "install vLLM"),
        (
            "torch.OutOfMemoryError: CUDA out of memory. Tried\nRuntimeError: Engine core initialization failed.",
            "kv_tokens",
        ),
        ("api_server.py: error: unrecognized arguments: --x", "supported version"),
        ("OSError: [Errno 98] Address already in use", "has the port"),
        (
            "WARNING 11-21 Found ulimit of 1024; this may cause errors like `OSError: Too many open files`",
            "wrote no error",
        ),
    ],
)
def test_reasons(log: str, expected: str):
    assert expected in reason(log)
