"""The POPI_* environment, read once.

| variable | meaning | default |
| --- | --- | --- |
| `POPI_CACHE` | folder for model weights | the user's cache folder + `popi-sdk` |
| `POPI_OFFLINE` | `1`: never download; `HF_HUB_OFFLINE` means the same | `0` |
| `POPI_TIMEOUT` | seconds for one request | `60` |
| `POPI_MAX_RETRIES` | retries after the first try | `2` |
| `POPI_THREADS` | threads of the embedded engine | the machine's cores |
| `POPI_CONTEXT` | context of the embedded engine, in tokens | `4096` |
| `POPI_COMPATIBLE_API_KEY` | key for `compatible:` servers that want one | none |
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path

from .errors import ConfigurationError

__all__ = ["Settings", "get_settings"]

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"", "0", "false", "no", "off"}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says. Each field is the variable POPI_<FIELD>."""

    cache: Path
    offline: bool = False
    timeout: float = 60.0
    max_retries: int = 2
    threads: int = 0
    context: int = 4096
    compatible_api_key: str | None = field(default=None, repr=False)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read and check the variables.

        Raises:
            ConfigurationError: If a value is not of its type or out of range; names the variable.
        """
        return cls(
            cache=_cache(environ),
            offline=_flag(environ, "POPI_OFFLINE") or _flag(environ, "HF_HUB_OFFLINE"),
            timeout=_number(environ, "POPI_TIMEOUT", 60.0, low=0.001),
            max_retries=_whole(environ, "POPI_MAX_RETRIES", 2, low=0),
            threads=_whole(environ, "POPI_THREADS", 0, low=0),
            context=_whole(environ, "POPI_CONTEXT", 4096, low=64),
            compatible_api_key=environ.get("POPI_COMPATIBLE_API_KEY") or None,
        )

    @staticmethod
    def unknown(environ: Mapping[str, str]) -> list[str]:
        """POPI_* variables that nothing reads: most likely misspelt."""
        known = {f"POPI_{setting.name.upper()}" for setting in fields(Settings)}
        return sorted(name for name in environ if name.startswith("POPI_") and name not in known)


@cache
def get_settings() -> Settings:
    """The settings of this process, read from the environment at the first call."""
    return Settings.from_env(os.environ)


def _cache(environ: Mapping[str, str]) -> Path:
    given = environ.get("POPI_CACHE", "").strip()
    try:
        return Path(given).expanduser() if given else _default_cache(environ)
    except RuntimeError as error:  # no home folder, as in some containers
        raise ConfigurationError(f"No folder for model weights: {error} Set POPI_CACHE to an absolute path.") from error


def _default_cache(environ: Mapping[str, str]) -> Path:
    if sys.platform == "win32":
        base = Path(environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        xdg = Path(environ.get("XDG_CACHE_HOME") or "")
        base = xdg if xdg.is_absolute() else Path.home() / ".cache"  # a relative one counts for nothing, says XDG
    return base / "popi-sdk"


def _flag(environ: Mapping[str, str], name: str) -> bool:
    value = environ.get(name, "").strip().lower()
    if value not in _TRUE | _FALSE:
        raise ConfigurationError(f"{name}={value!r} is neither true nor false. Set it to 1 or 0.")
    return value in _TRUE


def _number(environ: Mapping[str, str], name: str, default: float, *, low: float) -> float:
    raw = environ.get(name, "").strip()
    if not raw:
        return default
    try:
        value = float(raw)
    except ValueError:
        value = float("nan")
    if not low <= value < float("inf"):
        raise ConfigurationError(f"{name}={raw!r} must be a number of at least {low:g}.")
    return value


def _whole(environ: Mapping[str, str], name: str, default: int, *, low: int) -> int:
    value = float(_number(environ, name, default, low=low))
    if not value.is_integer():
        raise ConfigurationError(f"{name}={environ[name].strip()!r} must be a whole number.")
    return int(value)
