"""The parts of ``scripts/experiment_mrc.py``."""
