"""What is said once a process is said once a test."""

import sys

import pytest


@pytest.fixture(autouse=True)
def _said_anew():
    http = sys.modules.get("el4ner.engines.http")
    if http is not None:
        http._say.cache_clear()
