"""JSON Lines: what is read, and that an error names the line, the field and the remedy."""

from __future__ import annotations

import codecs
import io
import json
import time
from pathlib import Path
from typing import Any

import pytest

from popi_sdk import Dialogue, Rating, SignalError, Statement, read_signals
from popi_sdk.signals import coerce

A, B = '{"kind": "statement", "text": "a"}', '{"kind": "statement", "text": "b"}'
SIGNALS = (Statement(text="a"), Statement(text="b"))


@pytest.mark.parametrize(
    "text",
    [
        f"{A}\n{B}\n",
        f"{A}\n{B}",
        f"{A}\r\n{B}\r\n",
        f"\n\n{A}\n   \n\t\n{B}\n\n",
        f"\ufeff{A}\n{B}",
        '"a"\n"b"',
        f"[{A}, {B}]",
        f"[{A},\n {B}]\n",
        f"\n  [\n{A},\n\n{B}\n]\n\n",
        f"\ufeff[\r\n{A},\r\n{B}\r\n]",
    ],
)
def test_lines_and_arrays(tmp_path: Path, text: str) -> None:
    path = tmp_path / "signals.jsonl"
    path.write_bytes(text.encode())
    assert read_signals(path) == SIGNALS
    assert read_signals(str(path)) == SIGNALS
    assert read_signals(io.BytesIO(text.encode())) == SIGNALS
    assert read_signals(io.StringIO(text)) == SIGNALS
    with path.open(encoding="utf-8") as file:
        assert read_signals(file) == SIGNALS
        assert not file.closed


def test_unusual_line_ends_inside_a_text_do_not_end_a_line() -> None:
    text = "a\u2028b\u2029c\x85d"
    line = json.dumps({"kind": "statement", "text": text}, ensure_ascii=False)
    assert read_signals(io.BytesIO(line.encode())) == (Statement(text=text),)
    assert read_signals(io.StringIO(line)) == (Statement(text=text),)


def test_dialogues_as_message_lists_and_as_openai_fine_tuning_lines() -> None:
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    dialogue = Dialogue(messages=messages)
    line, object_line = json.dumps(messages), json.dumps({"messages": messages})
    assert read_signals(io.StringIO(f"{line}\n{A}\n{line}\n{object_line}")) == (
        dialogue,
        SIGNALS[0],
        dialogue,
        dialogue,
    )
    assert read_signals(io.StringIO(json.dumps(messages, indent=2))) == (dialogue,)
    assert read_signals(io.StringIO(json.dumps([messages, messages], indent=2))) == (dialogue, dialogue)


def test_numbers_as_text() -> None:
    line = '{"text": "t", "score": "4", "scale": "1-5"}'
    assert read_signals(io.StringIO(line)) == (Rating(text="t", score=4, scale=(1, 5)),)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (
            f"{A}\n\n{A[:-1]}\n",
            3,
            "not JSON, column 34: Expecting ',' delimiter. Write one complete JSON object a line.",
        ),
        (f"{A}\n{A} {B}", 2, "not JSON, column 36: Extra data"),
        (f"{A}\nhello", 2, "not JSON, column 1: Expecting value"),
        ('{\n"kind": "statement"\n}', 1, "not JSON, column 2: Expecting property name"),
        (f"[{A},\n{B}\n", 2, "not JSON, column 35"),
        (f"[\n{A},\n{B}}}\n]", 3, "not JSON, column 35"),
        (f"[{A}]\n{B}", 2, "not JSON, column 1: Extra data"),
        ('{"text": "t", "score": NaN, "scale": [1, 5]}', 1, "NaN is not a JSON value"),
        (f'{A}\n{{"text": "t", "score": -Infinity, "scale": [1, 5]}}', 2, "-Infinity is not a JSON value"),
        (f"{A}\n{'[' * 200_000}", 2, "not JSON"),
        (f"{A}\n{'1' * 5_000}", 2, "not JSON: Exceeds the limit"),
        (f'{A}\n{{"kind": "edit", "before": "a"}}', 2, "field 'after': it is missing. Add it."),
        (f'{A}\n{{"text": "t", "score": "x", "scale": "1-5"}}', 2, "field 'score': that is not a score"),
        (f"{A}\n5", 2, "int is not a signal. Pass a dict with 'kind'"),
        (f"{A}\nnull", 2, "NoneType is not a signal"),
        (f"{A}\n[{B}]", 2, "list is not a signal"),
        (f'{A}\n{{"role": "user", "content": "x"}}', 2, "the fields (role, content) do not tell"),
    ],
)
def test_errors_name_the_line(text: str, line: int, words: str) -> None:
    for source in (io.StringIO(text), io.BytesIO(text.encode())):
        with pytest.raises(SignalError) as caught:
            read_signals(source)
        assert words in str(caught.value)
        assert caught.value.line == line
        assert str(caught.value).startswith(f"line {line}")


def test_an_array_names_the_position_of_the_signal() -> None:
    with pytest.raises(SignalError, match="signal 1, field 'text': it is empty") as caught:
        read_signals(io.StringIO(f'[{A}, {{"kind": "statement", "text": ""}}]'))
    assert caught.value.index == 1


def test_what_is_not_utf8_says_so(tmp_path: Path) -> None:
    latin = tmp_path / "latin.jsonl"
    latin.write_bytes(f'{A}\n{{"kind": "statement", "text": "caf\xe9"}}'.encode("latin-1"))
    with pytest.raises(SignalError, match=r"line 2 is not UTF-8 \(byte 34 of it\)\. Save the file as UTF-8") as caught:
        read_signals(latin)
    assert caught.value.line == 2
    with pytest.raises(SignalError, match="not UTF-8"), latin.open(encoding="utf-8") as file:
        read_signals(file)
    utf16 = codecs.BOM_UTF16_LE + A.encode("utf-16-le")
    with pytest.raises(SignalError, match="line 1 is not UTF-8"):
        read_signals(io.BytesIO(utf16))


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff", "[]", " [ ] "])
def test_no_signals(text: str) -> None:
    with pytest.raises(SignalError, match="no signals"):
        read_signals(io.StringIO(text))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for source in (tmp_path / "missing.jsonl", tmp_path, "nul\0character"):
        with pytest.raises(SignalError, match="Cannot read"):
            read_signals(source)


def test_a_file_that_breaks_while_it_is_read() -> None:
    class Broken(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            raise OSError(5, "Input/output error")

    with pytest.raises(SignalError, match="line 1 cannot be read: Input/output error"):
        read_signals(io.BufferedReader(Broken()))


def test_a_line_of_ten_megabytes_is_refused_before_it_is_parsed() -> None:
    started = time.perf_counter()
    for text in (f'{A}\n{{"kind": "statement", "text": "{"x" * 10_000_000}"}}', f"{A}\n{'x' * 10_000_000}"):
        with pytest.raises(
            SignalError, match=r"line 2: it is longer than 8,000,000 characters\. Write one signal a line"
        ):
            read_signals(io.BytesIO(text.encode()))
    with pytest.raises(SignalError, match="line 1: the array that begins there is longer"):
        read_signals(io.StringIO(f"[\n{A},\n" + " " * 9_000_000))
    assert time.perf_counter() - started < 5


def test_too_many_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coerce, "MAX_SIGNALS", 3)
    with pytest.raises(SignalError, match="More than 3 signals") as caught:
        read_signals(io.StringIO(f"{A}\n" * 4))
    assert caught.value.line == 4
