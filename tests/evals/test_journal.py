"""What a killed run leaves behind: whole units stay, the rest is cut off."""

from __future__ import annotations

from pathlib import Path

import pytest

from popi_sdk import UsageError
from popi_sdk.evals.journal import Journal, read_rows


def filled(path: Path) -> Journal:
    journal = Journal(path)
    journal.append("a/0", [{"text": "één"}, {"text": "two\nlines \ud800"}])
    journal.append("a/1", [{"text": "three"}])
    return journal


def test_rows_come_back_in_order_with_their_unit(tmp_path: Path) -> None:
    journal = filled(tmp_path / "j.jsonl")
    assert [row["text"] for row in journal.rows()] == ["één", "two\nlines ?", "three"]
    for again in (journal, Journal(journal.path)):
        assert [row["text"] for row in again.unit("a/1")] == ["three"]
        assert len(again.unit("a/0")) == 2
        assert again.unit("a/9") == []
    assert "a/0" in journal
    assert "a/2" not in journal


def test_wherever_a_write_was_cut_the_whole_units_stay_and_the_rest_goes(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    filled(path)
    whole = path.read_bytes()
    first = whole.index(b'"end"', whole.index(b"two"))
    end_of_first = whole.index(b"\n", first) + 1
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        journal = Journal(path)
        assert ("a/0" in journal) is (cut >= end_of_first)
        assert "a/1" not in journal
        assert path.read_bytes() == (whole[:end_of_first] if cut >= end_of_first else b"")
    journal.append("a/1", [{"text": "three"}])
    assert path.read_bytes() == whole


def test_a_broken_line_ends_what_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    filled(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], b"[1]\n", *lines[3:]]))
    assert "a/1" not in Journal(path)
    assert path.read_bytes() == b"".join(lines[:3])


def test_reading_changes_nothing_while_another_process_writes(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    filled(path)
    with path.open("ab") as file:
        file.write(b'{"unit": "a/2", "te')
    before = path.read_bytes()
    assert len(list(read_rows(path))) == 3
    assert path.read_bytes() == before


def test_an_unwritable_journal_says_so_and_how_to_go_on(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    journal.path = tmp_path / "gone" / "j.jsonl"
    with pytest.raises(UsageError, match=r"Cannot write .*--resume"):
        journal.append("a/0", [])
    assert "a/0" not in journal


def test_what_is_not_a_number_is_never_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    with pytest.raises(ValueError, match="not JSON compliant"):
        journal.append("a/0", [{"delta": float("nan")}])
    assert journal.path.read_bytes() == b""
