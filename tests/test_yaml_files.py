"""YAML files within limits: what is odd, endless or ambiguous ends with a word and its place."""

from pathlib import Path

import pytest
import yaml

from el4ner.config import parse_config, read_yaml
from el4ner.config.yaml_files import MAX_BYTES
from el4ner.errors import ConfigError


def read(folder: Path, text: str) -> object:
    path = folder / "own.yaml"
    path.write_text(text, encoding="utf-8")
    return read_yaml(path)


def test_plain_values_are_read_and_dates_stay_words(tmp_path: Path):
    text = "\ufeffa: [1, 2.5, true, null, 2024-01-01, '北京']\nb: {c: d}\n"
    assert read(tmp_path, text) == {"a": [1, 2.5, True, None, "2024-01-01", "北京"], "b": {"c": "d"}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2\n", "the key 'a' stands twice"),
        ("a: {b: 1, b: 2}\n", r"the key 'b' stands twice(.|\n)*line 1"),
        (
            "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)),
            "over 200000 values",
        ),
        ("[" * 100 + "]" * 100, "nested deeper than 40"),
        ("[" * 100_000, "own.yaml is not YAML"),
        ("a: !!int abc\n", "own.yaml is not YAML"),
        ("a: !!python/object:os.system x\n", "own.yaml is not YAML"),
        ("a: 1\n---\nb: 2\n", "own.yaml is not YAML"),
        ("a: " + "9" * 10_000, "own.yaml is not YAML"),
        ("a: " + "x" * MAX_BYTES, "longer than 2 MB"),
    ],
    ids=lambda value: value[:12],
)
def test_what_is_odd_or_endless_is_refused(text: str, said: str, tmp_path: Path):
    with pytest.raises(ConfigError, match=said):
        read(tmp_path, text)


@pytest.mark.parametrize(("count", "refused"), [(98, False), (99, False), (100, True)])
def test_a_file_of_many_values_is_refused(count: int, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The list itself is a value too."""
    monkeypatch.setattr("el4ner.config.yaml_files.MAX_VALUES", 100)
    text = "[" + "1, " * count + "]"
    if refused:
        with pytest.raises(ConfigError, match="over 100 values"):
            read(tmp_path, text)
    else:
        assert read(tmp_path, text) == [1] * count


@pytest.mark.parametrize("name", ["/dev/zero", "a\0b", ".", "gone.yaml"])
def test_what_is_no_file_is_refused(name: str):
    with pytest.raises(ConfigError, match="give the path of a YAML file"):
        read_yaml(Path(name))


@pytest.mark.parametrize("weight", [".nan", ".inf", "-.inf"])
def test_weights_are_numbers(weight: str, tmp_path: Path):
    member = f"{{name: a, engine: local, model: b, weight: {{en: {weight}}}}}"
    text = f"labels: [{{name: X, words: {{en: x}}}}]\nmembers: [{member}]\n"
    with pytest.raises(ConfigError, match="finite number"):
        parse_config(read(tmp_path, text), base=tmp_path)


def test_what_ships_is_read_as_before():
    for path in sorted((Path(__file__).parents[1] / "configs").rglob("*.yaml")):
        assert read_yaml(path) == yaml.safe_load(path.read_text(encoding="utf-8"))
