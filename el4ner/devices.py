"""Whether the devices that a configuration names are here."""

from el4ner.errors import ConfigError


def check_device(device: str, where: str) -> None:
    """Refuse a device that this machine has not, or that its PyTorch cannot use; for the CPU, PyTorch is not imported.

    Args:
        device: as PyTorch calls it: ``cpu``, ``cuda``, ``cuda:N``.
        where: whose device it is, for the message: ``member opt``.

    Raises:
        ConfigError: it is not here.
    """
    if device == "cpu":
        return
    import torch

    try:
        named = torch.device(device)
    except RuntimeError:
        raise ConfigError(f"{where}: device {device!r} is none that PyTorch knows; use cpu, cuda or cuda:N") from None
    problem = _missing_card(named.index or 0) if named.type == "cuda" else None
    if problem is not None:
        raise ConfigError(f"{where}: device {device}: {problem}")


def _missing_card(number: int) -> str | None:
    """What is wrong with the card of that number, and what to do; None: it is here."""
    import torch

    if not torch.backends.cuda.is_built():  # type: ignore[no-untyped-call]
        return (
            f"PyTorch {torch.__version__} is a build for the CPU; install the CUDA build (bash scripts/setup.sh --cuda), "
            "or set device: cpu"
        )
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if cards == 0:
        return "PyTorch finds no card (nvidia-smi lists those that the driver sees); set device: cpu"
    if number >= cards:
        last = "cuda:0 alone" if cards == 1 else f"cuda:0 to cuda:{cards - 1}"
        return f"there is {last} here (CUDA_VISIBLE_DEVICES can hide cards); name one of these"
    return None
