#!/usr/bin/env bash
# Make .venv and install the package with the extras given as arguments, from pinned constraints. Quick when nothing changed.
# PYTHON names the interpreter (3.11 or newer); PIP_ARGS gives further arguments to pip, for instance an index of CPU builds of torch.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "setup: $python is missing or older than Python 3.11; set PYTHON to a newer one, for instance PYTHON=python3.12" >&2
    exit 1
fi
if [ ! -x .venv/bin/python ]; then
    "$python" -m venv .venv || { echo "setup: python venv failed; on Debian: apt-get install python3-venv" >&2; exit 1; }
fi
extras=$(IFS=,; echo "$*")
wanted=$(cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)
stamp=".venv/el4ner-installed-${extras:-base}"
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    echo "setup: installing el4ner${extras:+[$extras]} into .venv (a few minutes the first time)" >&2
    # shellcheck disable=SC2086
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt ${PIP_ARGS:-} -e ".${extras:+[$extras]}"
    echo "$wanted" > "$stamp"
fi
