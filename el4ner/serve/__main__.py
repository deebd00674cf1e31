"""``python -m el4ner.serve``: plan, start, watch and stop the vLLM servers of a configuration."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from el4ner.commands import OK, command_parser, run_command
from el4ner.environment import go_offline

FAILED, NOTHING = 1, 3
EPILOG = """\
exit codes: 0 done (start, status: every member answers); 1 a member does not come up or does not answer;
2 cannot begin (the message says why); 3 status: nothing runs; 130 interrupted (servers in the background go on).
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = _parser().parse_args(arguments)
    go_offline()
    return run_command("serve", lambda: int(options.run(options)))


def _plan(options: argparse.Namespace) -> int:
    from el4ner.config import load_config
    from el4ner.serve.control import make_plan
    from el4ner.serve.table import plan_text

    config = load_config(options.config)
    print(plan_text(make_plan(config, gpus=options.gpus, cpu=options.cpu, sizes_suffice=True), config))
    return OK


def _start(options: argparse.Namespace) -> int:
    from el4ner.serve.control import start, supervise

    run = supervise if options.foreground else start
    return run(options.config, gpus=options.gpus, cpu=options.cpu, say=_say, hang_s=options.hang_s)


def _status(options: argparse.Namespace) -> int:
    from el4ner.config import load_config
    from el4ner.serve.control import status

    found = status(load_config(options.config), options.config)
    if not found:
        print("nothing runs; start it with: python -m el4ner.serve start CONFIG")
        return NOTHING
    for server, answers in found:
        age = int(time.time() - server.since)
        pid = server.process.pid if server.process else "-"
        word = "answers" if answers else "does not answer"
        print(f"{server.name}: {word}; {server.phase} for {age} s, process {pid}, {server.restarts} restart(s)")
        print(f"  {server.url}  {', '.join(server.models)}\n  log {server.log}")
        if server.reason:
            print(f"  died last: {server.reason}")
    return OK if all(answers for _, answers in found) else FAILED


def _stop(options: argparse.Namespace) -> int:
    from el4ner.serve.control import stop

    names = stop(options.config)
    print(f"stopped: {', '.join(names)}" if names else "nothing runs")
    return OK


def _say(line: str) -> None:
    print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("serve", "Serve the members of a configuration by vLLM on this machine.", EPILOG)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, text in (
        ("plan", _plan, "print what goes where, and the exact commands; start nothing"),
        ("start", _start, "start every server and wait until all members answer"),
        ("status", _status, "ask every member for one token"),
        ("stop", _stop, "end what start has started, and nothing else"),
    ):
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        sub.add_argument("config", type=Path, metavar="CONFIG", help="configuration of the ensemble (YAML)")
        if name in ("plan", "start"):
            where = sub.add_mutually_exclusive_group()
            where.add_argument(
                "--gpus", metavar="NxSIZE", help="cards to plan for, as 2x24GiB; default: those installed"
            )
            where.add_argument("--cpu", action="store_true", help="serve on the CPU")
        if name == "start":
            sub.add_argument("--foreground", action="store_true", help="supervise here (for systemd or a container)")
            sub.add_argument(
                "--hang-s", type=float, default=120.0, metavar="SECONDS",
                help="without a token for so long, a server counts as hung and is started again (120)",
            )  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
