#!/usr/bin/env bash
# Make .venv-vllm, an environment of its own with vLLM for the CPU, from the versions in serving/vllm-cpu.txt. Quick when nothing changed.
# For the tests marked vllm, and for a trial of serving without a GPU; on a GPU box: pip install vllm (docs/serving.md).
# PYTHON names the interpreter (3.11 or newer); PIP_ARGS gives further arguments to pip. PyTorch is the CPU build: see cpu_torch.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3}
lock=serving/vllm-cpu.txt
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "setup_vllm: $python is missing or older than Python 3.11; set PYTHON to a newer one, for instance PYTHON=python3.12" >&2
    exit 1
fi
if [ "$(uname -sm)" != "Linux x86_64" ]; then
    echo "setup_vllm: $lock holds versions for Linux on x86-64, and this is $(uname -sm); install vLLM by hand and set EL4NER_VLLM_PYTHON" >&2
    exit 1
fi
if [ ! -x .venv-vllm/bin/python ]; then
    "$python" -m venv .venv-vllm || { echo "setup_vllm: python venv failed; on Debian: apt-get install python3-venv" >&2; exit 1; }
fi
wanted=$(cat "$lock" scripts/setup_vllm.sh | cksum | cut -d' ' -f1)
stamp=.venv-vllm/el4ner-installed
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    echo "setup_vllm: installing vLLM for the CPU into .venv-vllm (a few minutes): 0.9 GB to download, 3.5 GB on disk" >&2
    echo "setup_vllm: only the tests marked vllm need it; EL4NER_SKIP_VLLM=1 bash scripts/test.sh leaves it out" >&2
    rm -f "$stamp"
    pip=(.venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check)
    bash scripts/cpu_torch.sh .venv-vllm/bin/python "$lock"
    # torch first and with its requirements: which ones it has depends on the build that was found.
    # shellcheck disable=SC2086
    "${pip[@]}" ${PIP_ARGS:-} -c "$lock" torch
    # The list is complete, and resolving it would bring in what it leaves out.
    # shellcheck disable=SC2086
    "${pip[@]}" ${PIP_ARGS:-} --no-deps -r "$lock"
    VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 .venv-vllm/bin/python -c 'import vllm.entrypoints.openai.api_server' 2>/dev/null || {
        echo "setup_vllm: vLLM does not load; see: .venv-vllm/bin/python -c 'import vllm.entrypoints.openai.api_server'" >&2
        exit 1
    }
    echo "$wanted" > "$stamp"
fi
echo "$PWD/.venv-vllm/bin/python"
