"""``python -m el4ner.index``: pre-extract the pool's spans with all members once, and keep their FAISS index (stage 1)."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from el4ner.environment import go_offline

go_offline()

from rich.console import Console  # noqa: E402
from rich.progress import Progress  # noqa: E402

from el4ner.commands import OK, run_command  # noqa: E402
from el4ner.config import Config, load_config  # noqa: E402
from el4ner.errors import ConfigError  # noqa: E402
from el4ner.text.documents import Document  # noqa: E402
from el4ner.text.language import detect  # noqa: E402
from el4ner.text.spans import Span  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0, 2 where it could not be done, 130 where it was interrupted."""
    options = _parser().parse_args(arguments)

    def work() -> int:
        config = load_config(options.config)
        if options.pool is not None:
            config = config.model_copy(
                update={"pool": config.pool.model_copy(update={"path": str(options.pool.resolve())})}
            )
        build(config, options.output, options.spans, options.quiet)
        return OK

    return run_command("index", work)


def build(config: Config, output: Path, source: str, quiet: bool = False) -> None:
    """Index the pool of a configuration into a folder, by gold or by pre-extracted spans."""
    from el4ner.demos.build import load_pool
    from el4ner.demos.embed import build_embedder
    from el4ner.demos.index import SpanIndex, gold_spans

    pool = load_pool(config)
    embedder = build_embedder(config.embedder)
    if source == "gold":
        index = SpanIndex.build(pool, gold_spans(pool), embedder)
    else:
        spans = asyncio.run(_pre_extracted(config, pool, quiet))
        index = SpanIndex.build(pool, spans, embedder, "pre-extracted")
    index.save(output)
    found = sum(index.manifest.spans.values())
    print(f"{len(pool)} sentences, {found} different {source} spans -> {output}")


async def _pre_extracted(config: Config, pool: Sequence[Document], quiet: bool) -> list[list[Span]]:
    """The union of all members' zero-shot spans for each pool sentence.

    Raises:
        ConfigError: no member answered for a sentence, so that its spans would be wrong for good.
    """
    from el4ner.engines.meter import Meter
    from el4ner.pipeline import build_pipeline
    from el4ner.recognisers.base import WindowContext

    zero_shot = config.model_copy(
        update={"demonstrations": config.demonstrations.model_copy(update={"method": "none"})}
    )
    pipeline = build_pipeline(zero_shot, Meter())
    limit = asyncio.Semaphore(config.batch.windows_in_flight)
    with Progress(console=Console(stderr=True), disable=quiet or not sys.stderr.isatty()) as progress:
        task = progress.add_task("pre-extracting", total=len(pool))

        async def one(document: Document) -> list[Span]:
            async with limit:
                context = WindowContext.of(document.text, detect(document.text))
                spans, answered = await pipeline.pre_extract(context)
                progress.advance(task)
                if not answered:
                    reason = "; ".join(context.problems) or f"no member takes its language, {context.language}"
                    raise ConfigError(f"no member answered for pool sentence {document.id}: {reason}")
                return spans

        try:
            return list(await asyncio.gather(*map(one, pool)))
        finally:
            await pipeline.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m el4ner.index", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the ensemble's YAML file")
    parser.add_argument(
        "--output", type=Path, required=True, help="folder for the index; name it as pool.index afterwards"
    )
    parser.add_argument(
        "--pool", type=Path, help="labelled sentences (JSONL or CoNLL) instead of the configuration's pool"
    )
    parser.add_argument(
        "--spans",
        choices=("gold", "pre-extracted"),
        default="gold",
        help="which pool spans inputs are compared with: the labelled ones (default), or those the members find (the paper)",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


if __name__ == "__main__":
    sys.exit(main())
