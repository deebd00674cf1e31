"""What all servers of OpenAI's kind are asked alike, and what is tried out on each of them."""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

from el4ner.engines.base import Request
from el4ner.engines.endpoint import RefusedError
from el4ner.engines.servers.connection import Conversation

GREEDY: Mapping[str, Any] = MappingProxyType(
    {"temperature": 0, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0}
)
"""The most probable token at each step, whatever the server's or the model's defaults."""
TOP_LOGPROBS = 20
"""Alternatives asked for at each token: the most that servers give by default."""
_QUESTION = {"role": "user", "content": "1"}
_SHORT, _LONG = ({"role": "system", "content": "a" + " b" * count} for count in (0, 60))
QUESTION: Conversation = [_QUESTION]
"""The shortest conversation."""


async def supports_system_role(prompt_tokens: Callable[[Conversation], Awaitable[int]]) -> bool:
    """Whether a system message reaches the model: the template does not refuse it, and a longer one makes a longer prompt.

    Args:
        prompt_tokens: the tokens that the server reads for a conversation, 0 where it does not say.

    Raises:
        MemberError: the server does not answer.
    """
    try:
        short = await prompt_tokens([_SHORT, _QUESTION])
        return not short or await prompt_tokens([_LONG, _QUESTION]) > short
    except RefusedError:
        return False


def choice_tokens(request: Request, thinking: bool, end: str = "", quoted: bool = False) -> int:
    """The longest answer of a closed choice: one token a byte, a space, and the end; no tokenizer needs more.

    Thoughts come on top, and what stands around JSON: quotes, white space, llama.cpp lets a model write a fence.
    """
    longest = max(len((choice + end).encode()) for choice in request.choices) + (32 if quoted else 2)
    return longest + request.max_tokens if thinking else longest


__all__ = ["GREEDY", "QUESTION", "TOP_LOGPROBS", "choice_tokens", "supports_system_role"]
