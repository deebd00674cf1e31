"""Bytes to lines and text, and the files of a folder."""

import io
import logging
from pathlib import Path

import pytest

from el4ner.errors import InputError
from el4ner.text import files
from el4ner.text.files import Line, Source, check_size, decode, find_sources, holds_one_line, numbered_lines, read_lines


def test_lines_are_numbered_from_one_without_their_ends() -> None:
    stream = io.BytesIO(b"\xef\xbb\xbfMara\r\n\xef\xbb\xbfx\n  y ")
    assert list(numbered_lines(stream, "f")) == [(1, "Mara"), (2, "\ufeffx"), (3, "  y ")]
    with pytest.raises(InputError, match="f, line 2, byte 3: not UTF-8"):
        list(numbered_lines(io.BytesIO(b"a\nab\xff\n"), "f"))


def test_a_line_that_is_too_long_is_cut_and_the_next_ones_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 5)
    lines = list(read_lines(io.BytesIO(b"12345\n1234\n123456\n1234567890123\na\rcd\n12345678901"), "f"))
    assert lines == [
        Line(1, b"12345\n", "f"),
        Line(2, b"1234", "f"),
        Line(3, b"123456", "f"),
        Line(4, b"123456", "f"),
        Line(5, b"a", "f"),
        Line(6, b"cd", "f"),
        Line(7, b"123456", "f"),
    ]
    with pytest.raises(InputError, match="f, line 3: a document of more than"):
        lines[2].text()
    assert lines[1].text() == "1234"


def test_a_document_may_be_as_long_as_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert files.MAX_BYTES == 32 * 1024 * 1024
    monkeypatch.setattr(files, "MAX_BYTES", 2**20)
    assert len(check_size(b"x" * 2**20, "f")) == 2**20
    with pytest.raises(InputError, match="f: a document of more than 1 MiB"):
        check_size(b"x" * (2**20 + 1), "f")


@pytest.mark.parametrize(
    ("name", "holds"), [("a b", True), ("名😀", True), ("a\n", False), ("a\u2028", False), ("a\u2029", False)]
)
def test_a_name_is_one_line(name: str, holds: bool) -> None:
    assert holds_one_line(name) is holds
    assert not holds_one_line(name + "\x1b") and not holds_one_line(name + "\ud83d")


def test_a_byte_order_mark_is_one_at_the_beginning_alone() -> None:
    assert decode(b"\xef\xbb\xbfx", "f") == "x"
    assert decode(b"\xef\xbb\xbfx", "f", first=False) == "\ufeffx"
    with pytest.raises(InputError, match="UTF-16"):
        decode(b"\xfe\xff\0x", "f")
    with pytest.raises(InputError, match="byte 1: not UTF-8"):
        decode(b"\xfe\xff\0x", "f", first=False)


def test_a_folder_gives_its_files_and_then_those_of_its_folders(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("b.txt", "a/c.JSONL", "a/.hidden.txt", ".git/x.txt", *(f"{n}.pdf" for n in range(6))):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    with caplog.at_level(logging.WARNING):
        found = list(find_sources([str(tmp_path), str(tmp_path / "b.txt")]))
    assert found == [
        Source(tmp_path / "b.txt", "b"),
        Source(tmp_path / "a" / "c.JSONL", "a/c"),
        Source(tmp_path / "b.txt", "b"),
    ]
    assert found[1].suffix == ".jsonl"
    assert caplog.messages == [
        f"{tmp_path}: skipped 6 file(s) of unknown suffix: 0.pdf, 1.pdf, 2.pdf, 3.pdf, 4.pdf, ..."
    ]
    (tmp_path / "5.pdf").unlink()
    caplog.clear()
    list(find_sources([str(tmp_path)]))
    assert caplog.messages[0].endswith("skipped 5 file(s) of unknown suffix: 0.pdf, 1.pdf, 2.pdf, 3.pdf, 4.pdf")
    caplog.clear()
    list(find_sources([str(tmp_path)], report=False))
    assert not caplog.messages
