"""Settings that must stand before any model library is imported: no hub, no telemetry, no words between libraries."""

import os
import sys
import warnings

LIBRARIES = ("accelerate", "huggingface_hub", "peft", "sentence_transformers", "torch", "transformers")


def pip_install(package: str) -> str:
    """The command that installs a package beside this copy of el4ner, for messages."""
    return f"{sys.executable} -m pip install {package}"


def go_offline() -> None:
    """Switch off hub access and telemetry for this process and its children, and hide what libraries tell each other."""
    os.environ.update(
        HF_HUB_OFFLINE="1",
        TRANSFORMERS_OFFLINE="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        DO_NOT_TRACK="1",
        VLLM_NO_USAGE_STATS="1",
    )
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    _hide_deprecations()


def _hide_deprecations() -> None:
    """No announcement of one library's changes to the authors of another; -W and PYTHONWARNINGS bring them back."""
    if not sys.warnoptions:
        warnings.filterwarnings("ignore", category=FutureWarning, module=rf"({'|'.join(LIBRARIES)})(\.|$)")
