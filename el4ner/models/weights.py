"""What a model folder must hold, and what it must not: safetensors yes, pickled weights and remote code no."""

import hashlib
from pathlib import Path
from typing import Any

from el4ner.errors import ModelError
from el4ner.text.files import load_json

TUNING_RECORD_FILE = "el4ner-tuned.json"
"""What training notes of itself beside the weights; no answer depends on it."""


def check_model_folder(folder: Path) -> None:
    """Refuse a folder that cannot or may not be loaded.

    Raises:
        ModelError: no folder, no configuration, no safetensors weights, no tokenizer, or it asks for remote code.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder} is no folder; give the path of a downloaded model (el4ner never fetches one)")
    config = read_json(folder / "config.json")
    if not any(folder.glob("*.safetensors")):
        raise ModelError(f"{folder} holds no .safetensors weights; pickled weights are refused, convert them first")
    for name, content in (
        ("config.json", config),
        ("tokenizer_config.json", read_json(folder / "tokenizer_config.json")),
    ):
        if "auto_map" in content:
            raise ModelError(
                f"{folder / name} asks for remote code (auto_map); use weights that Transformers supports natively"
            )


def check_adapter_folder(folder: Path) -> None:
    """Refuse a folder that holds no PEFT adapter.

    Raises:
        ModelError: no adapter configuration, or no safetensors weights.
    """
    if not (folder / "adapter_model.safetensors").is_file():
        raise ModelError(f"{folder} holds no adapter_model.safetensors; give the folder that training wrote")
    read_json(folder / "adapter_config.json")


def hash_folder(folder: Path) -> str:
    """The sha256 (hex) over names and contents of a model folder's weights, configuration and tokenizer."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in {".safetensors", ".json", ".jinja", ".txt", ".model"} and path.name != TUNING_RECORD_FILE:
            digest.update(path.name.encode() + b"\0")
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a model folder.

    Raises:
        ModelError: it is missing, unreadable, or something else.
    """
    try:
        content = load_json(path)
    except FileNotFoundError:
        raise ModelError(f"{path} is missing; the folder is no complete model") from None
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}; fix the path or its permissions") from None
    except (ValueError, RecursionError):
        raise ModelError(f"{path} is not JSON; fetch the model again") from None
    if not isinstance(content, dict):
        raise ModelError(f"{path} is not a JSON object; fetch the model again")
    return content
