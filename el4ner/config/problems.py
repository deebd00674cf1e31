"""All mistakes of a configuration at once, each with its place and the nearest known key."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from el4ner.errors import ConfigError
from el4ner.text.nearest import nearest_names

SectionT = TypeVar("SectionT", bound=BaseModel)


def validate(schema: type[SectionT], data: Any, where: str) -> SectionT:
    """``data`` as the given schema, or one ConfigError that lists every problem with the nearest known key."""
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: expected keys and values, found {type(data).__name__}")
    try:
        return schema.model_validate(data)
    except ValidationError as error:
        lines = [line for problem in _causes(error) for line in _describe(schema, problem)]
        raise ConfigError(
            f"{where} has {len(lines)} problem(s):\n" + "\n".join(f"  - {line}" for line in lines)
        ) from error


def _causes(error: ValidationError) -> list[Any]:
    """The problems, without "too short" where a list is only short because its items have problems of their own."""
    problems = error.errors()
    parents = {problem["loc"][:depth] for problem in problems for depth in range(len(problem["loc"]))}
    return [problem for problem in problems if problem["type"] != "too_short" or problem["loc"] not in parents]


def _describe(schema: type[BaseModel], problem: Any) -> list[str]:
    path = [str(part) for part in problem["loc"]]
    if problem["type"] != "extra_forbidden":
        messages = problem["msg"].removeprefix("Value error, ").splitlines()
        return [f"{'.'.join(path) or 'top level'}: {message}" for message in messages]
    known = _known_keys(schema, path[:-1])
    near = nearest_names(path[-1], known)
    hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(sorted(known))}"
    return [f"{'.'.join(path)}: unknown key; {hint}"]


def _known_keys(schema: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        if part.isdigit():
            continue
        annotation = schema.model_fields[part].annotation
        inner = [annotation, *getattr(annotation, "__args__", ())]
        schema = next(kind for kind in inner if isinstance(kind, type) and issubclass(kind, BaseModel))
    return list(schema.model_fields)
