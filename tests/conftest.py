"""Fixtures that several rooms share; nothing heavy is imported before a test asks for it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# A machine that is busy with something else is no defect of the code under test.
settings.register_profile("el4ner", deadline=None)
settings.load_profile("el4ner")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Folder of a tiny random model by the name of its architecture (and a seed), made once a session."""
    import torch
    from tiny_models import save_tiny

    torch.set_num_threads(1)
    made: dict[tuple[str, int], Path] = {}

    def folder(name: str, seed: int = 1) -> Path:
        if (name, seed) not in made:
            made[name, seed] = save_tiny(name, tmp_path_factory.mktemp(f"{name}-{seed}-"), seed)
        return made[name, seed]

    return folder
