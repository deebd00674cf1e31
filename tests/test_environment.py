"""What stands before model libraries are imported."""

import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import yaml

from el4ner.environment import go_offline
from tests.engines.tiny_gguf import write_tiny_gguf

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("category", "module", "shown"),
    [
        (FutureWarning, "transformers.modeling_utils", False),
        (FutureWarning, "peft", False),
        (UserWarning, "transformers.modeling_utils", True),
        (FutureWarning, "el4ner.pipeline", True),
        (FutureWarning, "transformers_of_somebody", True),
    ],
)
def test_only_what_libraries_announce_to_each_other_is_hidden(category, module: str, shown: bool, monkeypatch) -> None:
    monkeypatch.setattr(sys, "warnoptions", [])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        go_offline()
        warnings.warn_explicit("said", category, "file.py", 1, module=module, registry={})
    assert bool(caught) == shown


def test_warnings_that_were_asked_for_are_shown() -> None:
    code = (
        "import warnings; from el4ner.environment import go_offline; go_offline(); "
        "warnings.warn_explicit('said', FutureWarning, 'file.py', 1, module='transformers.x')"
    )
    done = subprocess.run([sys.executable, "-W", "default", "-c", code], capture_output=True, text=True, check=True)
    assert "said" in done.stderr


@pytest.mark.slow
def test_a_first_run_says_nothing_on_standard_error(tmp_path: Path) -> None:
    """A GGUF model with an adapter: most libraries take part."""
    pytest.importorskip("torch")
    model = write_tiny_gguf(tmp_path / "tiny.gguf")
    labels = [{"name": "LOC", "words": {"en": "location"}}]
    content = {
        "labels": labels,
        "members": [{"name": "tiny", "engine": "local", "model": str(model)}],
        "verify": {"mode": "off"},
    }
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    words = ["--config", str(tmp_path / "own.yaml"), "--input", "-", "--output", str(tmp_path / "out")]
    command = [sys.executable, "-m", "el4ner.run", *words]
    done = subprocess.run(command, input="Bexley.\n", capture_output=True, encoding="utf-8", cwd=ROOT, check=False)
    said = [line for line in done.stderr.splitlines() if not line.startswith("el4ner.run: ")]
    assert done.returncode in (0, 1) and not said
