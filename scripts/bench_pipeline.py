"""Speed, memory and start-up of the pipeline on this machine, each measured in a process of its own.

    python scripts/bench_pipeline.py [throughput] [memory] [startup] [--config configs/default.yaml] [--real]

throughput  sentences per second of the whole pipeline, all sentences at once, against the very requests that reached the
            members asked again one at a time, member after member: that is the models' work alone, without retrieval,
            prompts and votes. Members in this process run on llama.cpp either way, which keeps beginnings of prompts
            from one request to the next, so that the ratio is what concurrency brings. It depends on how much slower the
            machine multiplies small matrices than large ones. Answers may differ where sums in another order change a
            close one.
memory      resident memory of runs over 1,000 and 10,000 made-up documents: it should not grow with the corpus (within
            10 %). "peak" is the most that the process ever held, often before the first document; "end" is what it
            holds after the last one, and shows a leak sooner. Members answer at once, by a rule, because the flow is in
            question and not a model; with --real they are those of the configuration.
startup     seconds from calling ``python -m el4ner.run`` on one short document to its record, and to the end.

The throughput part takes sentences from ``examples/``, half English and half Chinese. It and the startup part need the
configuration's models (``python -m el4ner.models get NAME``). Other work on the machine falsifies the times: the load average
is printed first.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from el4ner.environment import go_offline

go_offline()

from el4ner.batch.journal import PREDICTIONS  # noqa: E402
from el4ner.config import load_config  # noqa: E402
from el4ner.errors import El4nerError, InputError  # noqa: E402

DEFAULT = Path(__file__).parents[1] / "configs" / "default.yaml"
KINDS = ("texts", "choices")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, or 2 with a message on standard error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("parts", nargs="*", type=known_part, metavar="PART", help="what to measure (default: everything)")
    add("--config", type=Path, default=DEFAULT, help="the ensemble")
    add("--sentences", type=int, default=20, metavar="N", help="of the throughput part (default: %(default)s)")
    add("--sizes", type=int, nargs="+", default=[1_000, 10_000], metavar="N", help="documents of the memory part")
    add("--real", action="store_true", help="memory part: the configuration's own members")
    add("--child", type=int, help=argparse.SUPPRESS)
    try:
        measure(parser.parse_args(arguments))
    except El4nerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def measure(options: argparse.Namespace) -> None:
    """Print the parts; as a child process, print what one part measured as JSON."""
    if options.child is not None:
        print(json.dumps(measured(options)))
        return
    print(f"load average before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    for part in options.parts or SHOWN:
        SHOWN[part](options)


def measured(options: argparse.Namespace) -> dict[str, float]:
    """What the child process is there for. The parts are imported here, so that none pays for another's imports."""
    config = load_config(options.config)
    if options.parts == ["memory"]:
        from pipeline_bench.memory import memory

        return asyncio.run(memory(config, options.child, options.real))
    from pipeline_bench.throughput import throughput

    return asyncio.run(throughput(config, options.child))


def show_throughput(options: argparse.Namespace) -> None:
    """Measure and print the throughput part."""
    found = in_child(options, "throughput", options.sentences)
    count, requests = found["sentences"], found["requests"]
    print(f"throughput: {count} sentences, {requests} requests")
    for name, title in (("together", "all at once"), ("alone", "one at a time")):
        seconds = found[f"{name}_s"]
        print(f"  {title:<16}{count / seconds:8.2f} sentences/s {seconds:9.1f} s", end="")
        print("" if name == "together" else f"  ratio {seconds / found['together_s']:.2f}")
    print(f"  answered alike both times: {100 * found['alike'] / requests:.1f} %")
    print(f"  cores busy when all at once: {found['together_cpu_s'] / found['together_s']:.2f}")
    parts = ", ".join(f"{found[name]:.0f} {name} in {found[name + '_s']:.1f} s" for name in KINDS if found[name])
    print(f"  one at a time: {parts}")


def show_memory(options: argparse.Namespace) -> None:
    """Measure and print the memory part."""
    print(f"memory: {'real' if options.real else 'instant'} members")
    found = [in_child(options, "memory", size) for size in options.sizes]
    for size, run in zip(options.sizes, found, strict=True):
        print(
            f"  {size:>8,} documents  peak {run['peak_mib']:7.1f}  end {run['end_mib']:7.1f} MiB {run['seconds']:9.1f} s"
        )
    peak, end = (found[-1][name] / found[0][name] for name in ("peak_mib", "end_mib"))
    print(f"  last / first        peak {peak:7.3f}  end {end:7.3f}   (aim: at most 1.1)")


def show_startup(options: argparse.Namespace) -> None:
    """Measure and print the start-up part."""
    first_s, whole_s = startup(options.config)
    print(f"startup: {first_s:.1f} s to the first record, {whole_s:.1f} s to the end")


def known_part(text: str) -> str:
    """The name of a part, for argparse, which does not check choices of an optional list well."""
    if text not in SHOWN:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(SHOWN)}")
    return text


def in_child(options: argparse.Namespace, part: str, size: int) -> dict[str, float]:
    """What a part measured in a new process.

    Raises:
        InputError: it failed; its message is on standard error.
    """
    words = [__file__, part, "--config", str(options.config), "--child", str(size)]
    done = subprocess.run(
        [sys.executable, *words, *(["--real"] * options.real)], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise InputError(f"the {part} part failed")
    result: dict[str, float] = json.loads(done.stdout)
    return result


def startup(config: Path) -> tuple[float, float]:
    """Seconds until the command has written its first record, and until it ends.

    Raises:
        InputError: it ended without a record.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder, "short.txt"), Path(folder, "out")
        source.write_text("Anna Holm lives in Oslo.\n", encoding="utf-8")
        words = ["-m", "el4ner.run", "--config", str(config), "--input", str(source), "--output", str(output)]
        records = output / PREDICTIONS
        started = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            while process.poll() is None and not has_content(records):
                time.sleep(0.01)
            first_s = time.perf_counter() - started
        if not has_content(records):
            raise InputError(f"python {' '.join(words[:4])} wrote no record; run it to see why")
        return first_s, time.perf_counter() - started


def has_content(path: Path) -> bool:
    """Whether the file is there and not empty."""
    return path.is_file() and path.stat().st_size > 0


SHOWN = {
    "throughput": show_throughput,
    "memory": show_memory,
    "startup": show_startup,
}


if __name__ == "__main__":
    sys.exit(main())
