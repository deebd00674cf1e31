"""What is tuned: tokenizer and model from their folder, and the model's outline without its weights."""

import importlib.util
from typing import Any

import torch
import transformers
from safetensors import SafetensorError

from el4ner.environment import pip_install
from el4ner.errors import ConfigError, ModelError
from el4ner.train.config import TrainConfig
from el4ner.train.prefix_cache import can_share


def load_tokenizer(folder: str) -> Any:
    """The tokenizer of a model folder, ready for padding.

    Raises:
        ModelError: it cannot be loaded.
    """
    tokenizer = _load(transformers.AutoTokenizer, folder)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def outline(folder: str) -> Any:
    """The model of a folder on PyTorch's meta device: its modules with their shapes, no weights.

    Raises:
        ModelError: its configuration cannot be loaded.
    """
    with torch.device("meta"):
        return transformers.AutoModelForCausalLM.from_config(_load(transformers.AutoConfig, folder))


def check_shares(model: Any, folder: str) -> None:
    """Refuse ``share_prefix`` for a model that would read a shared prompt differently.

    Raises:
        ConfigError: it would.
    """
    if not can_share(model):
        raise ConfigError(
            f"optimisation.share_prefix: {folder} ({model.config.model_type}) has a sliding window, recurrent layers or "
            "rescaled logits, and would be trained on something else than it reads later; set share_prefix: false"
        )


def check_quantises(config: TrainConfig) -> None:
    """Refuse 4-bit weights where nothing can make them.

    Raises:
        ConfigError: the package bitsandbytes is missing.
    """
    wanted = config.lora is not None and config.lora.quantize is not None
    if wanted and importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigError(
            f"lora.quantize: nf4 needs bitsandbytes: {pip_install('bitsandbytes')}; or leave quantize out"
        )


def load_model(config: TrainConfig) -> Any:
    """The model to tune: all weights in float32; under an adapter in ``lora.base_dtype``, or in 4 bits.

    Raises:
        ModelError: it cannot be loaded.
    """
    lora = config.lora
    settings: dict[str, Any] = {"dtype": "float32" if lora is None else lora.base_dtype, "use_safetensors": True}
    if lora is not None and lora.quantize is not None:
        settings |= {"dtype": "bfloat16", "quantization_config": _four_bits(), "device_map": {"": device_of(config)}}
    return _load(transformers.AutoModelForCausalLM, config.model, **settings)


def load_weights(folder: str) -> Any:
    """The model of a folder in float32.

    Raises:
        ModelError: it cannot be loaded.
    """
    return _load(transformers.AutoModelForCausalLM, folder, dtype="float32", use_safetensors=True)


def is_tied(model: Any) -> bool:
    """Whether input and output embeddings of a model are one matrix."""
    return bool(model.config.get_text_config().tie_word_embeddings)


def device_of(config: TrainConfig) -> str:
    """``cpu`` or ``cuda``: where the run computes."""
    on_cpu = config.device == "cpu" or (config.device == "auto" and not torch.cuda.is_available())
    return "cpu" if on_cpu else "cuda"


def _four_bits() -> Any:
    """NF4 with doubly quantised scales, computing in bfloat16 (QLoRA, arXiv 2305.14314, section 3)."""
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def _load(kind: Any, folder: str, **settings: Any) -> Any:
    try:
        return kind.from_pretrained(folder, **settings)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"{folder} cannot be loaded ({type(error).__name__}); check that the download is complete"
        ) from error
