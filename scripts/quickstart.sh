#!/usr/bin/env bash
# Find the entities of the example documents with the bundled starter ensemble: CPU, no model hub. Needs Python 3.11 or newer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup.sh
exec .venv/bin/python -m el4ner.run --config configs/starter.yaml --input examples/ --output out/quickstart --fresh "$@"
