"""Texts are printed letter by letter, and printing never fails."""

import io
import os
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from experiments.cli.commands import run_command
from experiments.cli.terminal import PlainConsole, lossy_output, make_console, printable, text_table
from tests.inputs import NAMES


def test_control_characters_and_letters_that_the_encoding_lacks_are_escaped():
    assert printable("\x1b[31m\r\t\x9b\u202e\u2028") == r"\x1b[31m\r\t\x9b\u202e\u2028"
    assert printable("Zoë 张伟 ±\n") == "Zoë 张伟 ±\n"
    assert printable("Zoë ± 张\udcff", "cp1252") == "Zoë ± \\u5f20\\udcff"
    assert printable("±", "ascii") == r"\xb1"


@settings(max_examples=100, deadline=None)
@given(NAMES, st.sampled_from(["utf-8", "ascii", "cp1252", "gb18030"]))
@example("± [/x] [red]:smile: \x1b[31m \udcff \u202e", "ascii")
def test_a_text_is_printed_letter_by_letter_or_escaped(name, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding, errors="strict", newline="")
    console = PlainConsole(file=stream, width=300)
    console.print(name)
    table = text_table(name, title=name)
    table.add_row(f"<{name}>")
    console.print(table)
    stream.flush()
    text = stream.buffer.getvalue().decode(encoding)
    assert text.startswith(printable(name, encoding))
    assert f"<{printable(name, encoding)}>" in text
    assert not any(letter < " " and letter != "\n" for letter in text)
    assert printable(name, encoding) == name or not (name.isprintable() and name.isascii())


def test_a_long_path_is_one_line_of_a_pipe():
    console = PlainConsole(file=io.StringIO(), width=20)
    console.print("results: /a folder/with  two blanks/and more")
    assert console.file.getvalue() == "results: /a folder/with  two blanks/and more\n"


def test_a_long_name_in_a_table_is_not_cut():
    console = PlainConsole(file=io.StringIO(), width=20)
    table = text_table("a", "b")
    table.add_row("x" * 50, "y" * 50)
    console.print(table)
    assert console.file.getvalue().count("x") == console.file.getvalue().count("y") == 50


def printing(_words):
    for _ in range(100):
        print("é" * 1000)
        make_console().print("± " * 500)
        print("张伟", file=sys.stderr)
    return 0


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_command_prints_in_any_encoding_and_leaves_the_stream_as_it_was(monkeypatch, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding, errors="strict")
    monkeypatch.setattr(sys, "stdout", stream)
    assert run_command("test", [], printing) == 0
    assert sys.stdout is stream
    assert ("\\xe9" if encoding == "ascii" else "é") in stream.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize("buffering", ["buffered", "written through"])
def test_a_command_ends_well_when_its_reader_is_gone(monkeypatch, buffering):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb", buffering=0) as raw:
        stream = io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", write_through=buffering != "buffered")
        monkeypatch.setattr(sys, "stdout", stream)
        assert run_command("test", [], printing) == 0


def test_a_command_without_output_streams_ends_well(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert run_command("test", [], printing) == 0
    assert sys.stdout is None


def test_streams_of_other_kinds_stay():
    kept = sys.stdout
    stream = io.StringIO()
    try:
        sys.stdout = stream
        with lossy_output():
            print("é")
    finally:
        sys.stdout = kept
    assert stream.getvalue() == "é\n"
