"""A conversation as the text that a model continues: by its own chat template, or plainly where it has none.

Training and inference render through this module alone. Chat templates differ: some refuse a system message or leave it
out, some end a turn with a sign that is not the tokenizer's end-of-sequence token, and a base model has none at all.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from el4ner.errors import TemplateError
from el4ner.prompts.messages import Message

_SYSTEM, _USER, _ANSWER = "system-probe-7", "user-probe-7", "answer-probe-7"
_CONTROL = re.compile(r"\s*(<[^<>\s]+>|\[/?[A-Za-z_]+\]|</?s>)")
"""A control token at the beginning of what follows an answer."""
_FAILURES = (
    jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError,
)  # fmt: skip
"""What a template can raise."""
MAX_TEMPLATE_CHARS = 1_000_000
"""The longest of public models has a tenth of it."""
PLAIN_END = "\n\n"
"""What ends a turn of a plain prompt; a base model that saw solved turns writes it of itself."""
_PLAIN = jinja2.Template(
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'system' %}{{ m.content }}\n\n"
    "{% elif m.role == 'user' %}### Input\n{{ m.content }}\n\n"
    "{% else %}### Output\n{{ m.content }}\n\n{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}### Output\n{% endif %}",
    keep_trailing_newline=True,
)


class ChatTemplate:
    """How one model's conversations are written.

    Args:
        source: the model's Jinja chat template; None for a base model, whose prompts are plain text with headings.
        bos: the text of its begin-of-sequence token; None: it has none.
        eos: the text of its end-of-sequence token.
        arguments: further variables of the template, for instance ``{"enable_thinking": False}``.
        puts_bos: whether the tokenizer begins a text with ``bos``; where it does not, plain prompts go without, while a
            template says itself where it wants one.

    Raises:
        TemplateError: the template is no valid Jinja.
    """

    def __init__(
        self,
        source: str | None,
        bos: str | None = None,
        eos: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        *,
        puts_bos: bool = True,
    ) -> None:
        self.plain = source is None
        self._template = _PLAIN if source is None else _compiled(source)
        begins = bos if puts_bos or not self.plain else None
        # Templates ask whether these are none, and what is not defined is not none.
        self._variables: dict[str, Any] = {
            "tools": None,
            "documents": None,
            "bos_token": begins or "",
            "eos_token": eos or "",
        }
        self._variables |= arguments or {}

    def render(self, messages: Sequence[Message], *, answered: bool = False) -> str:
        """The prompt up to where the answer begins; ``answered``: the last message is an answer, and its end is written too.

        Raises:
            TemplateError: the template refuses the conversation.
        """
        taken = messages if self.supports_system_role else merge_system_message(messages)
        written = self._render([{"role": m.role, "content": m.content} for m in taken], not answered)
        return written if answered else written + self._lead

    @cached_property
    def supports_system_role(self) -> bool:
        """Whether a system message reaches the model; if not, its text goes to the head of the first user message."""
        if self.plain:
            return True
        try:
            return _SYSTEM in self._render(_turns(system=_SYSTEM, user=_USER), prompt=True)
        except TemplateError:
            return False

    @cached_property
    def end(self) -> str:
        """The sign that ends an answer, as text: a control token of the template, or its end-of-sequence token.

        Raises:
            TemplateError: the template refuses even a short conversation.
        """
        if self.plain:
            return PLAIN_END
        turns = [*_turns(user=_USER, assistant=_ANSWER), *_turns(user=_USER)]
        sign = _CONTROL.match(self._render(turns, prompt=False).partition(_ANSWER)[2])
        return sign.group(1) if sign else str(self._variables["eos_token"])

    @cached_property
    def _lead(self) -> str:
        """Line ends that the template writes before an answer, but not at the end of a prompt: GLM's, for instance."""
        asked = _turns(user=_USER)
        try:
            prompt = self._render(asked, prompt=True)
            answered = self._render([*asked, *_turns(assistant=_ANSWER)], prompt=False)
        except TemplateError:
            return ""
        between = answered.removeprefix(prompt).partition(_ANSWER)[0]
        return "" if between.strip("\n") else between

    def _render(self, turns: Sequence[Mapping[str, str]], prompt: bool) -> str:
        try:
            return self._template.render(messages=turns, add_generation_prompt=prompt, **self._variables)
        except _FAILURES as error:
            raise TemplateError(
                f"the chat template refuses this conversation ({type(error).__name__}); try another prompt_style"
            ) from error


class _Generation(Extension):
    """Lets templates mark what a model writes, as those for training do; the marks change nothing."""

    tags = {"generation"}  # noqa: RUF012 (Jinja declares it so)

    def parse(self, parser: Any) -> Any:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


@lru_cache(maxsize=64)
def _compiled(source: str) -> jinja2.Template:
    """A template in a sandbox, with the names that the templates of public models use."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.globals |= {"raise_exception": _refuse, "strftime_now": lambda form: datetime.now().strftime(form)}
    if len(source) > MAX_TEMPLATE_CHARS:
        raise TemplateError(
            f"the model's chat template is longer than {MAX_TEMPLATE_CHARS:,} characters; use another one"
        )
    environment.filters["tojson"] = lambda value, indent=None: json.dumps(value, ensure_ascii=False, indent=indent)
    try:
        return environment.from_string(source)
    except (jinja2.TemplateError, RecursionError, MemoryError) as error:
        raise TemplateError(f"the model's chat template is no valid Jinja ({type(error).__name__})") from error


def _refuse(reason: str) -> None:
    raise jinja2.TemplateError(reason)


def _turns(**contents: str) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in contents.items()]


def merge_system_message(messages: Sequence[Message]) -> Sequence[Message]:
    """A conversation for a model without a system role: with its system message at the head of the first user message."""
    if len(messages) < 2 or messages[0].role != "system":
        return messages
    system, first, *rest = messages
    return [Message(first.role, f"{system.content}\n\n{first.content}"), *rest]


__all__ = ["PLAIN_END", "ChatTemplate", "merge_system_message"]
