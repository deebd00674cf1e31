#!/usr/bin/env bash
# Find the entities of the example documents with the bundled starter ensemble: CPU, no model hub. Needs Python 3.11 or newer.
# --cuda as the first argument installs PyTorch's CUDA build (the starter's members use the CPU all the same); others go to el4ner.run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ "${1:-}" = --cuda ]; then shift; bash scripts/setup.sh --cuda; else bash scripts/setup.sh; fi
exec .venv/bin/python -m el4ner.run --config configs/starter.yaml --input examples/ --output out/quickstart --fresh "$@"
