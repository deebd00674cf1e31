"""An adapter merged into its base: a model folder that any engine serves without knowing of adapters."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from el4ner.engines.tuning_record import read_tuning_record, write_tuning_record
from el4ner.errors import ConfigError, ModelError
from el4ner.models.weights import check_adapter_folder, check_model_folder
from el4ner.text.files import load_json
from el4ner.train.models import is_tied


def merge(adapter: Path, output: Path, base: Path | None = None, dtype: str | None = None) -> Path:
    """Write the base with the adapter merged into it, its tokenizer and the adapter's card to ``output``.

    Args:
        adapter: folder of a PEFT adapter.
        output: folder to write; must not hold a model yet.
        base: folder of the model that the adapter was tuned on; None: the one that the adapter names.
        dtype: precision of the merged weights; None: as the base is stored.

    Returns:
        The base that it was merged into.

    Raises:
        ConfigError: the output holds a model already.
        ModelError: adapter or base cannot be loaded, or do not fit together.
    """
    check_adapter_folder(adapter)
    if (output / "config.json").exists():
        raise ConfigError(f"{output} holds a model already; give another --output")
    base = base or _named_base(adapter)
    check_model_folder(base)
    tokenizer, model = _merged(base, adapter, dtype or _stored(base))
    output.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(output, safe_serialization=True)
    tokenizer.save_pretrained(output)
    write_tuning_record(output, read_tuning_record(base, adapter))
    card = adapter / "README.md"
    if card.is_file():
        merged = f"\nThe adapter is merged into its base, {base.name}.\n"
        (output / "README.md").write_text(card.read_text(encoding="utf-8") + merged, encoding="utf-8")
    return base


def _named_base(adapter: Path) -> Path:
    named = load_json(adapter / "adapter_config.json").get("base_model_name_or_path")
    if not isinstance(named, str) or not Path(named).is_dir():
        raise ModelError(f"{adapter} names no base that is a folder here; give the base's folder by --model")
    return Path(named)


def _stored(base: Path) -> str:
    config = load_json(base / "config.json")
    stored = str(config.get("dtype") or config.get("torch_dtype") or "float32").removeprefix("torch.")
    return stored if isinstance(getattr(torch, stored, None), torch.dtype) else "float32"


def _merged(folder: Path, adapter: Path, dtype: str) -> tuple[Any, Any]:
    """Tokenizer and model of a folder, the adapter merged into it."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), use_safetensors=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"{folder} cannot be loaded ({type(error).__name__}); check that the download is complete"
        ) from error
    return tokenizer, _with_adapter(model, adapter)


def _with_adapter(model: Any, adapter: Path) -> Any:
    from peft import PeftConfig, PeftModel

    try:
        tuned = PeftModel(model, PeftConfig.from_pretrained(adapter))
        _check_embeddings(tuned, adapter)
        lacking = tuned.load_adapter(adapter, "default").missing_keys
        merged = tuned.merge_and_unload()
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"{adapter} cannot be put on this model ({type(error).__name__}); give an adapter that was tuned on it"
        ) from error
    if lacking:  # PEFT would only warn, and the base model would answer
        raise ModelError(f"{adapter} lacks {len(lacking)} of the tensors that it names; fetch or train it again")
    return merged


def _check_embeddings(tuned: Any, adapter: Path) -> None:
    """Refuse an adapter of tied embeddings: merged into one of them, it would change the other as well.

    Raises:
        ModelError: it is one.
    """
    base = tuned.get_base_model()
    embeddings = (base.get_input_embeddings(), base.get_output_embeddings())
    if is_tied(base) and any(hasattr(module, "base_layer") for module in embeddings):
        raise ModelError(
            f"{adapter} adapts embeddings, which are one matrix at both ends of this model, and cannot be merged; "
            "tune an adapter without lm_head and embed_tokens"
        )
