"""Every error that el4ner raises on purpose. Messages say what is wrong, where, and what to do; never a document's text."""


class El4nerError(Exception):
    """Root of all errors raised on purpose; the commands print it as one line and exit with 2."""


class ConfigError(El4nerError):
    """The configuration is wrong, or names something that is not there."""


class InputError(El4nerError):
    """A document, a pool or a prediction file cannot be read as what it should be."""


class DiskFullError(El4nerError):
    """The disk, or one's share of it, is full; what was written before is whole."""


class AlignmentError(El4nerError):
    """A span does not lie in its text, or its surface differs from the text at its offsets."""


class ParseError(El4nerError):
    """A model's answer does not have the form that was asked for; its member abstains."""


class MemberError(El4nerError):
    """A member could not answer a request.

    Attributes:
        member: name of the member.
        retryable: whether the same request may succeed later.
    """

    def __init__(self, member: str, reason: str, *, retryable: bool = False) -> None:
        super().__init__(f"member {member}: {reason}")
        self.member = member
        self.retryable = retryable


class ContextOverflowError(MemberError):
    """The prompt and its answer do not fit into the member's context; use fewer demonstrations or smaller windows."""


class ModelError(El4nerError):
    """A model folder is missing something, or asks for something that el4ner refuses (remote code, pickled weights)."""


class TemplateError(ModelError):
    """A model's chat template is broken, or refuses a conversation."""
