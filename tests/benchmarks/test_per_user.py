"""The adapter for each user: its rate is chosen on train users, and measured on dev users alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import per_user
from popi_sdk.data import HeldOutPair, UserRecord, tinyworld, write_users
from popi_sdk.models.causal_lm import load_causal_lm


def people(split: str, count: int) -> list[UserRecord]:
    """Every second one wants the short answer, in all that it says."""
    found = []
    for number in range(count):
        wanted, other = ("large", "small") if number % 2 else ("small", "large")
        said = [{"kind": "preference", "prompt": f"{at}?", "chosen": wanted, "rejected": other} for at in range(4)]
        pair = HeldOutPair(prompt="five", chosen=wanted, rejected=other)
        found.append(UserRecord(user_id=f"{split}{number}", split=split, signals=said, pairs=[pair]))
    return found


def test_the_rate_is_chosen_on_train_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = tinyworld.save_tiny_model(tmp_path / "tiny")
    monkeypatch.setattr(per_user, "load_causal_lm", lambda **_: load_causal_lm(tiny, dtype="float32"))
    monkeypatch.setattr(per_user, "RATES", (1e-9, 1e-2))  # with the first nothing is learnt
    monkeypatch.setattr(per_user, "ADAPTERS", {"rank": 8, "alpha": 16})
    data = tmp_path / "people.jsonl"
    write_users(data, [*people("train", 4), *people("dev", 6)])
    monkeypatch.setattr(sys, "argv", ["per_user", str(data), "--users", "4", "--steps", "4"])
    per_user.main()
    said = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith(("| train", "| dev"))]
    assert [line[:3] for line in said] == [["| train", "1e-09", "2"], ["| train", "0.01", "2"], ["| dev", "0.01", "4"]]
    assert said[-1][3].startswith("100.0")


def test_data_without_splits_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "people.jsonl"
    write_users(data, [one.model_copy(update={"split": None}) for one in people("dev", 4)])
    monkeypatch.setattr(sys, "argv", ["per_user", str(data)])
    with pytest.raises(SystemExit, match="names no splits"):
        per_user.main()
