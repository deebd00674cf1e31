#!/usr/bin/env bash
# Make .venv and install the package with the extras given as arguments, from pinned constraints. Quick when nothing changed.
# usage: scripts/setup.sh [--cuda] [EXTRA...]    (extras: see pyproject.toml)
# PyTorch is the CPU build (see cpu_torch.sh); --cuda takes the build for NVIDIA cards, and the environment keeps it from then on.
# PYTHON names the interpreter (3.11 or newer); PIP_ARGS gives further arguments to pip.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3}
cuda='' extras=''
if compgen -G ".venv/el4ner-installed-*-cuda" >/dev/null; then cuda=-cuda; fi
for word in "$@"; do
    case $word in
    --cuda) cuda=-cuda ;;
    -*) echo "setup: unknown option $word; usage: scripts/setup.sh [--cuda] [EXTRA...]" >&2; exit 1 ;;
    *) extras=${extras:+$extras,}$word ;;
    esac
done
if [ -n "$cuda" ] && [ "$(uname -s)" != Linux ]; then
    echo "setup: --cuda is for Linux; there is no CUDA build of PyTorch for $(uname -s)" >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "setup: $python is missing or older than Python 3.11; set PYTHON to a newer one, for instance PYTHON=python3.12" >&2
    exit 1
fi
if [ ! -x .venv/bin/python ]; then
    "$python" -m venv .venv || { echo "setup: python venv failed; on Debian: apt-get install python3-venv" >&2; exit 1; }
fi
wanted=$(cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)
stamp=".venv/el4ner-installed-${extras:-base}$cuda"
[ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || exit 0

# Megabytes to download and on disk, measured on Linux, x86-64, with Python 3.11 and these constraints; docs/setup.md says how.
if [ -n "$cuda" ]; then down=2900 disk=5650; else down=350 disk=1600; fi
base="$down MB to download, $disk MB on disk"
for extra in ${extras//,/ }; do
    case $extra in
    test) down=$((down + 35)) disk=$((disk + 130)) ;;
    embedder) down=$((down + 85)) disk=$((disk + 90)) ;;
    plots) down=$((down + 25)) disk=$((disk + 105)) ;;
    esac
done
echo "setup: installing el4ner into .venv (a few minutes the first time): about $base" >&2
[ -z "$extras" ] || echo "setup: with the extras $extras: $down and $disk MB; scripts/setup.sh without arguments leaves them out" >&2

pip=(.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt)
if [ -n "$cuda" ]; then
    # Three equality signs: no build with a suffix, such as +cpu.
    # shellcheck disable=SC2086
    "${pip[@]}" ${PIP_ARGS:-} "torch===$(sed -n 's/^torch==//p' constraints.txt)"
else
    bash scripts/cpu_torch.sh .venv/bin/python constraints.txt
fi
# shellcheck disable=SC2086
"${pip[@]}" ${PIP_ARGS:-} -e ".${extras:+[$extras]}"
echo "$wanted" > "$stamp"
