"""One style's folder of Jinja templates: rendering, and a hash of the files.

Templates lie under ``ROOT/STYLE/LANGUAGE/NAME.j2``; a released version is never edited.
"""

import hashlib
from functools import cache, cached_property, lru_cache
from pathlib import Path

import jinja2

from el4ner.errors import ConfigError

TEMPLATES = Path(__file__).parent / "templates"
CACHED_TEMPLATES = 1024
"""Texts that a style remembers: questions about the windows in flight."""


class Style:
    """The templates of one style.

    Args:
        root: folder of a version of a template set.
        name: of the style, a folder below.

    Attributes:
        languages: those that it has a folder for; ``any`` may be among them.

    Raises:
        ConfigError: there is no such style.
    """

    def __init__(self, root: Path, name: str) -> None:
        self._root, self._name = root, name
        if name not in style_names(root):
            raise ConfigError(f"unknown prompt_style {name!r}; use one of {', '.join(style_names(root))}")
        self.languages = frozenset(path.name for path in (root / name).iterdir())
        self._known = lru_cache(maxsize=CACHED_TEMPLATES)(self._filled)
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(root / name),
            undefined=jinja2.StrictUndefined,
            autoescape=False,
            auto_reload=False,
        )

    @cached_property
    def hash(self) -> str:
        """Of all of its files, their names included; 12 hexadecimal digits."""
        digest = hashlib.sha256()
        for path in sorted((self._root / self._name).rglob("*.j2")):
            digest.update(path.relative_to(self._root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
        return digest.hexdigest()[:12]

    def render_cached(self, template: str, **values: str) -> str:
        """The same as :meth:`render`, remembered for a while: members of one style are asked the same questions."""
        return self._known(template, tuple(values.items()))

    def _filled(self, template: str, values: tuple[tuple[str, str], ...]) -> str:
        return self.render(template, **dict(values))

    def render(self, template: str, **values: object) -> str:
        """A template's text, without white space around it."""
        return self._environment.get_template(f"{template}.j2").render(**values).strip()


@cache
def style_of(root: Path, name: str) -> Style:
    """The style of that name, one for all who speak it.

    Raises:
        ConfigError: there is no such style.
    """
    return Style(root, name)


def style_names(root: Path) -> list[str]:
    """Names of the styles that a version of a template set has."""
    return sorted(path.name for path in root.iterdir() if path.is_dir())
