#!/usr/bin/env bash
# Find the entities of the example documents: CPU, no model hub. Needs Python 3.11 or newer.
# --cuda: install the build of PyTorch for NVIDIA cards; otherwise the CPU's (see scripts/setup.sh).
# --small: instead of the bundled starter, pretrained models, untuned: fetches 590 MB once, and reads three documents.
# Further arguments go to el4ner.run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cuda=() config=configs/starter.yaml input=(examples/) output=out/quickstart small=
while [ $# -gt 0 ]; do
    case "$1" in
        --cuda) cuda=(--cuda) ;;
        --small) small=1 ;;
        *) break ;;
    esac
    shift
done
bash scripts/setup.sh ${cuda[@]+"${cuda[@]}"}
if [ -n "$small" ]; then
    config=configs/small.yaml input=(examples/en/03-discharge-letter.txt examples/en/30-legal-notice.txt examples/zh/01-news.txt) output=out/small
    .venv/bin/python -m el4ner.models get smollm2-135m qwen2.5-coder-0.5b
fi
exec .venv/bin/python -m el4ner.run --config "$config" --input "${input[@]}" --output "$output" --fresh "$@"
