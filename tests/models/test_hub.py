"""What reaches the hub is what was asked for."""

from __future__ import annotations

import pytest
from support.scripts import run

PRINT = "; from huggingface_hub import constants; print(constants.HF_HUB_DISABLE_TELEMETRY)"


@pytest.mark.parametrize("module", ["popi_sdk.models.causal_lm", "popi_sdk.scoring"])
def test_the_clients_telemetry_is_off_unless_the_user_wants_it(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_DISABLE_TELEMETRY", raising=False)
    ended = run(f"import {module}{PRINT}")
    assert (ended.returncode, ended.stdout) == (0, "True\n"), ended.stderr
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "0")
    assert run(f"import {module}{PRINT}").stdout == "False\n"
