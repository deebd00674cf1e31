"""Fixtures that several rooms share; nothing heavy is imported before a test asks for it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# A machine that is busy with something else is no defect of the code under test.
settings.register_profile("thorough", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=25)


def pytest_configure(config: pytest.Config) -> None:
    """The default tier tries few examples of each property; where slow tests run, as many as Hypothesis tries by itself."""
    settings.load_profile("quick" if "not slow" in config.option.markexpr else "thorough")


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


@pytest.fixture(scope="session")
def vllm_python() -> str:
    """The interpreter that has vLLM."""
    named = os.environ.get("EL4NER_VLLM_PYTHON")
    found = named or str(Path(__file__).parents[1] / ".venv-vllm" / "bin" / "python")
    if not Path(found).is_file():
        assert not named, f"EL4NER_VLLM_PYTHON names {named}, which is not there"
        pytest.skip("no vLLM; run scripts/setup_vllm.sh, or set EL4NER_VLLM_PYTHON")
    return found
