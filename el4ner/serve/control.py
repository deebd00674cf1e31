"""What the command does: plan, supervise, wait until all is ready, show, stop."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType

from el4ner.config import Config, load_config
from el4ner.engines.api_keys import api_key
from el4ner.errors import ConfigError, ModelError
from el4ner.serve.command import command, environment, settings
from el4ner.serve.devices import Device, installed_cards, machine, parse_cards
from el4ner.serve.launch import Launch
from el4ner.serve.placement import Placed, Plan, place
from el4ner.serve.probe import probe
from el4ner.serve.processes import Identity, end_session, identify
from el4ner.serve.servers import servers
from el4ner.serve.state import ServerState, State, StateFolder, open_private, state_folder_of
from el4ner.serve.supervisor import HANG_S, Supervisor, WatchedServer

TICK_S = 0.5
STOP_S = 90.0
"""Patience with a supervisor that is to end, seconds: it ends its servers one after the other."""


def make_plan(config: Config, *, gpus: str | None, cpu: bool, sizes_suffice: bool = False) -> Plan:
    """The plan for the cards named, those installed, or the CPU; ``sizes_suffice``: see ``servers``.

    Raises:
        El4nerError: it cannot be served, or does not fit.
    """
    devices: tuple[Device, ...] = machine() if cpu else parse_cards(gpus) if gpus else installed_cards()
    return place(servers(config, on_cpu=cpu, sizes_suffice=sizes_suffice), devices)


def supervise(path: Path, *, gpus: str | None, cpu: bool, say: Callable[[str], None], hang_s: float = HANG_S) -> int:
    """Start all servers and keep them up until told to end (SIGTERM, SIGINT). The exit code: 1 if one never came up.

    Raises:
        AlreadyRunningError: another supervisor looks after this configuration.
        El4nerError: the plan cannot be made, or a port or a key is missing.
    """
    config = load_config(path)
    folder = state_folder_of(path)
    with folder.lock():
        _clear_leftovers(folder)
        plan = make_plan(config, gpus=gpus, cpu=cpu)
        me = identify(os.getpid())
        assert me is not None
        watched = [_watched(placed, plan, folder) for placed in plan.placed]
        state = State(
            str(path.resolve()), wanted_hash(config, gpus=gpus, cpu=cpu), me, [item.state for item in watched]
        )
        last: dict[str, str] = {}

        def changed() -> None:
            folder.write(state)
            for server in state.servers:
                if last.get(server.name) != server.phase:
                    last[server.name] = server.phase
                    say(f"{server.name}: {server.phase}" + (f" ({server.reason})" if server.reason else ""))

        changed()
        return _keep(Supervisor(watched, changed, hang_s), len(watched), say)


def _keep(keeper: Supervisor, count: int, say: Callable[[str], None]) -> int:
    """Tick until told to end. Where a server never comes up, all are stopped: half an ensemble is no start."""
    told = False

    def end(_number: int, _frame: FrameType | None) -> None:
        nonlocal told
        told = True

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    came_up = False
    try:
        while not told:
            keeper.tick()
            if keeper.ready and not came_up:
                came_up = True
                say("ready")
            if keeper.given_up and (not came_up or len(keeper.given_up) == count):
                return 1
            time.sleep(TICK_S)
        return 0
    finally:
        keeper.stop()


def start(path: Path, *, gpus: str | None, cpu: bool, say: Callable[[str], None], hang_s: float = HANG_S) -> int:
    """Start a supervisor in the background and wait until all members answer; 1 if one does not come up.

    Run twice, it waits for the servers that are there already.

    Raises:
        ConfigError: what runs was started with other settings.
        El4nerError: the plan cannot be made.
    """
    config = load_config(path)
    folder = state_folder_of(path)
    running = _running(folder)
    if running is None:
        # Faults of the configuration are told here, before anything is in the background.
        plan = make_plan(config, gpus=gpus, cpu=cpu)
        for placed in plan.placed:
            api_key(placed.server.key_env)
        return _follow(folder, _spawn(path, folder, gpus=gpus, cpu=cpu, hang_s=hang_s), say)
    if running.wanted != wanted_hash(config, gpus=gpus, cpu=cpu):
        raise ConfigError("servers of this configuration run already, with other settings; stop them first")
    say("running already")
    return _follow(folder, running.supervisor, say)


def wanted_hash(config: Config, *, gpus: str | None, cpu: bool) -> str:
    """What tells apart two requests to serve: what each member wants and where, without what is free at the time."""
    members = [
        [m.name, m.model, m.endpoint, m.api_key_env, m.concurrency, m.serve.model_dump(mode="json")]
        for m in config.members
        if m.serve is not None
    ]
    content = [members, gpus, cpu]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def status(config: Config, path: Path) -> list[tuple[ServerState, bool]]:
    """Each server with whether it answers now; empty if nothing runs."""
    state = _running(state_folder_of(path))
    if state is None:
        return []
    keys = {member.name: member.api_key_env for member in config.members}
    found = []
    for server in state.servers:
        key = api_key(keys.get(server.name))
        alive = server.process is not None and server.process.alive()
        found.append((server, alive and probe(server.url, server.models, key).answers))
    return found


def stop(path: Path) -> list[str]:
    """End the supervisor and every server that it started; their names. Nothing else is touched.

    Raises:
        ModelError: a server does not end.
    """
    folder = state_folder_of(path)
    state = folder.read()
    if state is None:
        return []
    if state.supervisor.alive():
        os.kill(state.supervisor.pid, signal.SIGTERM)
        os.kill(state.supervisor.pid, signal.SIGCONT)
        end = time.monotonic() + STOP_S
        while state.supervisor.alive() and time.monotonic() < end:
            time.sleep(0.1)
        if state.supervisor.alive():
            os.kill(state.supervisor.pid, signal.SIGKILL)
        state = folder.read() or state
    return _end_servers(folder, state)


def _end_servers(folder: StateFolder, state: State) -> list[str]:
    for server in state.servers:
        if server.process is not None and not end_session(server.process):
            raise ModelError(f"server {server.name} (process {server.process.pid}) does not end; look at it by hand")
    folder.forget()
    return [server.name for server in state.servers]


def _clear_leftovers(folder: StateFolder) -> None:
    """End servers whose supervisor was killed; call it with the lock held."""
    state = folder.read()
    if state is not None:
        _end_servers(folder, state)


def _running(folder: StateFolder) -> State | None:
    """The state, if its supervisor is alive."""
    state = folder.read()
    return state if state is not None and state.supervisor.alive() else None


def _watched(placed: Placed, plan: Plan, folder: StateFolder) -> WatchedServer:
    server = placed.server
    key = api_key(server.key_env)
    env: Mapping[str, str] = environment(os.environ, settings(placed, plan), key)
    launch = Launch(
        server.name, command(placed), env, server.host, server.port, folder.log(server.name),
        nice=placed.cards[0].is_cpu,
    )  # fmt: skip
    models = [server.served, *server.adapters]
    state = ServerState(server.name, server.url, models, str(launch.log), since=time.time())
    devices = frozenset(card.index for card in placed.cards)
    return WatchedServer(
        launch, state, devices,
        probe=lambda: probe(server.url, models, key),
        liveness_probe=lambda timeout_s: probe(server.url, models[:1], key, timeout_s),
    )  # fmt: skip


def _spawn(path: Path, folder: StateFolder, *, gpus: str | None, cpu: bool, hang_s: float) -> Identity:
    folder.make()
    words = [
        sys.executable,
        "-m",
        "el4ner.serve",
        "start",
        str(path.resolve()),
        "--foreground",
        "--hang-s",
        str(hang_s),
    ]
    words += ["--cpu"] if cpu else ["--gpus", gpus] if gpus else []
    with open_private(folder.supervisor_log, os.O_TRUNC) as log:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    identity = identify(process.pid)
    assert identity is not None
    return identity


def _follow(folder: StateFolder, supervisor: Identity, say: Callable[[str], None]) -> int:
    """Tell what the supervisor does until all servers are ready (0), or one is given up or the supervisor ends (1)."""
    told: dict[str, str] = {}
    while True:
        alive = supervisor.alive()
        state = folder.read()
        mine = state is not None and state.supervisor == supervisor
        servers_now = state.servers if state is not None and mine else []
        for server in servers_now:
            if told.get(server.name) != server.phase:
                told[server.name] = server.phase
                say(f"{server.name}: {server.phase}" + (f" ({server.reason})" if server.reason else ""))
        if servers_now and all(server.phase == "ready" for server in servers_now):
            say("ready")
            return 0
        if not alive and state is not None and not mine and state.supervisor.alive():
            # Another start was quicker; its servers are the same.
            supervisor = state.supervisor
        elif not alive:
            if not servers_now:
                say(folder.supervisor_log.read_text(encoding="utf-8", errors="replace").strip()[-2000:])
            return 1
        time.sleep(TICK_S)
