"""The bill of materials and the hashed constraints say what there is, and nothing of where it came from."""

import hashlib
import json
import re
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
import hash_constraints  # noqa: E402
import sbom  # noqa: E402

PINNED = hash_constraints.read_pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))


def test_the_bill_is_valid_and_the_same_twice(capsys: pytest.CaptureFixture[str]):
    assert sbom.main(["--validate"]) == 0
    content = capsys.readouterr().out
    assert sbom.main([]) == 0 and capsys.readouterr().out == content
    assert sbom.invalid(content.replace('"library"', '"book"')) is not None


def test_the_bill_names_what_is_installed_and_what_ships():
    bill = sbom.bill()
    by_name = {component["name"]: component for component in bill["components"]}
    assert by_name["pydantic-core"]["version"] == version("pydantic-core")
    assert {"numpy", "httpx", "torch", "adapters/qwen2.5-coder-0.5b", "embedder"} <= set(by_name)
    assert "pytest" not in by_name
    (pool,) = by_name["pool.jsonl"]["components"]
    assert pool["hashes"][0]["content"] == hashlib.sha256((sbom.BUNDLED / "pool.jsonl").read_bytes()).hexdigest()
    refs = {component["bom-ref"] for component in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    assert {edge["ref"] for edge in bill["dependencies"]} == refs
    assert all(set(edge.get("dependsOn", ())) <= refs for edge in bill["dependencies"])


def test_extras_are_in_the_bill_where_they_are_asked_for():
    assert "pytest" in {component["name"] for component in sbom.bill(["test"])["components"]}


def test_every_constraint_but_pytorch_has_a_hash_and_no_address_is_written():
    content = (ROOT / "constraints-hashed.txt").read_text(encoding="utf-8")
    hashed = hash_constraints.read_pins(content)
    assert set(hashed) == set(PINNED) and all(hashed.values())
    assert len(PINNED) > 80 and not any(name == "torch" for name, _ in PINNED)
    rest = re.sub(r"^\S+==\S+ \\\n|^    --hash=sha256:[0-9a-f]{64}( \\)?\n", "", content, flags=re.MULTILINE)
    assert rest == hash_constraints.HEAD


def test_hashes_of_other_platforms_are_kept_while_the_version_is_the_same():
    def report(name: str, number: str, digit: str) -> hash_constraints.Pins:
        item = {
            "metadata": {"name": name, "version": number},
            "download_info": {"archive_info": {"hashes": {"sha256": digit * 64}}},
        }
        return hash_constraints.hashes_in(json.loads(json.dumps({"install": [item]})))

    pins = [("Py_Thing", "2.0")]
    there = hash_constraints.written(pins, [report("py-thing", "2.0", "b")])
    both = hash_constraints.written(pins, [hash_constraints.read_pins(there), report("py-thing", "2.0", "a")])
    assert both.endswith(f"Py_Thing==2.0 \\\n    --hash=sha256:{'a' * 64} \\\n    --hash=sha256:{'b' * 64}\n")
    assert hash_constraints.read_pins(both) == {("Py_Thing", "2.0"): {"a" * 64, "b" * 64}}
    with pytest.raises(ValueError, match=r"no hash of Py_Thing==2\.0"):
        hash_constraints.written(pins, [report("py-thing", "1.0", "a")])
