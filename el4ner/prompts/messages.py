"""A turn of a conversation: what prompts are made of and members are asked with."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """One turn; ``role`` is ``system``, ``user`` or ``assistant``."""

    role: str
    content: str
