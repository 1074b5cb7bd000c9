"""Backend strings: `name`, `name:model` or `name:model@URL`."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..errors import ConfigurationError

__all__ = ["BackendSpec", "checked_key", "checked_url", "is_loopback", "parse_backend", "shown_url", "visible_parts"]

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
            f"{head!r} is not a backend. Write 'name', 'name:model' or 'name:model@URL', "
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


def checked_url(url: str) -> str:
    """A base URL that can be used, and shown in errors and logs.

    Raises:
        ConfigurationError: If it is malformed, or holds a password, a query or a fragment.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError as error:
        raise ConfigurationError(f"The URL {shown_url(url)!r} is malformed: {error}.") from None
    if not good or not url.isprintable() or " " in url:
        raise ConfigurationError(f"The URL {shown_url(url)!r} must start with http:// or https:// and name a host.")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ConfigurationError(
            f"The URL of {parts.hostname} holds a user name, a query or a fragment. Give the base URL alone, and a key "
            "with api_key= or in the environment: URLs are shown in errors."
        )
    return url


def shown_url(url: str) -> str:
    """A URL without what may be secret in it: user name, password, query, fragment."""
    scheme, found, rest = url.partition("://") if "://" in url else ("", "", url)
    authority, slash, path = rest.partition("/")
    host = authority.rpartition("@")[2]
    return re.split(r"[?#]", f"{scheme}{found}{host}{slash}{path}", maxsplit=1)[0]


def checked_key(key: str, backend: str) -> str:
    """A key that can be sent in a header.

    Raises:
        ConfigurationError: If it holds a character that cannot; libraries would show the whole key in their error.
    """
    if not (isinstance(key, str) and key.isascii() and key.isprintable() and key == key.strip()):
        raise ConfigurationError(
            f"The API key of {backend} is no text that a header can hold: blanks at its ends, a line break, or a "
            "character beyond ASCII. Copy it again."
        )
    return key


def visible_parts(key: str) -> list[str]:
    """What of a key is to be cut out of messages: a character that no header can hold may stand there escaped."""
    return re.findall(r"[\x21-\x7e]{4,}", key)


def _split_url(text: str) -> tuple[str, bool, str]:
    match = re.search(r"@(?=https?://)", text, re.IGNORECASE)
    return (text, False, "") if match is None else (text[: match.start()], True, text[match.end() :])
