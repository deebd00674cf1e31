"""Settings that must stand before any model library is imported: no hub, no telemetry, no fork warnings."""

import os


def go_offline() -> None:
    """Switch off hub access and telemetry for this process and its children."""
    os.environ.update(
        HF_HUB_OFFLINE="1",
        TRANSFORMERS_OFFLINE="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        DO_NOT_TRACK="1",
        VLLM_NO_USAGE_STATS="1",
    )
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
