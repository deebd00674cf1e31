"""What the pipeline makes of vLLM's servers: its throughput, and what prefix caching brings.

    python scripts/bench_serving.py --cpu [--config configs/small-vllm.yaml] [--sentences 100] [--once]

Starts the servers of the configuration, runs sentences of ``examples/`` (half English, half Chinese, one a document)
through the whole pipeline, and then sends the very same requests again, all at once, by a client that only sends and
counts: what the servers can do. The ratio says how much of that the pipeline gets; at least 0.9 is the aim. The second
sending uses a prefix cache of its own (``cache_salt``), so that the first does not pay for it. Then all of it again on
servers without prefix caching, unless ``--once``.

``--running`` measures servers that run already, once. Ports and the API key are those of the configuration. Other work on
the machine falsifies the times: the load average is printed first.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from el4ner.environment import go_offline

go_offline()

from pipeline_bench.throughput import example_sentences  # noqa: E402
from serving_bench.measure import Measured, measure  # noqa: E402
from serving_bench.servers import running, variant  # noqa: E402

from el4ner.config import Config, load_config  # noqa: E402
from el4ner.errors import ConfigError, El4nerError  # noqa: E402

DEFAULT = Path(__file__).parents[1] / "configs" / "small-vllm.yaml"
WARM_UP = 4
"""Sentences before the clock starts, which the measured ones are not."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, or 2 with a message on standard error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--config", type=Path, default=DEFAULT, help="the ensemble (default: %(default)s)")
    add("--sentences", type=int, default=100, metavar="N", help="sentences to measure (default: %(default)s)")
    add("--once", action="store_true", help="with prefix caching only")
    add("--running", action="store_true", help="measure servers that run already")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--gpus", metavar="NxSIZE", help="cards to plan for; default: those installed")
    where.add_argument("--cpu", action="store_true", help="serve on the CPU")
    try:
        bench(parser.parse_args(arguments))
    except El4nerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def bench(options: argparse.Namespace) -> None:
    """Measure what is asked, and print it.

    Raises:
        ConfigError: a member is not behind a server.
    """
    config = load_config(options.config)
    if any(member.engine != "http" for member in config.members):
        raise ConfigError(f"{options.config}: every member must have engine: http")
    print(f"load average before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    if options.running:
        show("servers as they run", measured(config, options.sentences))
        return
    for caching in (True,) if options.once else (True, False):
        with tempfile.TemporaryDirectory() as folder:
            path = variant(config, Path(folder), prefix_caching=caching)
            served = load_config(path)
            with running(path, gpus=options.gpus, cpu=options.cpu):
                found = measured(served, options.sentences)
        show(f"{'with' if caching else 'without'} prefix caching", found)


def measured(config: Config, count: int) -> Measured:
    """The measurement over that many sentences."""
    sentences = example_sentences(count + WARM_UP)
    return asyncio.run(measure(config, sentences[WARM_UP:], sentences[:WARM_UP]))


def show(title: str, found: Measured) -> None:
    """Print a measurement."""
    count = found.sentences
    print(f"{title}: {count} sentences, {found.requests} requests, {found.failed} sentences without a result")
    for name, seconds in (("pipeline", found.pipeline_s), ("the same, bare", found.bare_s)):
        speed = f"{count / seconds:8.2f} sentences/s {found.requests / seconds:8.1f} requests/s"
        print(f"  {name:<16}{speed} {seconds:9.1f} s")
    print(f"  {'ratio':<16}{found.ratio:8.2f}   (aim: at least 0.9)")
    print(f"  {'prefix cache':<16}{100 * found.hits:8.1f} % of the prompt tokens were known")
    print(f"  {'a sentence':<16}{'requests':>10}{'prompt tokens':>16}{'answer tokens':>16}")
    for name, stage in found.stages.items():
        print(
            f"    {name:<14}{stage.requests / count:10.2f}{stage.prompt_tokens / count:16.1f}"
            f"{stage.answer_tokens / count:16.1f}"
        )


if __name__ == "__main__":
    sys.exit(main())
