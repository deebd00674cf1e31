"""A network namespace whose only way out leads nowhere, and whose kernel counts every packet that wants to leave.

    unshare --map-root-user --net --mount python sandbox.py REPORT COMMAND ...

Writes to REPORT what the kernel counted: ``{"left": N, "elsewhere": true}``. TCP, UDP and whatever a C library does count alike.
Where a way out can be made (a pair of virtual interfaces), ``localhost`` resolves to an address on it: ``elsewhere``.
"""

import fcntl
import json
import re
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

ELSEWHERE = "192.0.2.77"
"""An address of TEST-NET-1, which nobody has."""
UP = 0x1 | 0x40


def main(report: str, *command: str) -> int:
    """Run the command; returns its exit code."""
    bring_up_loopback()
    elsewhere = make_way_out() and rename_localhost()
    before = left()
    done = subprocess.run(command, check=False)
    Path(report).write_text(json.dumps({"left": left() - before, "elsewhere": elsewhere}), encoding="utf-8")
    return done.returncode


def bring_up_loopback() -> None:
    """As ``ip link set lo up``."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        fcntl.ioctl(channel, 0x8914, struct.pack("16sh14x", b"lo", UP))


def make_way_out() -> bool:
    """A default route into the void; says whether that could be made. Of IPv6, which announces itself, there is none."""
    steps = (
        "ip link add away type veth peer name void",
        "ip link set void up",
        "sysctl -q -w net.ipv6.conf.away.disable_ipv6=1",
        "ip address add 192.0.2.200/24 dev away",
        "ip link set away up",
        "ip route add default dev away",
    )
    try:
        return all(subprocess.run(step.split(), check=False, capture_output=True).returncode == 0 for step in steps)
    except FileNotFoundError:
        return False


def rename_localhost() -> bool:
    """Let ``localhost`` be elsewhere, for this namespace; says whether that could be done."""
    with tempfile.NamedTemporaryFile("w", delete=False) as hosts:
        hosts.write(f"{ELSEWHERE} localhost\n127.0.0.1 here\n")  # servers look up their own name
    done = subprocess.run(["mount", "--bind", hosts.name, "/etc/hosts"], check=False, capture_output=True)
    return done.returncode == 0 and socket.gethostbyname("localhost") == ELSEWHERE


def left() -> int:
    """Packets that went out, or had no way out, since the namespace was made."""
    words = [
        line.split() for line in Path("/proc/net/snmp").read_text(encoding="ascii").splitlines() if line[:3] == "Ip:"
    ]
    counts = dict(zip(words[0][1:], words[1][1:], strict=True))
    six = re.search(r"Ip6OutNoRoutes\s+(\d+)", Path("/proc/net/snmp6").read_text(encoding="ascii"))
    sent = re.search(r"away:((?:\s+\d+){10})", Path("/proc/net/dev").read_text(encoding="ascii"))
    return int(counts["OutNoRoutes"]) + int(six[1] if six else 0) + int(sent[1].split()[9] if sent else 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
