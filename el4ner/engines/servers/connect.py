"""What stands behind an endpoint: vLLM, llama.cpp, Ollama, or an OpenAI-compatible server of another kind."""

import re

from el4ner.engines.endpoint import RefusedError
from el4ner.engines.openai_replies import ServedModel, read_models
from el4ner.engines.servers.connection import ConnectedServer, Connection
from el4ner.engines.servers.llamacpp import connect_llamacpp, is_llamacpp
from el4ner.engines.servers.ollama import connect_ollama
from el4ner.engines.servers.openai import connect_openai
from el4ner.engines.servers.vllm import connect_vllm
from el4ner.errors import MemberError

_API = re.compile(r"/v\d+$")
_NO_SUCH_PATH = (404, 405, 501)


def split_endpoint(url: str) -> tuple[str, str]:
    """The root of a server, and where its OpenAI-compatible paths begin; an endpoint may name either.

    >>> split_endpoint("http://127.0.0.1:8001/v1"), split_endpoint("http://127.0.0.1:11434")
    (('http://127.0.0.1:8001', '/v1'), ('http://127.0.0.1:11434', '/v1'))
    """
    version = _API.search(url)
    return (url[: version.start()], version.group()) if version else (url, "/v1")


async def connect_server(connection: Connection) -> ConnectedServer:
    """Find out what is there, and whether it serves the member's model.

    Raises:
        MemberError: the server does not answer, or does not serve the model.
    """
    model = await _served(connection)
    if model.owner == "vllm":
        return await connect_vllm(connection, model.root)
    props = await connection.page("/props")
    if is_llamacpp(props):
        return await connect_llamacpp(connection, props, model.meta)
    version = (await connection.page("/api/version")).get("version")
    if isinstance(version, str):
        return await connect_ollama(connection, version)
    return await connect_openai(connection, model.root)


async def _served(connection: Connection) -> ServedModel:
    """The member's model, as the server lists it; a server without a list is believed to have it."""
    wanted = connection.config.model
    try:
        served = await connection.get(f"{connection.api}/models", read_models)
    except RefusedError as error:
        if error.status not in _NO_SUCH_PATH:
            raise
        return ServedModel((wanted,), owner="", root=None, meta="")
    # Ollama lists the tag that stands for none.
    found = next((model for model in served if {wanted, f"{wanted}:latest"} & set(model.names)), None)
    if found is None:
        names = sorted(name for model in served for name in model.names)
        raise MemberError(connection.config.name, f"model {wanted!r} is not served; served are {names}")
    return found


__all__ = ["connect_server", "split_endpoint"]
