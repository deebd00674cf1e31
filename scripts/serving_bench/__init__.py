"""The parts of ``scripts/bench_serving.py``."""
