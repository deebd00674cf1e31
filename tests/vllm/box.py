"""Tiny models on vLLM servers of this machine, configurations over them, and the commands that users type."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import yaml

from el4ner.config import load_config
from el4ner.engines.base import Request
from el4ner.engines.http import HttpEngine
from el4ner.serve.processes import Identity, session_processes
from el4ner.serve.state import state_folder_of

ROOT = Path(__file__).parents[2]
LABELS = ROOT / "configs" / "labels" / "per-loc-org.yaml"
POOL = ROOT / "el4ner" / "bundled" / "pool.jsonl"
KEY = "EL4NER_TEST_KEY"
CONTEXT = 512


class Box:
    """Two tiny random models on two servers, and an adapter on one of them; an ensemble of these three.

    ``base`` is a Qwen3 without a chat template. ``glm`` is a GLM-4 whose template refuses system messages and ends turns with a
    sign of its own. ``reader`` is an adapter on it, tuned to answer one question a type.

    Attributes:
        config: the ensemble.
        models: where each member's weights lie, the base's in the case of the adapter.
        adapter: where the reader's adapter lies.
        seen: ids of all server processes that ever ran.
        said: what the last command printed.
    """

    def __init__(self, folder: Path, python: str) -> None:
        self.folder = folder
        self.seen: set[int] = set()
        self.said = ""
        self._env = {**os.environ, "EL4NER_VLLM_PYTHON": python, KEY: "a-key-for-tests", "PYTHONPATH": str(ROOT)}
        self._env["XDG_STATE_HOME"] = os.environ["XDG_STATE_HOME"] = str(folder / "state")
        os.environ[KEY] = self._env[KEY]
        self.models = _save_models(folder)
        self.adapter = self._train_adapter()
        self._ports = dict(zip(self.models, free_ports(len(self.models)), strict=True))
        for places in (self.models, self._ports):
            places["reader"] = places["glm"]
        self.config = self.with_batch("box")

    def with_batch(self, name: str, **batch: Any) -> Path:
        """The ensemble with other settings of the batch."""
        content = {
            "language": "en",
            "labels": str(LABELS),
            "members": [self._member(name) for name in self.models],
            "demonstrations": {"method": "none"},
            "extract": {"few_shot": False},
            "verify": {"mode": "off"},
            "batch": batch,
        }
        return _write(self.folder / f"{name}.yaml", content)

    def serve(self, *words: str) -> int:
        """``python -m el4ner.serve``: its exit code."""
        done = self._command("serve", words[0], str(self.config), *words[1:])
        self.said = done.stdout + done.stderr
        self.processes()
        return done.returncode

    def run(self, config: Path, output: str, *inputs: Path | str) -> dict[str, Any]:
        """``python -m el4ner.run``: its run record, once it has ended with 0 or 1 (some documents failed)."""
        process = self.begin(config, output, *inputs)
        try:
            said, _ = process.communicate(timeout=1500)
        finally:
            process.kill()
        assert process.returncode in (0, 1), said
        return self.record(output)

    def begin(self, config: Path, output: str, *inputs: Path | str) -> "subprocess.Popen[str]":
        """The same in the background."""
        command = [sys.executable, "-m", "el4ner.run", "--config", str(config), "--output", str(self.folder / output)]
        command += ["--quiet", "--input", *map(str, inputs)]
        return subprocess.Popen(command, env=self._env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def record(self, output: str) -> dict[str, Any]:
        """The run record in an output folder."""
        found: dict[str, Any] = json.loads((self.folder / output / "run.json").read_text())
        return found

    def predictions(self, output: str) -> list[dict[str, Any]]:
        """The records in an output folder; none yet is an empty list."""
        path = self.folder / output / "predictions.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def processes(self) -> dict[str, Identity]:
        """The leading process of each server that runs."""
        state = state_folder_of(self.config).read()
        found = {} if state is None else {server.name: server.process for server in state.servers if server.process}
        self.seen.update(pid for process in found.values() for pid in session_processes(process))
        return found

    def restarts(self) -> dict[str, int]:
        """How often each server was started again."""
        state = state_folder_of(self.config).read()
        return {} if state is None else {server.name: server.restarts for server in state.servers}

    def ask(self, name: str, request: Request) -> Any:
        """One answer of a member."""
        return self._with(name, lambda member: member.choose(request) if request.choices else member.generate(request))

    def sent(self, name: str, request: Request) -> dict[str, Any]:
        """What a member sends its server for a request."""
        body: dict[str, Any] = self._with(name, lambda member: member.call(request))[1]
        return body

    def post(self, name: str, path: str = "/v1/chat/completions", **body: Any) -> dict[str, Any]:
        """The reply of a member's server to a bare request."""
        url, headers = f"http://127.0.0.1:{self._ports[name]}{path}", {"Authorization": f"Bearer {os.environ[KEY]}"}
        reply = httpx.post(url, json={"model": name, **body}, headers=headers, timeout=300, trust_env=False)
        assert reply.status_code == 200, reply.text
        found: dict[str, Any] = reply.json()
        return found

    def _with(self, name: str, use: Callable[[HttpEngine], Awaitable[Any]]) -> Any:
        """What a member gives that is made as a job makes it, and closed afterwards."""
        config = next(member for member in load_config(self.config).members if member.name == name)

        async def once() -> Any:
            member = HttpEngine(config)
            try:
                return await use(member)
            finally:
                await member.close()

        return asyncio.run(once())

    def _member(self, name: str) -> dict[str, Any]:
        serve = {"model": str(self.models[name]), "dtype": "float32", "context": CONTEXT, "kv_tokens": 8192}
        serve |= {"extra_args": ["--enforce-eager"]} | ({"adapter": str(self.adapter)} if name == "reader" else {})
        return {
            "name": name,
            "engine": "http",
            "model": name,
            "endpoint": f"http://127.0.0.1:{self._ports[name]}/v1",
            "api_key_env": KEY,
            "role": "mrc" if name == "reader" else "el4ner",
            "prompt_style": "compact",
            "chat_template": "none" if name == "base" else "model",
            "timeout_s": 60,
            "retries": 2,
            "serve": serve,
        }

    def _train_adapter(self) -> Path:
        """A LoRA adapter on ``glm``, tuned by two steps that are long enough to change its answers."""
        some = english_sentences(16)
        (self.folder / "train.jsonl").write_text("".join(json.dumps(sentence) + "\n" for sentence in some))
        content = {
            "model": str(self.models["glm"]),
            "output": str(self.folder / "adapter"),
            "prompt_style": "compact",
            "labels": str(LABELS),
            "data": [{"path": "train.jsonl", "language": "en"}],
            "mrc": {"k": 0},
            "lora": {"rank": 8, "dropout": 0},
            "optimisation": {"max_steps": 2, "learning_rate": 0.1, "warmup": 0, "batch_tokens": 512},
            "evaluation": {"fraction": 0},
            "device": "cpu",
        }
        config = _write(self.folder / "train.yaml", content)
        done = self._command("train", "--task", "mrc", "--config", str(config))
        assert done.returncode == 0, done.stdout + done.stderr
        return self.folder / "adapter"

    def _command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", f"el4ner.{words[0]}", *words[1:]]
        return subprocess.run(command, env=self._env, capture_output=True, text=True, timeout=1500)


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(made.getsockname()[1]) for made in sockets]


def english_sentences(count: int) -> list[dict[str, Any]]:
    """The first English sentences of the bundled pool, labelled."""
    sentences = [json.loads(line) for line in POOL.read_text(encoding="utf-8").splitlines()]
    return [sentence for sentence in sentences if sentence["language"] == "en"][:count]


def write_documents(path: Path, count: int) -> Path:
    """So many of these sentences as documents."""
    rows = [{"id": sentence["id"], "text": sentence["text"]} for sentence in english_sentences(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _save_models(folder: Path) -> dict[str, Path]:
    from tiny_models import ASSISTANT, PAD, USER

    strict = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        f"{{{{ ('{USER}' if m.role == 'user' else '{ASSISTANT}') + m.content + '{PAD}' }}}}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{{{{ '{ASSISTANT}' }}}}{{% endif %}}"
    )
    return {
        "base": _save_model(folder / "base", "qwen3", None),
        "glm": _save_model(folder / "glm", "glm4", strict),
    }


def _save_model(folder: Path, architecture: str, template: str | None) -> Path:
    """A tiny model with that chat template, room for our prompts, and a head size that vLLM's attention has on a CPU."""
    import torch
    from tiny_models import save_tiny
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    save_tiny(architecture, folder)
    config = AutoConfig.from_pretrained(folder, head_dim=32, max_position_embeddings=CONTEXT)
    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=CONTEXT)
    tokenizer.chat_template = template
    (folder / "chat_template.jinja").unlink()
    tokenizer.save_pretrained(folder)
    return folder


def _write(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return path
