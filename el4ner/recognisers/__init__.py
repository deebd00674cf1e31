"""Whoever finds entities in a window; ``base.py`` is the protocol, and each recogniser has a file of its own."""
