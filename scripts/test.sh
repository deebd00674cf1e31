#!/usr/bin/env bash
# Everything that must hold before a change lands: format, lint, types, import contracts, tests with the slow ones (a plain pytest
# leaves those out); then, on real vLLM servers on this machine's CPU, the tests marked vllm (under 35 minutes on two cores; the first
# time they download 1.0 GB: .venv-vllm and SmolLM2). EL4NER_SKIP_VLLM=1 leaves the servers out. Arguments go to pytest in place of
# all tests: bash scripts/test.sh tests/text
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup.sh test train
export PATH="$PWD/.venv/bin:$PATH"
ruff format --check .
ruff check .
mypy
lint-imports
python -m pytest -m 'not models and not vllm and not gpu' "$@"
if [ $# -eq 0 ] && [ -z "${EL4NER_SKIP_VLLM:-}" ]; then
    EL4NER_VLLM_PYTHON=$(bash scripts/setup_vllm.sh)
    export EL4NER_VLLM_PYTHON
    python -m pytest -m 'vllm and not models' -rA --durations=10 tests/serve tests/vllm
fi
