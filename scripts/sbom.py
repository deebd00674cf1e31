"""A CycloneDX 1.6 bill of materials (JSON) of an installed el4ner: its packages, and the models that ship with it.

    .venv/bin/python scripts/sbom.py [--extras train ...] [--output sbom.cdx.json] [--validate]

Packages are those that el4ner needs in this environment, as their metadata states them (importlib.metadata), with versions,
licences and what needs what. Adapters and the embedder are components of their own, with the SHA-256 of each file. The
same environment gives the same file: it holds no time, no path and no address of a package index. --validate checks it
against the schema; that needs the package cyclonedx-python-lib.
"""

import argparse
import hashlib
import json
import re
import sys
import uuid
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

import el4ner

BUNDLED = Path(el4ner.__file__).parent / "bundled"
ROOT = "el4ner"
LONGEST_LICENSE = 60
"""Longer ones are the text of a licence, not its name."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, or 2 where the bill is not valid."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extras", nargs="+", default=(), metavar="EXTRA", help="with what these extras need")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where to write it (default: standard output)")
    parser.add_argument("--validate", action="store_true", help="check it against the schema")
    options = parser.parse_args(arguments)
    content = json.dumps(bill(options.extras), ensure_ascii=False, indent=2) + "\n"
    if options.validate and (problem := invalid(content)) is not None:
        print(f"error: the bill is not valid CycloneDX: {problem}", file=sys.stderr)
        return 2
    if options.output is None:
        sys.stdout.write(content)
    else:
        options.output.write_text(content, encoding="utf-8")
    return 0


def bill(extras: Iterable[str] = ()) -> dict[str, Any]:
    """The bill of materials, as CycloneDX's JSON."""
    found = packages(extras)
    (root,) = [component for name, (component, _) in found.items() if name == ROOT]
    models = list(bundled())
    packaged = [component for component, _ in found.values() if component is not root]
    edges = [
        {"ref": c["bom-ref"], "dependsOn": [found[name][0]["bom-ref"] for name in needs]} for c, needs in found.values()
    ]
    edges[0]["dependsOn"] += [model["bom-ref"] for model in models]
    content = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": root | {"type": "application"}},
        "components": [*sorted(packaged, key=lambda component: component["bom-ref"]), *models],
        "dependencies": [*edges, *({"ref": model["bom-ref"]} for model in models)],
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content, sort_keys=True))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "serialNumber": f"urn:uuid:{serial}",
    } | content


def packages(extras: Iterable[str]) -> dict[str, tuple[dict[str, Any], list[str]]]:
    """By normalised name, each package's component and the names of those that it needs; el4ner comes first."""
    found: dict[str, tuple[dict[str, Any], list[str]]] = {}
    waiting = [(ROOT, frozenset(extras))]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        installed = distribution(name)
        needs = dict(_needs(installed, wanted))
        earlier = found.get(name, ({}, []))[1]
        found[name] = (_component(name, installed), sorted({*earlier, *needs}))
        waiting += needs.items()
    return found


def bundled() -> Iterator[dict[str, Any]]:
    """What ships that is no code: each adapter, the embedder and the pool, with the hashes of its files."""
    folders = [*sorted((BUNDLED / "adapters").iterdir()), BUNDLED / "embedder", BUNDLED / "pool.jsonl"]
    for place in folders:
        name = place.relative_to(BUNDLED).as_posix()
        files = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
        parts = [
            {
                "type": "file",
                "name": path.relative_to(BUNDLED).as_posix(),
                "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}],
            }
            for path in files
        ]
        kind = "data" if place.is_file() else "machine-learning-model"
        yield {
            "type": kind,
            "bom-ref": f"bundled:{name}",
            "name": name,
            "version": el4ner.__version__,
            "components": parts,
        }


def invalid(content: str) -> str | None:
    """What is wrong with a bill, or None."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(content)
    return None if problem is None else str(problem)


def _needs(installed: Distribution, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """Names and extras of the packages that one needs here; those that are not installed are left out."""
    for line in installed.requires or ():
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is not None and not any(marker.evaluate({"extra": extra}) for extra in (extras or {""})):
            continue
        name = _normalised(requirement.name)
        try:
            distribution(name)
        except PackageNotFoundError:
            continue
        yield name, frozenset(requirement.extras)


def _component(name: str, installed: Distribution) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{installed.version.replace('+', '%2B')}"
    component = {"type": "library", "bom-ref": purl, "name": name, "version": installed.version, "purl": purl}
    stated = installed.metadata.get("License-Expression")
    if stated:
        return component | {"licenses": [{"expression": stated}]}
    stated = installed.metadata.get("License", "")
    named = [line.rsplit(" :: ", 1)[1] for line in installed.metadata.get_all("Classifier", []) if _is_license(line)]
    named = named or [stated] * (0 < len(stated) < LONGEST_LICENSE)
    return component | ({"licenses": [{"license": {"name": license_}} for license_ in named]} if named else {})


def _is_license(classifier: str) -> bool:
    return classifier.startswith("License :: ") and not classifier.endswith("OSI Approved")


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main())
