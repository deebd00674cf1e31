"""From the configuration to servers: members that share an endpoint share a server (a base and its adapters)."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from el4ner.config import Config, MemberConfig, ServeConfig
from el4ner.engines.allowed_hosts import check_endpoint, is_loopback
from el4ner.errors import ConfigError
from el4ner.serve.adapters import Adapter, read_adapter
from el4ner.serve.memory import Workload
from el4ner.serve.shape import ModelFolder, find_model

PLANNED = {
    "--model", "--served-model-name", "--host", "--port", "--uds", "--api-key", "--dtype", "--max-model-len", "--max-num-seqs",
    "--max-num-batched-tokens", "--kv-cache-memory-bytes", "--gpu-memory-utilization", "--tensor-parallel-size", "-tp",
    "--data-parallel-size", "-dp", "--pipeline-parallel-size", "-pp", "--load-format", "--quantization", "-q",
    "--enable-lora", "--lora-modules", "--max-loras", "--max-lora-rank", "--config", "--device-ids",
}  # fmt: skip
"""Arguments that the plan sets itself."""
REFUSED = {
    "--trust-remote-code", "--enable-log-requests", "--enable-log-outputs", "--allowed-media-domains", "--hf-token",
    "--download-dir", "--tokenizer", "--allow-credentials", "--allowed-origins", "--middleware", "--worker-extension-cls",
}  # fmt: skip
"""Arguments that would run foreign code, log text, fetch something or open the server."""


@dataclass(frozen=True)
class Server:
    """One vLLM server to be.

    Attributes:
        name: of its first member; names log and state.
        members: names of the members it serves.
        served: model names that requests give: for the base first, then its adapters.
        adapters: served model name to adapter.
        key_env: environment variable with its API key, if it is to have one.
    """

    name: str
    members: tuple[str, ...]
    host: str
    port: int
    model: ModelFolder
    served: str
    adapters: dict[str, Adapter]
    asked: Workload
    dtype: str
    settings: ServeConfig
    key_env: str | None

    @property
    def url(self) -> str:
        """Base URL of its API."""
        return f"http://{self.host}:{self.port}/v1"


def servers(config: Config, *, on_cpu: bool, sizes_suffice: bool = False) -> tuple[Server, ...]:
    """The servers that this configuration wants on this machine, in the members' order.

    Args:
        config: the configuration.
        on_cpu: whether they compute there.
        sizes_suffice: models of the registry may be missing here: for a plan that starts nothing.

    Raises:
        ConfigError: no member has a ``serve`` section, or members of one endpoint contradict each other.
        ModelError: a model or an adapter cannot be served.
    """
    groups: dict[int, list[MemberConfig]] = {}
    for member in config.members:
        if member.serve is not None:
            groups.setdefault(_address(member)[1], []).append(member)
    if not groups:
        raise ConfigError("no member has a serve section, so there is nothing to serve; add serve: {model: FOLDER}")
    return tuple(_server(group, on_cpu=on_cpu, sizes_suffice=sizes_suffice) for group in groups.values())


def dtype_of(setting: Literal["auto", "float32", "bfloat16", "float16", "fp8"], stored: str, *, on_cpu: bool) -> str:
    """The precision to serve in: ``auto`` and ``fp8`` keep the stored one, but on a card float32 becomes bfloat16."""
    if setting not in ("auto", "fp8"):
        return setting
    return "bfloat16" if stored == "float32" and not on_cpu else stored


def _server(group: list[MemberConfig], *, on_cpu: bool, sizes_suffice: bool) -> Server:
    first = group[0]
    settings = _agreed(group)
    host, port = _address(first)
    by_chat = any(member.chat_template == "model" for member in group)
    model = find_model(settings.model, sizes_suffice=sizes_suffice, by_chat=by_chat)
    adapters = {m.model: read_adapter(Path(m.serve.adapter), model) for m in group if m.serve and m.serve.adapter}
    bases = [member.model for member in group if member.serve and not member.serve.adapter]
    if len(set(bases)) > 1 or set(bases) & set(adapters) or len(bases) + len(adapters) < len(group):
        raise ConfigError(
            f"members {_names(group)} share an endpoint, so at most one may be the base and each adapter needs a model name"
            " of its own; give the others their own port"
        )
    dtype = dtype_of(settings.dtype, model.shape.dtype, on_cpu=on_cpu)
    concurrency = max(member.concurrency for member in group)
    asked = Workload(
        context=settings.context,
        concurrency=concurrency,
        kv_tokens=settings.kv_tokens or settings.context * concurrency,
        dtype=dtype,
        fp8=settings.dtype == "fp8" and not model.shape.quantised,
        adapters=len(adapters),
        rank=max((adapter.served_rank for adapter in adapters.values()), default=0),
    )
    _check(first, settings, model)
    names = tuple(member.name for member in group)
    served = bases[0] if bases else f"{first.model}-base"
    return Server(first.name, names, host, port, model, served, adapters, asked, dtype, settings, first.api_key_env)


def _agreed(group: list[MemberConfig]) -> ServeConfig:
    """The settings that members of one endpoint share; all but the adapter must be equal."""
    settings = [member.serve.model_copy(update={"adapter": None}) for member in group if member.serve]
    keys = {member.api_key_env for member in group}
    hosts = {_address(member) for member in group}
    if any(other != settings[0] for other in settings) or len(keys) > 1 or len(hosts) > 1:
        raise ConfigError(
            f"members {_names(group)} have the same port but differ in serve, host or api_key_env; make them equal "
            "(but for the adapter), or give each its own port"
        )
    return settings[0]


def _address(member: MemberConfig) -> tuple[str, int]:
    url = member.endpoint or ""
    check_endpoint(member.name, url, [urlsplit(url).hostname or ""])
    parts = urlsplit(url)
    host = parts.hostname or ""
    if (
        not is_loopback(host)
        or parts.scheme != "http"
        or parts.port is None
        or parts.path.rstrip("/") not in ("", "/v1")
    ):
        raise ConfigError(
            f"member {member.name}: a server is started on this machine's loopback only; write its endpoint as "
            "http://127.0.0.1:8001/v1, and put a reverse proxy before it where others must reach it"
        )
    return ("127.0.0.1" if host == "localhost" else host), parts.port


def _check(member: MemberConfig, settings: ServeConfig, model: ModelFolder) -> None:
    positions = model.shape.positions
    if positions is not None and settings.context > positions:
        raise ConfigError(f"member {member.name}: serve.context {settings.context} is above the model's {positions}")
    for word in settings.extra_args:
        name = word.split("=", 1)[0].replace("_", "-")
        if planned := _meant(name, PLANNED):
            raise ConfigError(f"member {member.name}: serve.extra_args: {planned} is set by the plan; leave it out")
        if refused := _meant(name, REFUSED):
            raise ConfigError(f"member {member.name}: serve.extra_args: {refused} is refused; leave it out")


def _meant(name: str, arguments: Collection[str]) -> str | None:
    """Which of some arguments a word may mean: vLLM takes beginnings of long ones as well."""
    if name in arguments:
        return name
    return next((known for known in sorted(arguments) if len(name) > 2 and known.startswith(name)), None)


def _names(group: list[MemberConfig]) -> str:
    return " and ".join(member.name for member in group)
