"""The folder of a served configuration: nobody else reads it, and a planted link is never written through."""

import os
import stat
import sys
from pathlib import Path

import pytest

from el4ner.errors import ConfigError, InputError
from el4ner.serve.launch import Launch, start_process
from el4ner.serve.processes import identify
from el4ner.serve.state import State, StateFolder, open_private


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def state() -> State:
    me = identify(os.getpid())
    assert me is not None
    return State("c.yaml", "hash", me)


def test_a_folder_and_files_that_exist_are_closed_to_others(tmp_path: Path):
    folder = StateFolder(tmp_path / "state")
    folder.path.mkdir()
    folder.path.chmod(0o777)
    log = folder.log("a")
    log.write_text("old\n")
    log.chmod(0o666)
    folder.make()
    folder.write(state())
    with open_private(log, os.O_APPEND) as stream:
        stream.write(b"new\n")
    assert [mode(path) for path in (folder.path, folder.path / "state.json", log)] == [0o700, 0o600, 0o600]
    assert log.read_text() == "old\nnew\n"
    assert folder.read() == state()


@pytest.mark.parametrize("place", range(40, 400, 37))
def test_a_state_with_one_changed_digit_is_damaged(tmp_path: Path, place: int):
    """Its numbers say which processes are ended."""
    folder = StateFolder(tmp_path / "state")
    folder.make()
    folder.write(state())
    path = folder.path / "state.json"
    content = path.read_text()
    digits = [at for at, character in enumerate(content) if character.isdigit()]
    at = digits[place % len(digits)]
    path.write_text(content[:at] + str((int(content[at]) + 1) % 10) + content[at + 1 :])
    with pytest.raises(InputError, match="is damaged"):
        folder.read()


def test_a_link_is_not_written_through(tmp_path: Path):
    folder = StateFolder(tmp_path / "state")
    folder.make()
    precious = tmp_path / "precious"
    precious.write_text("keep")
    for name in ("state.json.new", "a.log", "lock"):
        (folder.path / name).symlink_to(precious)
    folder.write(state())
    with pytest.raises(OSError, match="symbolic links"):
        start_process(Launch("a", [sys.executable, "-c", ""], dict(os.environ), "127.0.0.1", 1, folder.log("a")))
    with pytest.raises(OSError, match="symbolic links"), folder.lock():
        pass
    assert precious.read_text() == "keep"


def test_a_folder_that_is_a_link_is_refused(tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "state").symlink_to(tmp_path / "real")
    with pytest.raises(ConfigError, match=r"is a link or belongs to another user; set XDG_STATE_HOME"):
        StateFolder(tmp_path / "state").make()
