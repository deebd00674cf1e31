"""YAML files within limits: plain values alone, no key twice, no file or structure that takes long to read."""

from pathlib import Path
from typing import Any, ClassVar

import yaml
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, Node

from el4ner.errors import ConfigError

MAX_BYTES = 2_000_000
MAX_VALUES = 200_000
MAX_DEPTH = 40


class _Loader(yaml.SafeLoader):
    """Strings, numbers, truth values, lists and mappings; what looks like a date stays a string.

    Values that are repeated by an alias count as often as they stand, so that a short file cannot stand for an endless one.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._values = self._depth = 0
        self._sizes: dict[Node | None, int] = {}

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        is_alias, before = self.check_event(yaml.AliasEvent), self._values
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ConstructorError(None, None, f"nested deeper than {MAX_DEPTH}", None)
        node = super().compose_node(parent, index)
        self._depth -= 1
        self._values += self._sizes.get(node, 0) if is_alias else 1
        if self._values > MAX_VALUES:
            raise ConstructorError(None, None, f"over {MAX_VALUES} values", None)
        self._sizes[node] = self._values - before
        return node

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise ConstructorError(None, None, f"the key {name!r} stands twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file.

    Raises:
        ConfigError: it cannot be read, is not YAML, or exceeds a limit (2 MB, 200,000 values, 40 levels); the message says where.
    """
    try:
        if path.exists() and not path.is_file():
            raise ConfigError(f"{path} is no regular file; give the path of a YAML file")
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot read {path}: {reason}; give the path of a YAML file") from error
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path} is longer than {MAX_BYTES // 10**6} MB; that is no configuration")
    try:
        loader = _Loader(content.decode("utf-8-sig"))
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError, OverflowError, TypeError) as error:
        raise ConfigError(f"{path} is not YAML in UTF-8: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, yaml.YAMLError | UnicodeDecodeError) else type(error).__name__
