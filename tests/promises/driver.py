"""A whole run in a surrounding that would have it talk to others; for the sandbox.

    python driver.py FOLDER

Members are a server on this machine that redirects elsewhere now and then, and a model in this process; then the same server,
named ``localhost``. The environment names proxies, and a ``.netrc`` that holds a password for every host.
"""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
from scripted_server import Reply, ScriptedServer, completion, status  # noqa: E402

from tests.engines.tiny_gguf import write_tiny_gguf  # noqa: E402

ELSEWHERE = "http://192.0.2.1:3128"


def main(folder: Path) -> int:
    """Run; returns the exit code of the first run, and writes that of the second and what the server got to ``told.json``."""
    (folder / ".netrc").write_text("default login somebody password sesame\n", encoding="utf-8")
    (folder / ".netrc").chmod(0o600)
    turns = itertools.count()

    def answer(body: object) -> Reply:
        elsewhere = f"{ELSEWHERE}/v1/chat/completions"
        return status(307, location=elsewhere) if next(turns) % 3 == 2 else completion("none")

    with ScriptedServer(answer) as server:
        there = {"name": "server", "engine": "http", "model": "scripted", "endpoint": server.endpoint, "timeout_s": 5}
        tiny = {"name": "tiny", "engine": "local", "model": str(write_tiny_gguf(folder / "tiny.gguf"))}
        named = there | {"endpoint": f"http://localhost:{server.port}/v1", "retries": 0}
        code = run(folder, "out", [there, tiny])
        told = {"named": run(folder, "named", [named]), "headers": [sorted(asked.headers) for asked in server.received]}
    (folder / "told.json").write_text(json.dumps(told), encoding="utf-8")
    return code


def run(folder: Path, output: str, members: list[dict[str, object]]) -> int:
    """Run an ensemble over six documents; returns the exit code."""
    labels = [{"name": "LOC", "words": {"en": "location"}}]
    config = {"labels": labels, "members": members, "verify": {"mode": "off"}, "batch": {"quorum": 1}}
    (folder / "own.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    lines = [json.dumps({"id": str(n), "text": f"Text {n} is from Bexley."}) + "\n" for n in range(6)]
    (folder / "in.jsonl").write_text("".join(lines), encoding="utf-8")
    words = ["--config", folder / "own.yaml", "--input", folder / "in.jsonl", "--output", folder / output]
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"), ELSEWHERE)
    env = {**os.environ, **proxies, "HOME": str(folder), "NETRC": str(folder / ".netrc"), "no_proxy": ""}
    command = [sys.executable, "-m", "el4ner.run", *map(str, words)]
    return subprocess.run(command, env=env, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
