#!/usr/bin/env bash
# Make the three starter members from nothing: bases, tuning, half-precision copies in el4ner/starter/models.
# usage: scripts/train_starter.sh DATA_ROOT [NAME...]
# DATA_ROOT holds the open data sets as JSON lines (see configs/train/shared/starter-data.yaml). Two cores need about an
# hour and a half; a GPU needs minutes. A run that was cut goes on from its last checkpoint.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
data=${1:?usage: scripts/train_starter.sh DATA_ROOT [NAME...]}
shift
names=("$@")
[ ${#names[@]} -gt 0 ] || names=(opt bloom qwen3)
bash scripts/setup.sh train starter
python=.venv/bin/python
[ -d out/bases/qwen3 ] || $python -m el4ner.starter.bases --config configs/train/starter-opt.yaml --data-root "$data" --output out/bases
for name in "${names[@]}"; do
    for pass in "$name" "$name-2"; do # the first pass teaches to extract, the second to type and to verify
        resume=()
        [ -d "out/trained/$pass.work" ] && resume=(--resume)
        [ -f "out/trained/$pass/README.md" ] || $python -m el4ner.train --config "configs/train/starter-$pass.yaml" --data-root "$data" "${resume[@]}"
    done
    $python -m el4ner.starter.publish "out/trained/$name-2" "el4ner/starter/models/$name"
done
