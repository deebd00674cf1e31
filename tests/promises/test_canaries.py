"""Text stays where it belongs: a canary through success and failures; what was printed, written and started is searched."""

import json
import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from scripted_server import Reply, ScriptedServer, completion, garbage, status

from tests.engines.tiny_gguf import write_tiny_gguf

ROOT = Path(__file__).parents[2]
CANARY = "Zanzibarqua"
TEXT = f"Mrs {CANARY} lives here."
HOOK = """
import os, sys
def watch(event, args):
    if event in ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.putenv"):
        with open(os.environ["WATCHED"], "a") as log:
            log.write(repr(args) + "\\n")
sys.addaudithook(watch)
"""
ANSWERS = {
    "all is well": lambda body: completion(CANARY),
    "an error that quotes": lambda body: status(500, TEXT),
    "a refusal that quotes": lambda body: status(422, TEXT),
    "an overflow that quotes": lambda body: status(400, f"maximum context length exceeded by: {TEXT}"),
    "no JSON": lambda body: garbage(TEXT.encode()),
    "JSON of another form": lambda body: Reply(json.dumps({"choices": [{"message": TEXT}]}).encode()),
    "an odd end": lambda body: completion(TEXT, finish_reason=TEXT),
    "thinking alone": lambda body: completion(f"<think>{TEXT}"),
    "an answer of another text": lambda body: completion(f"I think that {TEXT} is none of your business. {CANARY}!"),
}


def run(folder: Path, server: ScriptedServer, *more: str, **streams: object) -> "subprocess.CompletedProcess[str]":
    """The command in a process of its own, whose child processes and environment are watched."""
    for name in ("hook", "tmp", "home"):
        (folder / name).mkdir()
    (folder / "hook" / "sitecustomize.py").write_text(HOOK, encoding="utf-8")
    member = {"engine": "http", "model": "scripted", "endpoint": server.endpoint, "retries": 0, "timeout_s": 5}
    labels = [{"name": "PER", "words": {"en": "person"}}]
    tiny = {"name": "tiny", "engine": "local", "model": str(write_tiny_gguf(folder / "tiny.gguf"))}
    config = {"labels": labels, "members": [member | {"name": "m"}, tiny], "batch": {"cache": True, "quorum": 1}}
    (folder / "own.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    lines = [json.dumps({"id": "a", "text": TEXT}), json.dumps({"id": "b", "text": f"{TEXT}\\ud800"}), TEXT]
    (folder / "in.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    env = {
        **os.environ,
        "PYTHONPATH": f"{folder / 'hook'}:{ROOT}",
        "WATCHED": str(folder / "watched"),
        "TMPDIR": str(folder / "tmp"),
        "HOME": str(folder / "home"),
    }
    words = ["--config", folder / "own.yaml", "--input", folder / "in.jsonl", "--output", folder / "out", *more]
    command = [sys.executable, "-m", "el4ner.run", *map(str, words)]
    return subprocess.run(command, env=env, cwd=ROOT, check=False, text=True, **(streams or {"capture_output": True}))


def holders(folder: Path) -> set[str]:
    """Files below a folder that hold the canary, in any case."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    found = {path for path in files if CANARY.lower().encode() in path.read_bytes().lower()}
    return {path.relative_to(folder).as_posix() for path in found}


@pytest.mark.parametrize("name", ANSWERS)
def test_only_the_documented_outputs_hold_text(name: str, tmp_path: Path):
    with ScriptedServer(ANSWERS[name]) as server:
        done = run(tmp_path, server)
    assert done.returncode == 1, done.stderr  # two of the documents cannot be read
    assert CANARY.lower() not in (done.stdout + done.stderr).lower()
    allowed = {"in.jsonl", "out/predictions.jsonl", "out/report.txt", "out/cache/answers.sqlite"}
    assert "in.jsonl" in holders(tmp_path) <= allowed
    assert len((tmp_path / "out" / "predictions.jsonl").read_bytes().splitlines()) == 3
    assert (tmp_path / "watched").stat().st_size > 0  # the environment, and child processes with their arguments
    for path in (tmp_path / "out", *(tmp_path / "out").rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_the_default_run_prints_documents_to_a_terminal_alone(tmp_path: Path):
    with ScriptedServer(ANSWERS["all is well"]) as server:
        ours, theirs = pty.openpty()
        run(tmp_path, server, stdout=theirs, stderr=subprocess.DEVNULL)
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:  # the other side is closed
            pass
    assert CANARY.encode() in shown


def test_documents_are_printed_into_a_file_where_that_is_asked_for(tmp_path: Path):
    with ScriptedServer(ANSWERS["all is well"]) as server:
        assert CANARY in run(tmp_path, server, "--show", "1").stdout
