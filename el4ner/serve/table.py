"""A plan for reading: the placement as a table of at most 80 columns, and the commands to copy."""

import shlex
from collections.abc import Sequence

from el4ner.config import Config
from el4ner.serve.command import command, settings
from el4ner.serve.memory import GIB
from el4ner.serve.placement import Placed, Plan
from el4ner.serve.shape import VALUE_BYTES

WIDTH = 80
_HEAD = ("member", "cards", "weights", "KV", "act.", "other", "a card", "tokens", "B/token")


def plan_text(plan: Plan, config: Config) -> str:
    """The whole plan: table, devices, remarks, commands."""
    rows = [_row(placed) for placed in plan.placed]
    parts = [
        "Memory on each card in GiB; KV cache in tokens and bytes a token:\n" + _table([_HEAD, *rows]),
        "\n".join(_device(plan, index) for index in range(len(plan.devices))),
        "\n".join(remarks(plan, config)),
        "\n\n".join(command_text(placed, plan) for placed in plan.placed),
    ]
    return "\n\n".join(part for part in parts if part)


def remarks(plan: Plan, config: Config) -> list[str]:
    """What the reader should know about this plan besides the numbers; lines of at most 80 columns."""
    lines = []
    for placed in plan.placed:
        server = placed.server
        if server.model.shape.window and server.model.shape.window < server.asked.context:
            lines.append(f"{server.name}: window of {server.model.shape.window} tokens not deducted from KV")
        if len(server.members) > 1:
            lines.append(f"{server.name}: one server for {', '.join(server.members)}")
        for name, adapter in server.adapters.items():
            lines.append(f"{server.name}: adapter {name}, rank {adapter.rank} (served as {server.asked.rank})")
        if server.model.known_as:
            lines.append(f"{server.name}: not here yet; sizes of {server.model.known_as} from el4ner's registry")
        if placed.replicas > 1:
            lines.append(f"{server.name}: {placed.replicas} copies behind port {server.port}, balanced by load")
        if server.key_env is None:
            lines.append(f"{server.name}: no api_key_env: every user of this machine can ask it")
    others = [member.name for member in config.members if member.engine == "http" and member.serve is None]
    if others:
        lines.append(f"served by somebody else (no serve section): {', '.join(others)}")
    return [line if len(line) <= WIDTH else line[: WIDTH - 1] + "…" for line in lines]


def command_text(placed: Placed, plan: Plan) -> str:
    """The command of one server for a shell, one argument a line; the API key stays in the environment."""
    names = [f"{name}={shlex.quote(value)}" for name, value in sorted(settings(placed, plan).items())]
    words = [shlex.quote(word) for word in command(placed)]
    pairs: list[list[str]] = [[*words[:3]]]
    for word in words[3:]:
        if word.startswith("-"):
            pairs.append([word])
        else:
            pairs[-1].append(word)
    lines = [f"# {placed.server.name}", *(f"{name} \\" for name in names)]
    arguments = [("" if index == 0 else "  ") + " ".join(pair) for index, pair in enumerate(pairs)]
    return "\n".join([*lines, " \\\n".join(arguments)])


def _row(placed: Placed) -> tuple[str, ...]:
    need, server = placed.need, placed.server
    cards = "CPU" if placed.cards[0].is_cpu else _ranges([card.index for card in placed.cards])
    token = server.model.shape.kv_bytes_per_token(VALUE_BYTES[server.asked.dtype], placed.tensor_parallel)
    sizes = (need.weights, need.kv, need.activations, need.overhead, need.total)
    numbers = (*(_gib(size) for size in sizes), str(server.asked.kv_tokens), str(token))
    return (server.name[:16], cards, *numbers)


def _ranges(numbers: Sequence[int]) -> str:
    """Card numbers in order, runs shortened: ``0-3,6``."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _gib(size: int) -> str:
    return f"{size / GIB:.1f}" if size >= GIB / 10 else f"{size / GIB:.2f}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        first = row[0].ljust(widths[0])
        lines.append("  ".join([first, *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]))
    return "\n".join(lines)


def _device(plan: Plan, index: int) -> str:
    device = plan.devices[index]
    kind = "machine" if device.is_cpu else f"card {device.index}"
    used, room = plan.used(device) / GIB, device.room / GIB
    return f"{kind} ({device.name[:30]}, {device.total / GIB:.1f} GiB): {used:.1f} of {room:.1f} GiB planned"
