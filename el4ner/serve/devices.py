"""What the servers may run on: the cards that the driver reports, those the user names, or the machine's memory."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from el4ner.errors import ConfigError
from el4ner.serve.memory import GIB

_SIZE = re.compile(r"(?:(\d+)x)?(\d+(?:\.\d+)?)\s*(GiB|GB|MiB)?", re.IGNORECASE)
_UNITS = {"gib": GIB, "gb": 10**9, "mib": 2**20}
_QUERY = ["--query-gpu=index,name,memory.total,memory.free", "--format=csv,noheader,nounits"]


MEMORY_SHARE = 0.92
"""Share of a device's memory that a plan may fill."""


@dataclass(frozen=True)
class Device:
    """A card, or the machine's memory. ``total`` and ``free`` in bytes; ``index`` as the driver counts."""

    index: int
    name: str
    total: int
    free: int
    is_cpu: bool = False

    @property
    def room(self) -> int:
        """Bytes that a plan may fill: a share of the total, and never more than is free."""
        return min(int(self.total * MEMORY_SHARE), self.free)


def parse_cards(text: str) -> tuple[Device, ...]:
    """Cards as the user writes them: ``2x24GiB``, ``80GB``, ``24GiB,48GiB``.

    Raises:
        ConfigError: it is not written that way.
    """
    sizes: list[int] = []
    for part in text.split(","):
        match = _SIZE.fullmatch(part.strip())
        if not match or int(match[1] or 1) == 0 or float(match[2]) == 0:
            raise ConfigError(f"--gpus {text!r}: write the number and size of the cards as 2x24GiB, or 24GiB,48GiB")
        sizes += [int(float(match[2]) * _UNITS[(match[3] or "GiB").lower()])] * int(match[1] or 1)
    return tuple(Device(index, "as asked", size, size) for index, size in enumerate(sizes))


def installed_cards() -> tuple[Device, ...]:
    """The cards that ``nvidia-smi`` reports; with what is free on each.

    Raises:
        ConfigError: there is no driver, or no card.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        raise ConfigError("no nvidia-smi on this machine; name the cards (--gpus 2x24GiB) or use the CPU (--cpu)")
    try:
        done = subprocess.run([program, *_QUERY], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(f"nvidia-smi failed ({type(error).__name__}); see what it says, or name --gpus") from error
    cards = parse_report(done.stdout)
    if not cards:
        raise ConfigError("nvidia-smi reports no card; name the cards (--gpus 2x24GiB) or use the CPU (--cpu)")
    return cards


def parse_report(report: str) -> tuple[Device, ...]:
    """The cards in the comma-separated report of ``nvidia-smi`` (MiB); lines without numbers (MIG, faults) are left out."""
    cards = []
    for line in report.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) == 4 and all(fields[i].isdigit() for i in (0, 2, 3)):
            total, free = int(fields[2]) * 2**20, int(fields[3]) * 2**20
            cards.append(Device(int(fields[0]), fields[1], total, free))
    return tuple(cards)


def machine() -> tuple[Device, ...]:
    """The machine's own memory as the one device, for servers on the CPU."""
    page = os.sysconf("SC_PAGE_SIZE")
    total, free = page * os.sysconf("SC_PHYS_PAGES"), page * os.sysconf("SC_AVPHYS_PAGES")
    return (Device(0, f"CPU, {os.cpu_count()} cores", total, max(free, _available()), is_cpu=True),)


def _available() -> int:
    """Memory that can be had without swapping (caches included), bytes; 0 where the system does not say."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError, IndexError):
        return 0
