"""Backend strings: `name`, `name:model` or `name:model@URL`."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..errors import ConfigurationError

__all__ = ["BackendSpec", "is_loopback", "parse_backend"]

_NAME = re.compile(r"[A-Za-z][\w.-]*")


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """A backend string, taken apart."""

    name: str
    model: str | None = None
    url: str | None = None


def parse_backend(text: str) -> BackendSpec:
    """Take a backend string apart.

    The name ends at the first `:`; a URL begins at the first `@` before `http://` or `https://`, so models and paths
    may contain both characters.

    Raises:
        ConfigurationError: If there is no name.
    """
    head, found, url = _split_url(text.strip())
    name, _, model = head.partition(":")
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{text!r} is not a backend. Write 'name', 'name:model' or 'name:model@URL', "
            "for example 'openai:gpt-5-mini'."
        )
    return BackendSpec(name, model or None, url if found else None)


def is_loopback(url: str | None) -> bool:
    """Whether a URL points at this machine: nobody has to hold a key for that."""
    host = urlsplit(url or "").hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _split_url(text: str) -> tuple[str, bool, str]:
    match = re.search(r"@(?=https?://)", text)
    return (text, False, "") if match is None else (text[: match.start()], True, text[match.end() :])
