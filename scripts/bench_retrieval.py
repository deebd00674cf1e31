"""Time retrieval at several pool sizes: FAISS against scoring every pool sentence, in one run.

    python scripts/bench_retrieval.py [--sizes 1000 10000 100000] [--queries 40] [--k 5] [--quick]

Pool sentences hold 1 to 4 spans, drawn with a skewed frequency from names put together of random words; every query
has 1 to 4 spans, some of them in the pool. Times are the search alone: span vectors are computed before. Recall is the
share of the exact k best that was found.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from el4ner.demos.embed import StaticEmbedder, Vectors
from el4ner.demos.partition import Partition, Scored
from el4ner.demos.ragged import Ragged

EMBEDDER = Path(__file__).parents[1] / "el4ner" / "bundled" / "embedder"
ROUNDING = 2e-6
HEADER = "sentences   spans search       median ms   p95 ms x faster  recall  build s"
Search = Callable[[Vectors, Vectors], Scored]


def main() -> None:
    """Run all sizes and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="1,000 and 5,000 sentences, 20 queries")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.sizes, arguments.queries = [1_000, 5_000], 20
    embedder, rng = StaticEmbedder(EMBEDDER), np.random.default_rng(13)
    print(HEADER)
    for size in arguments.sizes:
        bench_size(size, arguments.queries, arguments.k, embedder, rng)


def bench_size(size: int, n_queries: int, k: int, embedder: StaticEmbedder, rng: np.random.Generator) -> None:
    """Print the rows of one pool size."""
    names = make_names(2 * size, rng)
    vectors = embedder.encode(names)
    rows = [skewed(len(names), int(rng.integers(1, 5)), rng) for _ in range(size)]
    sentences = np.zeros((0, embedder.dim), dtype=np.float32)
    spans_of = Ragged.of([row.tolist() for row in rows])
    queries = [make_query(vectors, rng) for _ in range(n_queries)]
    started = time.perf_counter()
    part = Partition.build(range(size), vectors, sentences, spans_of)
    built = time.perf_counter() - started
    exact, times = timed(queries, exhaustive(part, k))
    brute_ms = float(np.median(times))
    print_row(size, len(names), "brute force", times, brute_ms, 1.0, 0.0)
    found, times = timed(queries, with_faiss(part, k))
    print_row(size, len(names), "faiss", times, brute_ms, recall(found, exact), built)


def vocabulary() -> list[str]:
    """The embedder's whole words of at least three letters."""
    words = Tokenizer.from_file(str(EMBEDDER / "tokenizer.json")).get_vocab()
    return sorted(word for word in words if word.isascii() and word.isalpha() and len(word) >= 3)


def make_names(count: int, rng: np.random.Generator) -> list[str]:
    """Made-up names of one to three words, most of them different."""
    words = np.array(vocabulary())
    chosen, lengths = rng.integers(len(words), size=(count, 3)), rng.integers(1, 4, size=count)
    return list(dict.fromkeys(" ".join(words[row[:length]]) for row, length in zip(chosen, lengths, strict=True)))


def skewed(total: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` or fewer different numbers below ``total``; small ones are common, like frequent names."""
    return np.unique((total * rng.random(count) ** 2).astype(np.int64))


def make_query(vectors: Vectors, rng: np.random.Generator) -> tuple[Vectors, Vectors]:
    """Span vectors near pool spans, some equal to one, with weights 1, 2 or 4."""
    count = int(rng.integers(1, 5))
    rows = vectors[rng.integers(len(vectors), size=count)]
    noise = rng.normal(size=rows.shape) * rng.choice([0.0, 0.03], size=(count, 1))
    moved = rows + noise.astype(np.float32)
    weights = rng.choice(np.array([1, 2, 4], dtype=np.float32), size=count)
    return (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32), weights


def exhaustive(part: Partition, k: int) -> Search:
    """Exact SpanSim with every sentence."""
    return lambda inputs, weights: part.exhaustive(inputs, weights, k, ())


def with_faiss(part: Partition, k: int) -> Search:
    """Candidates from FAISS, then exact SpanSim."""
    return lambda inputs, weights: part.by_spans(inputs, weights, k, ())


def timed(queries: list[tuple[Vectors, Vectors]], search: Search) -> tuple[list[Scored], list[float]]:
    """Answers and milliseconds of each query, after one to warm up."""
    search(*queries[0])
    answers, times = [], []
    for inputs, weights in queries:
        started = time.perf_counter()
        answers.append(search(inputs, weights))
        times.append(1000 * (time.perf_counter() - started))
    return answers, times


def recall(found: list[Scored], exact: list[Scored]) -> float:
    """Share of the exact answers whose score was reached, up to rounding; equal scores count as equally good."""
    pairs = zip(found, exact, strict=True)
    reached = [sum(score >= truth[-1][1] - ROUNDING for _, score in answer) / len(truth) for answer, truth in pairs]
    return float(np.mean(reached))


def print_row(
    size: int, spans: int, search: str, times: list[float], brute_ms: float, share: float, built: float
) -> None:
    """One line of the table."""
    median, late = float(np.median(times)), float(np.percentile(times, 95))
    speed = brute_ms / median
    print(f"{size:>9} {spans:>7} {search:<12} {median:>9.2f} {late:>8.2f} {speed:>8.1f} {share:>7.3f} {built:>8.1f}")


if __name__ == "__main__":
    main()
