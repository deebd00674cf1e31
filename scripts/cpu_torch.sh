#!/usr/bin/env bash
# Install PyTorch's CPU build from PyTorch's own index: on Linux, the build of the package index brings 2.5 GB of CUDA libraries with it.
# usage: scripts/cpu_torch.sh PYTHON VERSIONS    (the environment's interpreter; a file with the line torch==VERSION)
# Does nothing where torch is installed already, on other systems (their builds are for the CPU), and where pip is told which index to
# use: that one is asked for torch as well. TORCH_INDEX names a mirror of PyTorch's index; PIP_ARGS gives further arguments to pip.
set -euo pipefail
python=$1
version=$(sed -n 's/^torch==//p' "$2")
index=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}
[ "$(uname -s)" = Linux ] || exit 0
if "$python" -c "import sys, importlib.metadata as m; sys.exit(m.version('torch').split('+')[0] != '$version')" 2>/dev/null; then
    exit 0
fi
told() {
    { "$python" -m pip config list; echo " ${PIP_ARGS:-}"; } |
        grep -E "[.](index-url|no-index)=| (-i|--index-url|--no-index)([ =]|$)" >/dev/null
}
# Only whether that index answers, and has the version: no other place is asked, and nobody waits for long.
probe() {
    local known=${PIP_ARGS:-}
    # shellcheck disable=SC2086
    "$python" -m pip index versions $known --help >/dev/null 2>&1 || known=  # arguments that are for pip install alone
    # shellcheck disable=SC2086
    PIP_FIND_LINKS=. PIP_EXTRA_INDEX_URL=file:///dev/null \
        "$python" -m pip index versions torch $known --index-url "$index" --timeout 3 --retries 0 2>/dev/null |
        grep -F "$version+cpu" >/dev/null
}
if [ -z "${TORCH_INDEX:-}" ] && told; then
    echo "setup: torch comes from the index that pip is set to; TORCH_INDEX names a mirror of PyTorch's index of CPU builds" >&2
elif probe; then
    # shellcheck disable=SC2086
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps ${PIP_ARGS:-} --index-url "$index" "torch==$version+cpu"
else
    echo "setup: no torch $version from $index; going on with what pip is set to, which can bring CUDA (2.5 GB more)" >&2
fi
