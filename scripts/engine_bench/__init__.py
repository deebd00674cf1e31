"""Parts of scripts/bench_engines.py."""
