#!/usr/bin/env bash
# Find the entities of four example documents: CPU, no model hub. Needs Python 3.11 or newer; fetches 590 MB of models once.
# --cuda: install the build of PyTorch for NVIDIA cards; otherwise the CPU's (see scripts/setup.sh).
# --small: the same models without the adapters that were tuned for them, by the method of the paper, on three documents.
# Further arguments go to el4ner.run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cuda=() config=configs/default.yaml output=out/quickstart
input=(examples/en/03-discharge-letter.txt examples/en/01-news.txt examples/zh/02-judgment.txt examples/zh/16-press-release.txt)
while [ $# -gt 0 ]; do
    case "$1" in
        --cuda) cuda=(--cuda) ;;
        --small)
            config=configs/small.yaml output=out/small
            input=(examples/en/03-discharge-letter.txt examples/en/30-legal-notice.txt examples/zh/01-news.txt)
            ;;
        *) break ;;
    esac
    shift
done
bash scripts/setup.sh ${cuda[@]+"${cuda[@]}"}
.venv/bin/python -m el4ner.models get smollm2-135m qwen2.5-coder-0.5b
exec .venv/bin/python -m el4ner.run --config "$config" --input "${input[@]}" --output "$output" --fresh "$@"
