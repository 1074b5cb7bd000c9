"""Users written by hand for whole evaluations, and the items that one leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from popi_sdk import PreferencePair
from popi_sdk.data import HeldOutPair, UserRecord
from popi_sdk.evals.journal import read_rows
from popi_sdk.evals.manifest import ITEMS
from popi_sdk.evals.run import CHUNK

USERS = CHUNK + 4  # two chunks


def items(folder: Path) -> list[dict[str, Any]]:
    return list(read_rows(folder / ITEMS))


def user(number: int, *, signal: str = "calm", chosen: str = "tiny calm river", **fields: Any) -> UserRecord:
    return UserRecord(
        user_id=f"user {number}",
        signals=(PreferencePair(prompt="describe the river", chosen=f"{signal} {number}", rejected="huge"),),
        pairs=(HeldOutPair(prompt="describe the river", chosen=chosen, rejected="huge icy river"),),
        **fields,
    )
