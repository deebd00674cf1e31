"""What stands before model libraries are imported."""

import subprocess
import sys
import warnings

import pytest

from el4ner.environment import go_offline


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
