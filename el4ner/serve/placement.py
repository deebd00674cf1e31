"""Which server goes to which cards: largest first, on as few cards as it fits, with every other server placed as well."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from el4ner.errors import ConfigError
from el4ner.serve.devices import Device
from el4ner.serve.memory import GIB, MemoryNeed, Workload, need
from el4ner.serve.servers import Server

TRIES = 20_000
"""Placements tried before the search gives up; enough for a dozen servers on eight cards."""


@dataclass(frozen=True)
class Placed:
    """A server with its devices. ``cards``: ``tensor_parallel`` cards for each of ``replicas`` copies."""

    server: Server
    cards: tuple[Device, ...]
    tensor_parallel: int
    need: MemoryNeed

    @property
    def replicas(self) -> int:
        """Copies of the model."""
        return len(self.cards) // self.tensor_parallel


@dataclass(frozen=True)
class Plan:
    """All servers with their devices."""

    placed: tuple[Placed, ...]
    devices: tuple[Device, ...]

    def used(self, device: Device) -> int:
        """Bytes planned on a device."""
        return sum(placed.need.total for placed in self.placed if device in placed.cards)


def place(servers: Sequence[Server], devices: tuple[Device, ...]) -> Plan:
    """A placement of all servers, in their order.

    Raises:
        ConfigError: it does not fit; by how many GiB, and what to change.
    """
    room = {device: device.room for device in devices}
    by_size = sorted(servers, key=lambda server: -_need(server, devices, 1).total)
    for server in by_size:
        if not list(_choices(server, devices, room)):
            raise ConfigError(_alone(server, devices, room))
    found = _search(by_size, devices, room, [TRIES])
    if found is None:
        raise ConfigError(_together(by_size, devices, room))
    order = {server.name: rank for rank, server in enumerate(servers)}
    placed = sorted(found, key=lambda item: order[item.server.name])
    return Plan(_with_spare(placed, devices, room), devices)


def _search(
    waiting: Sequence[Server], devices: tuple[Device, ...], room: dict[Device, int], tries: list[int]
) -> list[Placed] | None:
    """Depth first; ``tries`` counts down over the whole search."""
    if not waiting:
        return []
    for placed in _choices(waiting[0], devices, room):
        tries[0] -= 1
        if tries[0] < 0:
            return None
        rest = _search(waiting[1:], devices, _less(room, placed), tries)
        if rest is not None:
            return [placed, *rest]
    return None


def _choices(server: Server, devices: tuple[Device, ...], room: dict[Device, int]) -> Iterator[Placed]:
    """Where a server fits, fewest cards and emptiest cards first; equally empty cards count once."""
    copies = server.settings.replicas if isinstance(server.settings.replicas, int) else 1
    by_room = sorted(devices, key=lambda device: -room[device])
    for cards in range(1, len(devices) + 1):
        if not server.model.shape.splits_into(cards):
            continue
        each = _need(server, devices, cards)
        seen: set[tuple[tuple[int, int], ...]] = set()
        for group in combinations(by_room, cards * copies):
            kind = tuple((device.total, room[device]) for device in group)
            same = len({device.total for device in group}) == 1
            if same and kind not in seen and all(room[device] >= each.total for device in group):
                seen.add(kind)
                yield Placed(server, tuple(sorted(group, key=lambda d: d.index)), cards, each)


def _with_spare(placed: list[Placed], devices: tuple[Device, ...], room: dict[Device, int]) -> tuple[Placed, ...]:
    """Copies on cards that nothing uses, dealt to the heaviest servers that want them, one each in turn."""
    result = {item.server.name: item for item in placed}
    takers = sorted(
        (item for item in placed if item.server.settings.replicas == "spare"), key=lambda item: -item.need.total
    )
    idle = [device for device in devices if not any(device in item.cards for item in placed)]
    progress = bool(takers)
    while progress:
        progress = False
        for taker in takers:
            item = result[taker.server.name]
            fits = [d for d in idle if d.total == item.cards[0].total and room[d] >= item.need.total]
            if len(fits) >= item.tensor_parallel:
                new = fits[: item.tensor_parallel]
                idle = [device for device in idle if device not in new]
                result[taker.server.name] = replace(item, cards=(*item.cards, *new))
                progress = True
    return tuple(result.values())


def _less(room: dict[Device, int], placed: Placed) -> dict[Device, int]:
    return {d: left - placed.need.total if d in placed.cards else left for d, left in room.items()}


def _need(server: Server, devices: tuple[Device, ...], cards: int) -> MemoryNeed:
    return need(server.model, server.asked, cards, on_cpu=devices[0].is_cpu)


def _alone(server: Server, devices: tuple[Device, ...], room: dict[Device, int]) -> str:
    """Why a server fits nowhere even with all cards to itself."""
    copies = server.settings.replicas if isinstance(server.settings.replicas, int) else 1
    splits = [n for n in range(1, len(devices) // copies + 1) if server.model.shape.splits_into(n)]
    if not splits:
        return (
            f"member {server.name}: {copies} copies asked, but there are {len(devices)} card(s); change serve.replicas"
        )
    cards = splits[-1]
    short = _need(server, devices, cards).total - sorted(room.values())[-cards * copies]
    if short <= 0:
        return f"member {server.name}: its copies need cards of one size; change serve.replicas"
    where = "the machine" if devices[0].is_cpu else f"{cards} card(s)"
    return f"member {server.name} does not fit {where}: short by {short / GIB:.1f} GiB each; {_remedy(server, cards, short)}"


def _together(servers: Sequence[Server], devices: tuple[Device, ...], room: dict[Device, int]) -> str:
    wanted = sum(_need(server, devices, 1).total for server in servers)
    short = wanted - sum(room.values())
    what = f"short by {short / GIB:.1f} GiB" if short > 0 else "enough memory in all, but no way to divide it"
    largest_kv = max(servers, key=lambda server: _need(server, devices, 1).kv)
    half = _need(largest_kv, devices, 1).kv // 2
    return (
        f"the members do not fit together: {what} ({wanted / GIB:.1f} of {sum(room.values()) / GIB:.1f} GiB); "
        f"member {largest_kv.name} has the largest KV cache: {_remedy(largest_kv, 1, min(half, max(short, GIB)))}"
    )


def _remedy(server: Server, cards: int, short: int) -> str:
    """What to change so that the server needs ``short`` bytes less on each card."""
    asked, options = server.asked, []
    fewer = _fitting(server, cards, short)
    if fewer:
        options.append(f"serve.kv_tokens: {fewer} (now {asked.kv_tokens}; requests beyond it wait)")
    if not asked.fp8 and not server.model.shape.quantised:
        saved = server.model.weights.size(2) - server.model.weights.size(2, fp8=True)
        options.append(f"serve.dtype: fp8 (saves {saved / cards / GIB:.1f} GiB a card)")
    options.append("a smaller model, or more or larger cards")
    return "change " + ", or ".join(options)


def _fitting(server: Server, cards: int, short: int) -> int:
    """KV tokens that take ``short`` bytes less; 0 if that is less than one request."""
    asked: Workload = server.asked
    token = server.model.shape.kv_bytes_per_token(4 if asked.dtype == "float32" else 2, cards)
    tokens = int(asked.kv_tokens - short / token) // 256 * 256
    return tokens if tokens >= asked.context else 0
