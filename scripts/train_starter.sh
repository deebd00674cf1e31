#!/usr/bin/env bash
# Make the three starter members that extract from nothing: bases, tuning, half-precision copies in el4ner/starter/models, scores.
# How the fourth, which answers questions, is made on top of them stands in configs/train/starter-glm.yaml.
# usage: scripts/train_starter.sh DATA_ROOT [NAME...]
# DATA_ROOT holds the open data sets as JSON lines (see configs/train/shared/starter-data.yaml). A CPU core computes
# about 800 tokens a second; `python -m el4ner.train --dry-run` says how many there are. To train for a given time instead, set
# optimisation.max_minutes in configs/train. A run that was cut goes on from its last checkpoint.
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
    resume=()
    [ -d "out/trained/$name.work" ] && resume=(--resume)
    [ -f "out/trained/$name/README.md" ] || $python -m el4ner.train --config "configs/train/starter-$name.yaml" --data-root "$data" "${resume[@]}"
    $python -m el4ner.starter.publish "out/trained/$name" "el4ner/starter/models/$name"
done
$python scripts/ablate.py --data-root "$data" --only 'alone *'
for name in "${names[@]}"; do
    $python -m el4ner.starter.publish "out/trained/$name" "el4ner/starter/models/$name" --scores out/ablation/ablation.json
done
