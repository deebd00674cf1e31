#!/usr/bin/env bash
# End what serving/serve.sh has started, and nothing else: serving/stop.sh CONFIG
set -euo pipefail
exec "$("$(dirname "${BASH_SOURCE[0]}")/python.sh")" -m el4ner.serve stop "$@"
