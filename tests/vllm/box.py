"""A folder with configurations over one set of servers, and the commands that users type."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from el4ner.config import bundled_path, load_config, read_yaml
from el4ner.serving.processes import Identity, family
from el4ner.serving.state import folder_of

ROOT = Path(__file__).parents[2]
MEMBERS = ("opt", "bloom", "qwen3")
KEY = "EL4NER_TEST_KEY"


class Box:
    """The starter members on three servers of this machine, and ``ner``, an adapter on the third.

    Attributes:
        config: what is served: three members and the adapter.
        three: the same servers for the ensemble of the three members alone.
        local: the three members in this process, in float32.
        models: where each member's weights lie.
        seen: ids of all server processes that ever ran.
        said: what the last command printed.
    """

    def __init__(self, folder: Path, ports: Sequence[int], python: str) -> None:
        self.folder, self.ports = folder, ports
        # Copies, so that both engines have the same weights even where new ones are published meanwhile.
        self.models = {
            name: Path(shutil.copytree(bundled_path(f"bundled:models/{name}"), folder / name)) for name in MEMBERS
        }
        self.models["ner"] = save_adapter(folder / "adapter", self.models["qwen3"])
        self.seen: set[int] = set()
        self.said = ""
        self._env = {**os.environ, "EL4NER_VLLM_PYTHON": python, KEY: "a-key-for-tests", "PYTHONPATH": str(ROOT)}
        os.environ[KEY] = self._env[KEY]
        self.config = self._write("served", self._members(["ner"]))
        self.three = self._write("three", self._members([]))
        self.local = self._write("local", self._local_members())

    def with_batch(self, name: str, **batch: Any) -> Path:
        """The three members with other settings of the batch, and requests that give up soon."""
        members = [member | {"timeout_s": 60, "retries": 2} for member in self._members([])]
        return self._write(name, members, batch)

    def serve(self, *words: str) -> int:
        """``python -m el4ner.serve``: its exit code."""
        command = [sys.executable, "-m", "el4ner.serve", words[0], str(self.config), *words[1:]]
        done = subprocess.run(command, env=self._env, capture_output=True, text=True, timeout=1500)
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
        config = load_config(self.config)
        state = folder_of(config, self.config).read()
        found = {} if state is None else {server.name: server.process for server in state.servers if server.process}
        self.seen.update(pid for process in found.values() for pid in family(process))
        return found

    def restarts(self) -> dict[str, int]:
        """How often each server was started again."""
        state = folder_of(load_config(self.config), self.config).read()
        return {} if state is None else {server.name: server.restarts for server in state.servers}

    def _members(self, adapters: Sequence[str]) -> list[dict[str, Any]]:
        members = read_yaml(ROOT / "configs" / "starter-vllm.yaml")["members"]
        for member, port in zip(members, self.ports, strict=True):
            member["endpoint"] = f"http://127.0.0.1:{port}/v1"
            member["api_key_env"] = KEY
            member["serve"] = member["serve"] | {"model": str(self.models[member["name"]])}
        base = members[-1]
        for name in adapters:
            serve = base["serve"] | {"adapter": str(self.models[name])}
            members.append(base | {"name": name, "model": name, "serve": serve})
        return members  # type: ignore[no-any-return]

    def _local_members(self) -> list[dict[str, Any]]:
        members = [m for m in read_yaml(ROOT / "configs" / "starter.yaml")["members"] if m["name"] in self.models]
        return [member | {"model": str(self.models[member["name"]]), "dtype": "float32"} for member in members]

    def _write(self, name: str, members: list[dict[str, Any]], batch: dict[str, Any] | None = None) -> Path:
        content = read_yaml(ROOT / "configs" / "starter-vllm.yaml")
        content["members"] = members
        content["batch"] |= batch or {}
        content["serving"] = {"state": str(self.folder / "state"), "hang_s": 30, "ready_s": 900, "restarts": 5}
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False))
        return path


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(made.getsockname()[1]) for made in sockets]


def save_adapter(folder: Path, base_folder: Path) -> Path:
    """A LoRA adapter on a model, with random weights large enough to change every answer."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(7)
    base = AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "down_proj"]
    tuned = get_peft_model(base, LoraConfig(r=8, lora_alpha=16, target_modules=targets, task_type="CAUSAL_LM"))
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    tuned.save_pretrained(folder)
    return folder
