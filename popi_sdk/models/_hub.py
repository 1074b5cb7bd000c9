"""The hub's client without its telemetry, unless the user switched it on: imported before `huggingface_hub` is."""

from __future__ import annotations

import os

__all__: list[str] = []

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
