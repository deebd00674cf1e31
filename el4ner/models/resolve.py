"""From the ``model`` of a configuration, a path or a name, to what an engine loads."""

from pathlib import Path

from el4ner.config import is_model_name
from el4ner.errors import ConfigError
from el4ner.models import store
from el4ner.models.cards import command_to_get
from el4ner.models.registry import Entry, entry_of, megabytes, registry


def file_to_run(model: str) -> Path:
    """What a local engine loads: a path as it is; of a name its GGUF file, or its folder where it came as one.

    Raises:
        ConfigError: a name that is not installed, or unknown.
    """
    if not is_model_name(model):
        return Path(model)
    check_installed(model)
    places = [store.model_folder(model) / name for name in (store.RUN, store.MODEL, store.SAFETENSORS)]
    return next((place for place in places if place.exists()), places[1])


def weights_folder(model: str) -> Path:
    """What Transformers, PEFT and vLLM load: a path as it is; of a name its folder, converted if need be.

    Raises:
        ConfigError: a name that is not installed, or unknown.
        ModelError: it cannot be converted.
    """
    if not is_model_name(model):
        return Path(model)
    from el4ner.models.convert import safetensors_folder

    check_installed(model)
    return safetensors_folder(model)


def tokenizer_folder(model: str) -> Path:
    """Where the tokenizer of a served model lies, if it is here: nothing is checked, nothing is converted."""
    return store.model_folder(model) / store.SAFETENSORS if is_model_name(model) else Path(model)


def known_entry(model: str) -> Entry | None:
    """The registry's entry that a ``model`` means by name, or by a path that ends as the hub calls it."""
    return next((entry for entry in registry().values() if Path(model).name in (entry.name, entry.folder)), None)


def check_installed(name: str) -> store.Installed:
    """The record of an installed model.

    Raises:
        ConfigError: it is not installed, with the command that gets it; or unknown, with the nearest names.
    """
    record = store.installed(name)
    if record:
        return record
    entry = entry_of(name, also=store.installed_names())
    if entry.file is None:
        raise ConfigError(
            f"{name} is not installed, and no package index carries it ({megabytes(entry.size)}); how to bring it: "
            f"python -m el4ner.models show {name}"
        )
    raise ConfigError(f"{name} is not installed; get it with: {command_to_get(entry)} ({megabytes(entry.size)})")
