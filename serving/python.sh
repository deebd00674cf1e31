#!/usr/bin/env bash
# Print the interpreter that has el4ner: $PYTHON, the checkout's .venv, or python3.
set -euo pipefail
own="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.venv/bin/python"
if [ -n "${PYTHON:-}" ]; then echo "$PYTHON"; elif [ -x "$own" ]; then echo "$own"; else echo python3; fi
