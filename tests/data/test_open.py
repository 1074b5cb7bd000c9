from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from popi_sdk.data import BENCHMARKS, WORLDS, Dataset, digest_of, open_data, read_users
from popi_sdk.errors import DataError

FIXTURES = Path(__file__).parent / "fixtures"
PAIR = {"prompt": "What is DNS?", "chosen": "A phone book.", "rejected": "A naming system."}


def _write(path: Path, *rows: dict[str, Any] | str) -> Path:
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def _row(user_id: str, **changes: Any) -> dict[str, Any]:
    return {"user_id": user_id, "signals": ["Keep it short."], "pairs": [PAIR], **changes}


def _ids(data: Dataset) -> list[str]:
    return [user.user_id for user in data]


def test_a_divided_file() -> None:
    data = open_data(FIXTURES / "votes.jsonl", split="train")
    assert (data.name, data.split, data.note) == (str(FIXTURES / "votes.jsonl"), "train", None)
    assert data.description == "users of votes.jsonl"
    assert repr(data) == f"Dataset({data.name!r}, split='train')"
    assert _ids(data) == ["votes-1"]
    assert _ids(open_data(str(FIXTURES / "votes.jsonl"))) == ["votes-2"]


def test_a_data_set_is_read_anew_by_each_loop_and_by_the_digest() -> None:
    data = open_data(FIXTURES / "own.jsonl")
    assert list(data) == list(data.users()) == list(read_users(FIXTURES / "own.jsonl"))
    assert data.digest() == data.digest() == digest_of(data)


def test_a_file_that_names_no_splits_is_one_and_says_so() -> None:
    data = open_data(FIXTURES / "own.jsonl", split="test")
    assert data.split == "all"
    assert data.note == "The file names no splits: all its users are used, whatever split was asked for."
    assert _ids(data) == ["ana", "ben"]


def test_either_every_user_names_a_split_or_none(tmp_path: Path) -> None:
    path = _write(tmp_path / "users.jsonl", _row("a"), _row("b", split="dev"))
    with pytest.raises(DataError, match=r"line 2, field 'split': the first user of the file names none"):
        list(open_data(path))
    path = _write(tmp_path / "users.jsonl", _row("a", split="dev"), _row("b"))
    with pytest.raises(DataError, match=r"line 2, field 'split': it is missing"):
        list(open_data(path))


def test_what_cannot_be_opened_says_so_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Use one of: dev, train\.") as caught:
        open_data(FIXTURES / "votes.jsonl", split="test")
    assert caught.value.file == str(FIXTURES / "votes.jsonl")
    with pytest.raises(DataError, match="there is no such file"):
        open_data(tmp_path / "users.jsonl")
    with pytest.raises(DataError, match="a folder without train_dev"):
        open_data(tmp_path)
    with pytest.raises(DataError, match="holds no users"):
        open_data(_write(tmp_path / "users.jsonl"))
    with pytest.raises(DataError, match="line 1: it is not JSON"):
        open_data(_write(tmp_path / "users.jsonl", "no json", _row("a")))


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(DataError, match=f"no data set 'elixir'.* one of: {', '.join([*BENCHMARKS, *WORLDS])}"):
        open_data("elixir")


@pytest.mark.parametrize("spec", ["styleworld", f"roleplay@{FIXTURES / 'roleplay.jsonl'}"])
def test_a_split_that_is_none(spec: str) -> None:
    with pytest.raises(DataError, match=r"'eval' is unknown\. Use one of: train, dev, test"):
        open_data(spec, split="eval")


@pytest.mark.parametrize("options", [{"limit": 0}, {"on_fault": "ignore"}])
def test_a_wrong_option(options: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="Use"):
        open_data(FIXTURES / "own.jsonl", **options)


def test_a_limit_draws_the_same_users_whatever_their_order(tmp_path: Path) -> None:
    names = [f"u{index}" for index in range(50)]
    ahead = _write(tmp_path / "ahead.jsonl", *[_row(name) for name in names])
    back = _write(tmp_path / "back.jsonl", *[_row(name) for name in reversed(names)])
    drawn = _ids(open_data(ahead, limit=10))
    assert len(drawn) == 10
    assert drawn == sorted(drawn, key=names.index)
    assert drawn != names[:10]
    assert _ids(open_data(back, limit=10)) == drawn[::-1]
    assert set(_ids(open_data(ahead, limit=20))) > set(drawn)
    assert set(_ids(open_data(ahead, limit=10, seed=1))) != set(drawn)
    assert _ids(open_data(ahead, limit=99)) == names


def test_a_limit_passes_over_users_without_an_id(tmp_path: Path) -> None:
    path = _write(tmp_path / "users.jsonl", {**_row("a"), "user_id": 7}, _row("b"))
    data = open_data(path, limit=1, on_fault="skip")
    assert _ids(data) == ["b"]
    assert data.left_out == {}  # it was not drawn


def test_a_limit_of_a_benchmark_is_a_part_of_it() -> None:
    spec = f"elix@{FIXTURES / 'elix.jsonl'}"
    every = _ids(open_data(spec, split="train"))
    drawn = _ids(open_data(spec, split="train", limit=2))
    assert len(drawn) == 2
    assert set(drawn) < set(every)


def test_a_limit_does_not_look_at_the_users_that_are_not_drawn(tmp_path: Path) -> None:
    path = _write(tmp_path / "users.jsonl", *[_row(f"u{index}", split="dev") for index in range(20)])
    (drawn,) = _ids(open_data(path, limit=1))
    rows = [_row(f"u{index}", split="dev", pairs=[PAIR] if f"u{index}" == drawn else []) for index in range(20)]
    assert _ids(open_data(_write(path, *rows), limit=1)) == [drawn]


def test_faults_end_a_loop_or_are_counted(tmp_path: Path) -> None:
    faulty = [_row(f"u{index}", split="dev", pairs=[]) for index in range(25)]
    path = _write(tmp_path / "users.jsonl", "no json", *faulty, _row("good", split="dev"), _row("other", split="train"))
    with pytest.raises(DataError, match="line 1"):
        open_data(path)
    data = open_data(path, on_fault="skip")
    for _ in range(2):
        assert _ids(data) == ["good"]
        assert data.left_out == {"faults": 26}
        assert len(data.faults) == 20
        assert data.faults[1].startswith(f"{path}, line 2, field 'pairs': there are no pairs")
    assert len(data.digest()) == 64


@pytest.mark.parametrize("world", WORLDS)
def test_a_generated_world(world: str) -> None:
    data = open_data(world, split="dev", limit=3, seed=5)
    users = list(data)
    assert len({user.user_id for user in users}) == 3
    assert {user.split for user in users} == {"dev"}
    assert list(data) == users
    assert data.digest() == open_data(world, split="dev", limit=3, seed=5).digest()
    assert data.digest() != open_data(world, split="dev", limit=3, seed=6).digest()
    assert data.digest() != open_data(world, split="train", limit=3, seed=5).digest()


def test_opening_data_loads_nothing_heavy() -> None:
    code = (
        "import sys; from popi_sdk.data import open_data; "
        f"list(open_data({str(FIXTURES / 'own.jsonl')!r})); "
        "print(sorted({'torch', 'transformers', 'numpy', 'huggingface_hub', 'pyarrow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
