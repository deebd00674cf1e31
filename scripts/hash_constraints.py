"""constraints-hashed.txt: the versions of constraints.txt with the SHA-256 of the files that pip would install here.

    .venv/bin/python scripts/hash_constraints.py [--output constraints-hashed.txt] [PIP_ARGUMENT ...]

pip says what it would take from the index that it is set to (``pip install --dry-run --report``); nothing is installed. Hashes
of other platforms and of other versions of Python that the file holds already are kept where the version is still the same,
so that running this on each of them gives a file for all. No address is written: a hash holds wherever the file comes from.

PyTorch is left out: its CPU and CUDA builds have one version and different files (scripts/cpu_torch.sh chooses).

To install from it: pip install --require-hashes --no-deps -r constraints-hashed.txt, and then PyTorch and el4ner itself.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LEFT_OUT = frozenset({"torch"})
HEAD = "# constraints.txt with hashes; written by scripts/hash_constraints.py. To be used with --require-hashes and --no-deps.\n"
_LINE = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)((?:\s+(?:\\\s+)?--hash=sha256:[0-9a-f]{64})*)\s*$", re.MULTILINE)
_HASH = re.compile(r"[0-9a-f]{64}")

Pins = dict[tuple[str, str], set[str]]
"""Hashes by name and version."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: pip's where pip fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "constraints-hashed.txt", metavar="FILE")
    options, pip = parser.parse_known_args(arguments)
    pins = read_pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    earlier = read_pins(options.output.read_text(encoding="utf-8")) if options.output.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        wanted, report = Path(folder, "pins.txt"), Path(folder, "report.json")
        wanted.write_text("".join(f"{name}=={version}\n" for name, version in pins), encoding="utf-8")
        dry = ["install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps", "--report", str(report), *pip]
        done = subprocess.run([sys.executable, "-m", "pip", *dry, "-r", str(wanted)], check=False)
        if done.returncode:
            return done.returncode
        found = hashes_in(json.loads(report.read_text(encoding="utf-8")))
    options.output.write_text(written(pins, [earlier, found]), encoding="utf-8")
    return 0


def read_pins(content: str) -> Pins:
    """The pinned versions of a constraints file, with their hashes if it has any; PyTorch left out."""
    joined = content.replace("\\\n", " ")
    found = {(name, version): set(_HASH.findall(hashes)) for name, version, hashes in _LINE.findall(joined)}
    return {pin: hashes for pin, hashes in found.items() if pin[0] not in LEFT_OUT}


def hashes_in(report: Mapping[str, Any]) -> Pins:
    """The hash of each file in a report of pip."""
    items = [(item["metadata"], item["download_info"]["archive_info"]["hashes"]) for item in report["install"]]
    return {(data["name"], data["version"]): {hashes["sha256"]} for data, hashes in items}


def written(pins: Iterable[tuple[str, str]], sources: Sequence[Pins]) -> str:
    """The file: each pin with all its hashes; names of packages are compared as the index does.

    Raises:
        ValueError: a pin has no hash.
    """
    known: Pins = {}
    for source in sources:
        for (name, version), hashes in source.items():
            known.setdefault((_normalised(name), version), set()).update(hashes)
    lines = [HEAD]
    for name, version in pins:
        hashes = sorted(known.get((_normalised(name), version), ()))
        if not hashes:
            raise ValueError(f"pip gave no hash of {name}=={version}")
        lines.append(" \\\n".join([f"{name}=={version}", *(f"    --hash=sha256:{hash_}" for hash_ in hashes)]) + "\n")
    return "".join(lines)


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main())
