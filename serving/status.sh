#!/usr/bin/env bash
# Ask every member of a configuration for one token: serving/status.sh CONFIG
set -euo pipefail
exec "$("$(dirname "${BASH_SOURCE[0]}")/python.sh")" -m el4ner.serve status "$@"
