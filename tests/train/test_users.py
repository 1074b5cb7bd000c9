"""Users of one or several data sets to learn from, and others to look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from popi_sdk import DataError
from popi_sdk.data import UserRecord, tinyworld, write_users
from popi_sdk.train import training_users
from popi_sdk.train.users import HELD_OUT


def file_of(path: Path, users: list[UserRecord]) -> Path:
    write_users(path, users)
    return path


def renamed(name: str, count: int, **fields) -> list[UserRecord]:
    users = tinyworld.generate("train", count)
    return [one.model_copy(update={"user_id": f"{name}-{at}", "split": None, **fields}) for at, one in enumerate(users)]


def test_one_data_set(tmp_path: Path) -> None:
    train, dev = training_users(file_of(tmp_path / "own.jsonl", renamed("a", 20)), seed=1)
    assert (len(train), len(dev)) == (20 - 20 // HELD_OUT, 20 // HELD_OUT)
    assert {one.user_id for one in train} | {one.user_id for one in dev} == {f"a-{at}" for at in range(20)}
    assert all(not one.groups for one in train)  # alone, it needs no mark
    train, dev = training_users("tinyworld", limit=5)
    assert (len(train), {one.split for one in train}, {one.split for one in dev}) == (5, {"train"}, {"dev"})


@pytest.mark.parametrize(("users", "held"), [(9, 0), (10, 2), (29, 2), (30, 3)])
def test_of_few_users_two_or_nobody_is_kept_out(users: int, held: int, tmp_path: Path) -> None:
    train, dev = training_users(file_of(tmp_path / "own.jsonl", renamed("a", users)))
    assert (len(train), len(dev)) == (users - held, held)


def test_a_fault_in_dev_is_said(tmp_path: Path) -> None:
    users = [one.model_copy(update={"split": "train"}) for one in renamed("a", 4)]
    path = file_of(tmp_path / "own.jsonl", users)
    assert training_users(path)[1] == []
    with path.open("a") as file:
        file.write(
            '{"user_id": "b", "split": "dev", "signals": ["Short."], "pairs": [{"prompt": "x", "chosen": ""}]}\n'
        )
    with pytest.raises(DataError, match=r"own\.jsonl, line 5"):
        training_users(path)


def test_several_take_turns_and_lend_each_other_no_summaries(tmp_path: Path) -> None:
    small = file_of(tmp_path / "small.jsonl", renamed("b", 11, groups=("b's own",)))
    train, dev = training_users(["tinyworld", small], limit=27)
    assert [one.user_id.partition("-")[0] for one in train].count("b") == 9
    of = [one.user_id.startswith("b-") for one in train]
    assert all(sum(of[at : at + 4]) == 1 for at in range(0, len(of), 4))  # 9 among 36, evenly
    assert {one.groups for one in train} == {("data set 1",), ("b's own",)}
    assert sum(one.user_id.startswith("b-") for one in dev) == 2  # one has the other for a control


def test_other_users_to_look_at(tmp_path: Path) -> None:
    other = file_of(tmp_path / "other.jsonl", renamed("c", 3, split="dev"))
    train, dev = training_users(["tinyworld"], ["tinyworld", other], limit=2)
    assert len(train) == 2
    assert sum(one.user_id.startswith("c-") for one in dev) == 3 < len(dev)


def test_a_user_in_two_of_them(tmp_path: Path) -> None:
    paths = [file_of(tmp_path / f"{name}.jsonl", renamed("same", 3)) for name in ("one", "two")]
    with pytest.raises(DataError, match="'same-0' is in two of the data sets"):
        training_users(paths)
