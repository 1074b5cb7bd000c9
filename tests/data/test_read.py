from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from popi_sdk.data import UserRecord, read_users, write_users
from popi_sdk.data.lines import MAX_LINE
from popi_sdk.errors import DataError

FIXTURES = Path(__file__).parent / "fixtures"
PAIR = {"prompt": "What is DNS?", "chosen": "A phone book.", "rejected": "A naming system."}


def _row(user_id: str = "ana", **changes: Any) -> dict[str, Any]:
    return {"user_id": user_id, "signals": ["Keep it short."], "pairs": [PAIR], **changes}


def _write(path: Path, *rows: dict[str, Any] | str | bytes) -> Path:
    lines = [row if isinstance(row, str | bytes) else json.dumps(row) for row in rows]
    data = b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def _fault(path: Path, **options: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        list(read_users(path, **options))
    return caught.value


def test_our_own_form() -> None:
    ana, ben = read_users(FIXTURES / "own.jsonl")
    assert [signal.kind for signal in ana.signals] == ["statement", "edit", "preference"]
    assert (ana.gold, ana.groups, ana.meta) == ("Likes short answers in plain words.", ("office",), {"since": 2024})
    assert (ana.pairs[0].kind, ana.pairs[0].population_agrees) == ("plain words", 0.25)
    assert ana.pairs[0].meta == {"asked": "2026-01-31"}
    assert ben.signals[0].time is not None
    assert ben.pairs[0].prompt == ""


@pytest.mark.parametrize("name", ["users.jsonl", "users.jsonl.gz", "users.data"])
def test_plain_and_gzipped_files(tmp_path: Path, name: str) -> None:
    path = _write(tmp_path / name, "\ufeff" + json.dumps(_row("ana")), "", _row("ben"), " ")
    assert [user.user_id for user in read_users(str(path))] == ["ana", "ben"]


def test_the_first_bytes_tell_gzip_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "users.jsonl"
    path.write_bytes(gzip.compress(json.dumps(_row()).encode()))
    assert len(list(read_users(path))) == 1


@pytest.mark.parametrize("name", ["train_dev.jsonl.gz", "train_dev.jsonl"])
def test_a_folder(tmp_path: Path, name: str) -> None:
    _write(tmp_path / name, _row())
    assert [user.user_id for user in read_users(tmp_path)] == ["ana"]


def test_a_split_and_a_limit(tmp_path: Path) -> None:
    rows = [_row(f"u{index}", split="dev" if index % 2 else "train") for index in range(6)]
    path = _write(tmp_path / "users.jsonl", *rows)
    assert [user.user_id for user in read_users(path, split="dev")] == ["u1", "u3", "u5"]
    assert [user.user_id for user in read_users(path, split="dev", limit=2)] == ["u1", "u3"]
    assert len(list(read_users(path))) == 6


def test_a_limit_below_one(tmp_path: Path) -> None:
    assert "Use at least 1" in str(_fault(tmp_path, limit=0))


@pytest.mark.parametrize(
    ("row", "field", "words"),
    [
        (_row(user_id=None), "user_id", "not a text"),
        ({"signals": ["x"], "pairs": [PAIR]}, "user_id", "it is missing. Add it."),
        (_row(signals=[]), "signals", "There are no signals"),
        (_row(signals="Keep it short."), "signals", "A single string is ambiguous"),
        (_row(signals={"text": "x"}), "signals", "Put it in a list"),
        (_row(signals=["x", {"kind": "edit", "before": "a"}]), "signals.1.after", "it is missing. Add it."),
        (_row(signals=[{"type": "rating"}]), "signals.0.kind", "Add 'kind'"),
        (_row(pairs=[]), "pairs", "no pairs to measure on"),
        (_row(pairs=[PAIR, PAIR]), "pairs.1", "the same as pair 0"),
        (_row(pairs=[{**PAIR, "chosen": PAIR["rejected"]}]), "pairs.0", "the same text"),
        (_row(pairs=[{**PAIR, "chosen": ""}]), "pairs.0.chosen", "Give it a text"),
        (_row(pairs=[{**PAIR, "chosen": "\ud800"}]), "pairs.0.chosen", "surrogate"),
        (_row(pairs=[{**PAIR, "rejected": "x" * 2_000_000}]), "pairs.0.rejected", "at most 1000000 characters"),
        (_row(pairs=[{**PAIR, "label": 0}]), "pairs.0.label", "there is no such field"),
        (_row(pairs=[{**PAIR, "population_agrees": 2}]), "pairs.0.population_agrees", "Correct it"),
        (_row(signals=[PAIR]), "pairs.0", "also stands among the signals (signal 0)"),
        (_row(signals=[{**PAIR, "chosen": PAIR["rejected"], "rejected": PAIR["chosen"]}]), "pairs.0", "Remove one"),
        (_row(golds="x"), "golds", "put it into 'meta'"),
        (_row(split=1), "split", "Write train, dev or test"),
        ({"user_id": "a", "signals": ["x"], "eval_pairs": [PAIR, PAIR]}, "eval_pairs.1", "the same as pair 0"),
    ],
)
def test_an_error_names_the_place_and_the_remedy(tmp_path: Path, row: dict[str, Any], field: str, words: str) -> None:
    path = _write(tmp_path / "users.jsonl", _row("first"), row)
    error = _fault(path)
    assert (error.file, error.line, error.field) == (str(path), 2, field)
    assert str(error).startswith(f"{path}, line 2, field '{field}': ")
    assert words in str(error)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"user_id": "gr\xfc\xdfe"}', "not UTF-8 (byte 15 of it). Save the file as UTF-8"),
        ('{"user_id": ', "not JSON, column 13"),
        ("[1, 2]", "no JSON object"),
        ('{"user_id": NaN}', "NaN is no number of JSON"),
        ('{"meta": 1e999}', "1e999 is too large"),
        ("[" * 100_000, "not JSON"),
        ('{"n": ' + "9" * 5000 + "}", "not JSON"),
    ],
)
def test_a_line_that_is_no_object(tmp_path: Path, line: str | bytes, words: str) -> None:
    path = _write(tmp_path / "users.jsonl.gz", _row("first"), line)
    error = _fault(path)
    assert (error.file, error.line, error.field) == (str(path), 2, None)
    assert words in str(error)


def test_a_user_id_that_is_there_twice_even_in_another_split(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "users.jsonl", _row("ana", split="train"), _row("ben", split="dev"), _row("ana", split="dev")
    )
    error = _fault(path, split="dev")
    assert (error.line, error.field) == (3, "user_id")
    assert "the user 'ana' is there twice" in str(error)


def test_a_line_that_is_too_long(tmp_path: Path) -> None:
    path = _write(tmp_path / "users.jsonl.gz", _row("first"), b"x" * (MAX_LINE + 1))
    error = _fault(path, on_fault=lambda _: None)
    assert error.line == 2
    assert f"more than {MAX_LINE:,} bytes" in str(error)


def test_a_gzip_file_that_was_cut_off(tmp_path: Path) -> None:
    path = _write(tmp_path / "users.jsonl.gz", *[_row(f"u{index}") for index in range(1000)])
    path.write_bytes(path.read_bytes()[:-20])
    assert "cut off before its end. Copy or download it again" in str(_fault(path, on_fault=lambda _: None))


def test_a_damaged_gzip_file(tmp_path: Path) -> None:
    path = _write(tmp_path / "users.jsonl.gz", _row())
    data = bytearray(path.read_bytes())
    data[12] ^= 0xFF
    path.write_bytes(data)
    assert "damaged" in str(_fault(path))


def test_a_wrong_checksum(tmp_path: Path) -> None:
    path = _write(tmp_path / "users.jsonl.gz", _row())
    data = bytearray(path.read_bytes())
    data[-6] ^= 0xFF
    path.write_bytes(data)
    assert "damaged (CRC check failed" in str(_fault(path))


def test_a_file_that_is_named_gz_and_is_none(tmp_path: Path) -> None:
    path = tmp_path / "users.jsonl.gz"
    path.write_text(json.dumps(_row()), encoding="utf-8")
    assert "not a gzip file. Compress it" in str(_fault(path))


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_an_empty_file(tmp_path: Path, content: str) -> None:
    path = _write(tmp_path / "users.jsonl", content)
    assert "it holds no users. Write one JSON object a line" in str(_fault(path))


def test_no_file(tmp_path: Path) -> None:
    assert "there is no such file" in str(_fault(tmp_path / "users.jsonl"))
    assert "a folder without train_dev.jsonl.gz" in str(_fault(tmp_path))
    with pytest.raises(DataError):
        next(read_users("users\0.jsonl"))


def test_a_wrong_split_names_those_that_are_there(tmp_path: Path) -> None:
    path = _write(tmp_path / "users.jsonl", _row("a", split="train"), _row("b", split="dev"))
    error = _fault(path, split="test")
    assert error.field == "split"
    assert "no user is of the split 'test'. Use one of: dev, train." in str(error)


def test_a_split_of_a_file_that_names_none(tmp_path: Path) -> None:
    error = _fault(_write(tmp_path / "users.jsonl", _row()), split="dev")
    assert (error.line, error.field) == (1, "split")
    assert "Name a split for every user, or for none" in str(error)


def test_users_of_another_split_are_not_validated(tmp_path: Path) -> None:
    path = _write(tmp_path / "users.jsonl", _row("a", split="train", pairs=[]), _row("b", split="dev"))
    assert [user.user_id for user in read_users(path, split="dev")] == ["b"]


def test_faults_are_handed_over_and_the_rest_is_read(tmp_path: Path) -> None:
    faults: list[DataError] = []
    path = _write(tmp_path / "users.jsonl", _row("a"), "no json", _row("b", pairs=[]), _row("a"), _row("c"))
    users = list(read_users(path, on_fault=faults.append))
    assert [user.user_id for user in users] == ["a", "c"]
    assert [(fault.line, fault.field) for fault in faults] == [(2, None), (3, "pairs"), (4, "user_id")]


def _peak(path: Path) -> int:
    tracemalloc.start()
    try:
        for _ in read_users(path):
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _large(path: Path, users: int) -> Path:
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=1) as lines:
        for index in range(users):
            text = f"{index} " + "The tide comes in and goes out. " * 1000
            lines.write(json.dumps(_row(f"u{index}", signals=[{"kind": "writing", "text": text}] * 3)) + "\n")
    return path


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    few, many = _large(tmp_path / "few.jsonl.gz", 20), _large(tmp_path / "many.jsonl.gz", 400)
    _peak(few)  # whatever is loaded once
    small, large = _peak(few), _peak(many)
    assert large < 1.2 * small + 100 * 400  # a number per user, to find ids that are there twice
    assert large < 3_000_000  # of 38 MB


@pytest.mark.parametrize("name", ["copy.jsonl", "copy.jsonl.gz"])
def test_what_is_written_is_read_back(tmp_path: Path, name: str) -> None:
    users = [user for path in sorted(FIXTURES.glob("*s.jsonl")) for user in read_users(path)]
    users += read_users(FIXTURES / "own.jsonl")
    assert write_users(tmp_path / name, iter(users)) == len(users) == 8
    assert list(read_users(tmp_path / name)) == users
    first = (tmp_path / name).read_bytes()
    write_users(str(tmp_path / name), users)
    assert (tmp_path / name).read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_failed_write_leaves_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "users.jsonl"
    write_users(path, read_users(FIXTURES / "own.jsonl"))
    before = path.read_bytes()

    def broken() -> Iterator[UserRecord]:
        yield from read_users(FIXTURES / "own.jsonl")
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        write_users(path, broken())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file or directory") as caught:
        write_users(tmp_path / "none" / "users.jsonl", [])
    assert caught.value.file == str(tmp_path / "none" / "users.jsonl")


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("only Linux has /dev/full")
    import os

    monkeypatch.setattr("tempfile.mkstemp", lambda **_: (os.open(full, os.O_WRONLY), str(tmp_path / "temporary")))
    with pytest.raises(DataError, match="No space left on device"):
        write_users(tmp_path / "users.jsonl", read_users(FIXTURES / "own.jsonl"))
