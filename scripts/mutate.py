"""Mutation testing: change a package's code in small ways, and count how many of the changes its own tests notice.

    python scripts/mutate.py [text vote scoring batch] [--sample 40] [--seed 0] [--jobs 1]

Needs mutmut (``.venv/bin/python -m pip install mutmut``; measured with 3.8). Of all mutants of each package, a random sample
is tried with the package's own tests (default tier); ``--sample 0`` tries all. It prints the share caught, and what
each of the others changed. Left out: the wording of messages, and code outside functions (mutmut changes neither constants of
modules nor decorated functions). Forty mutants of a package take two to five minutes on a core.
"""

import argparse
import random
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = {
    "text": ["tests/text"],
    "vote": ["tests/vote"],
    "scoring": ["tests/scoring", "tests/test_evaluate.py"],
    "batch": ["tests/batch"],
}
CAUGHT = ("killed", "timeout", "segfault")
SETTINGS = """[mutmut]
source_paths = el4ner
only_mutate = el4ner/{package}/*
also_copy =
    configs
    examples
pytest_add_cli_args_test_selection =
    {tests}
pytest_add_cli_args =
    --hypothesis-seed=0
    -pno:cacheprovider
do_not_mutate_patterns =
    raise \\w+\\(
    ^\\s*f?"[^"]*"[,)]*$
"""


def main() -> None:
    """Try the packages one after the other."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("packages", nargs="*", default=list(TESTS), metavar="PACKAGE", help=f"of {', '.join(TESTS)}")
    parser.add_argument("--sample", type=int, default=40, help="mutants of each package; 0: all")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample")
    parser.add_argument("--jobs", type=int, default=1, help="mutants tried at once")
    options = parser.parse_args()
    for package in options.packages:
        with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
            _report(package, Path(folder), options)


def _report(package: str, folder: Path, options: argparse.Namespace) -> None:
    for path in ROOT.iterdir():
        if not path.name.startswith("."):
            (folder / path.name).symlink_to(path)
    settings = SETTINGS.format(package=package, tests="\n    ".join(TESTS[package]))
    (folder / "setup.cfg").write_text(settings, encoding="utf-8")
    made = _mutmut(folder, "run", "--max-children=1", "makes.all.and.tries.none")
    names = sorted(_results(folder))
    if not names:
        sys.exit(f"mutate: mutmut made no mutants of {package}:\n{made}")
    chosen = random.Random(options.seed).sample(names, min(options.sample or len(names), len(names)))
    tried = _mutmut(folder, "run", f"--max-children={options.jobs}", *chosen)
    results = _results(folder)
    missed = sorted(name for name in chosen if results[name] not in CAUGHT)
    if any(results[name] == "not checked" for name in chosen):
        sys.exit(f"mutate: mutmut did not try the mutants of {package}:\n{tried}")
    for name in missed:
        print(_mutmut(folder, "show", name))
    caught = len(chosen) - len(missed)
    print(
        f"{package}: {caught} of {len(chosen)} caught ({caught / len(chosen):.0%}), of {len(names)} mutants", flush=True
    )


def _results(folder: Path) -> dict[str, str]:
    """How each mutant fared, by name."""
    lines = (line.strip().rpartition(": ") for line in _mutmut(folder, "results", "--all=true").splitlines())
    return {name: status for name, _, status in lines if "__mutmut_" in name}


def _mutmut(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-c", "from mutmut.__main__ import cli; cli()", *arguments]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout


if __name__ == "__main__":
    main()
