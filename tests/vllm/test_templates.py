"""Unusual templates on real servers: none at all, and one without a system role whose turns end with a sign of its own.

The starter's third member with another template than its own: what is asked and how answers end is what counts here.
"""

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tokenizers import Tokenizer

from el4ner.config import bundled_path, load_config
from el4ner.members.base import Message, Request
from el4ner.members.http import HttpMember
from el4ner.prompts.formats import answer_format
from el4ner.starter.tokenizers import ASSISTANT, PAD, USER
from tests.vllm.box import ROOT, free_ports
from tests.vllm.test_answers import ask

pytestmark = pytest.mark.vllm
TEXT = "Mira Solberg opened a bakery in Tromso."
STRICT = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    f"{{{{ ('{USER}' if m.role == 'user' else '{ASSISTANT}') + m.content + '{PAD}' }}}}{{% endfor %}}"
    f"{{% if add_generation_prompt %}}{{{{ '{ASSISTANT}' }}}}{{% endif %}}"
)


def with_template(folder: Path, template: str | None) -> Path:
    """A model whose chat template is another one, or none."""
    shutil.copytree(bundled_path("bundled:models/qwen3"), folder)
    for path in folder.glob("chat_template.*"):
        path.unlink()
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(
        json.dumps(settings | ({"chat_template": template} if template else {}))
    )
    return folder


@pytest.fixture(scope="module")
def config(vllm_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Both models on two servers, up and answering."""
    folder = tmp_path_factory.mktemp("templates")
    content = yaml.safe_load((ROOT / "configs" / "starter-vllm.yaml").read_text())
    serve = {"dtype": "float32", "context": 512, "kv_tokens": 8192, "extra_args": ["--enforce-eager"]}
    models = {"base": with_template(folder / "base", None), "strict": with_template(folder / "strict", STRICT)}
    content["members"] = [
        {
            "name": name, "engine": "http", "model": name, "endpoint": f"http://127.0.0.1:{port}", "prompt_style": "compact",
            "answer_format": "lines", "chat_template": "none" if name == "base" else "model",
            "serve": serve | {"model": str(models[name])},
        }
        for name, port in zip(models, free_ports(2), strict=True)
    ]  # fmt: skip
    content["verify"]["member"] = "base"
    content["serving"] = {"state": str(folder / "state")}
    path = folder / "templates.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True))
    environment = {**os.environ, "EL4NER_VLLM_PYTHON": vllm_python, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "el4ner.serve"]
    try:
        subprocess.run([*command, "start", str(path), "--cpu"], env=environment, check=True, timeout=1500)
        yield path
    finally:
        subprocess.run([*command, "stop", str(path)], env=environment, check=True, timeout=300)


def member(config: Path, name: str, **changes: Any) -> HttpMember:
    settings = next(member for member in load_config(config).members if member.name == name)
    return HttpMember(settings.model_copy(update=changes))


@pytest.mark.parametrize("name", ["base", "strict"])
@pytest.mark.parametrize("form", ["lines", "json", "inline"])
def test_answers_are_held_and_end(config: Path, name: str, form: str):
    listed = answer_format(form).list_form(TEXT)
    messages = (Message("system", "Find names."), Message("user", TEXT))
    asked = Request("extract", messages, 100, copy_of=None if listed else TEXT, list_of=listed)
    answer = ask(member(config, name), asked)
    assert answer.finish_reason == "stop"
    assert all(mention.surface in TEXT for mention in answer_format(form).read(answer.text, TEXT))


@pytest.mark.parametrize("name", ["base", "strict"])
def test_choices_have_probabilities(config: Path, name: str):
    messages = (Message("system", "What is it?"), Message("user", TEXT))
    choice = ask(member(config, name), Request("classify", messages, 16, choices=("person", "location", "none")))
    assert choice.log_probs is not None
    assert sum(map(math.exp, choice.log_probs.values())) == pytest.approx(1)
    assert choice.label == max(choice.log_probs, key=choice.log_probs.get)


def test_the_end_of_a_turn_is_found_in_the_template(config: Path):
    asked = member(config, "strict")
    ask(asked, Request("extract", (Message("user", TEXT),), 8))
    folder = Path(next(m for m in load_config(config).members if m.name == "strict").serve.model)
    assert asked._opening is not None
    sign = Tokenizer.from_file(str(folder / "tokenizer.json")).token_to_id(PAD)
    assert asked._opening.result().identity[1:] == (False, sign)


def test_a_job_runs_over_both(config: Path, tmp_path: Path):
    command = [
        sys.executable,
        "-m",
        "el4ner.run",
        "--config",
        str(config),
        "--input",
        "-",
        "--output",
        str(tmp_path / "out"),
    ]
    done = subprocess.run([*command, "--quiet"], input=TEXT, text=True, capture_output=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((tmp_path / "out" / "predictions.jsonl").read_text())
    assert record["status"] == "ok" and record["members_answered"] == ["base", "strict"]
