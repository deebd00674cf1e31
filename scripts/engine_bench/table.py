"""The figures of all engines side by side."""

import json
from collections.abc import Sequence

from engine_bench.setting import Setting


def print_table(setting: Setting, engines: Sequence[str]) -> None:
    """One line an engine; ratios to llama.cpp."""
    measured = {engine: json.loads(setting.result(engine).read_text(encoding="utf-8")) for engine in engines}
    base = measured.get("llama.cpp", next(iter(measured.values())))
    print(f"{setting.output.name}: {base['requests']} requests")
    print("engine         sent/s ratio  read/s write/s first ms    MiB lost    F1")
    for engine, figures in measured.items():
        per_s = len(setting.gold) / figures["seconds"]
        ratio = base["seconds"] / figures["seconds"]
        print(
            f"{engine:<14} {per_s:6.2f} {ratio:5.2f} {figures['read'] / figures['seconds']:7.0f} "
            f"{figures['written'] / figures['seconds']:7.1f} {1000 * figures['first_s']:8.0f} {figures['mib']:6.0f} "
            f"{figures['lost']:4d} {100 * figures['f1']:5.1f}"
        )
