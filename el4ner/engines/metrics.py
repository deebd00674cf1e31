"""What a vLLM server counts at ``/metrics``: how much it read and wrote, and how much of that its prefix cache knew."""

import re
from dataclasses import astuple, dataclass
from typing import Any, Self

PATH = "/metrics"
"""Beside ``/v1``, and open to whoever reaches the server: the API key does not guard it."""
_SAMPLE = re.compile(r"^vllm:(\w+?)(?:_total)?(?:\{[^}]*\})?\s+([0-9.eE+]+)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ServerCounts:
    """Counters of one server since it started, all engines and all who asked it together.

    Attributes:
        prefix_cache_queries: prompt tokens that were looked up in the prefix cache.
        prefix_cache_hits: those of them that it held.
        prompt_tokens: tokens read.
        generation_tokens: tokens written.
        num_preemptions: requests that lost their place in the KV cache and were begun again.
    """

    prefix_cache_queries: int = 0
    prefix_cache_hits: int = 0
    prompt_tokens: int = 0
    generation_tokens: int = 0
    num_preemptions: int = 0

    @classmethod
    def read(cls, page: str) -> Self:
        """The counters of a page in Prometheus' text form; those that are not on it are 0."""
        sums = dict.fromkeys(cls.__slots__, 0.0)
        for name, value in _SAMPLE.findall(page):
            if name in sums:
                sums[name] += float(value)
        return cls(**{name: round(value) for name, value in sums.items()})

    def since(self, earlier: "ServerCounts") -> "ServerCounts":
        """The growth since an earlier reading; where the server was started again between the two, since its start."""
        pairs = list(zip(astuple(self), astuple(earlier), strict=True))
        restarted = any(now < then for now, then in pairs)
        return ServerCounts(*(now if restarted else now - then for now, then in pairs))

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON, with ``prefix_cache_hit_rate``: hits of queries, null where nothing was looked up."""
        rate = round(self.prefix_cache_hits / self.prefix_cache_queries, 4) if self.prefix_cache_queries else None
        counts = {name: getattr(self, name) for name in self.__slots__}
        return {"prefix_cache_hit_rate": rate, **counts}
