#!/usr/bin/env bash
# Start the servers of a configuration and wait until every member answers: serving/serve.sh CONFIG [--gpus 2x24GiB | --cpu]
# Safe to run twice. PYTHON names el4ner's interpreter; EL4NER_VLLM_PYTHON that of vLLM, where it is another one.
set -euo pipefail
exec "$("$(dirname "${BASH_SOURCE[0]}")/python.sh")" -m el4ner.serve start "$@"
