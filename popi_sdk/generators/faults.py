"""The one place that says what a provider's failure means: HTTP status and body to error.

| status | error | retried |
| --- | --- | --- |
| 401, 403 | AuthenticationError | no |
| 404, 400, 422, other 4xx | ConfigurationError (model, URL, the server's words) | no |
| 413, or 400 that says the context is too long | ContextTooLongError | no |
| 408, 409, 5xx, 529 | BackendError | yes |
| 429 | RateLimitError | yes, unless the quota is spent |
| connection, time-out | BackendConnectionError, BackendTimeoutError | yes, not after streaming began |
| 200 with no usable choice, malformed body | InvalidResponseError | no |

An error that a server reports in a 200 body or in a stream counts as the status that its code or type stands for.
"Not after streaming began" means: not after the status line of a stream came. Keys are cut out of what is quoted.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from ..errors import (
    AuthenticationError,
    BackendConnectionError,
    BackendError,
    BackendTimeoutError,
    ConfigurationError,
    ContextTooLongError,
    InvalidResponseError,
    PopiError,
    RateLimitError,
)

__all__ = ["Origin", "error_event", "retry_after_seconds", "server_words"]

_CONTEXT_CODES = {"context_length_exceeded", "exceed_context_size_error", "request_too_large"}
_CONTEXT_WORDS = re.compile(
    r"maximum context length|context (length|size|window)|prompt is too long|too many (input )?tokens|"
    r"exceeds? the (available|maximum|model).{0,20}(context|tokens)",
    re.IGNORECASE,
)
_SPENT = {"insufficient_quota", "billing_hard_limit_reached", "billing_error", "quota_exceeded"}
_STATUS_OF = {
    "overloaded_error": 529,
    "api_error": 500,
    "server_error": 500,
    "timeout_error": 504,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "request_too_large": 413,
    "not_found_error": 404,
    "model_not_found": 404,
    "permission_error": 403,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "invalid_request_error": 400,
} | dict.fromkeys(_SPENT, 429)
_STATUS_OF |= dict.fromkeys(_CONTEXT_CODES - {"request_too_large"}, 400)
_WORDS = 500


@dataclass(frozen=True, slots=True)
class Origin:
    """Who was asked: goes into every error.

    Attributes:
        backend: Name of the backend.
        model: The model that is asked.
        url: Where it runs, if that is known.
        secrets: Keys, which no message may show, even where a server or a library does.
    """

    backend: str
    model: str
    url: str | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        return f"{self.backend}, model '{self.model}'{f' at {self.url}' if self.url else ''}"

    def status(self, status: int, body: str, headers: Mapping[str, str]) -> PopiError:
        """The error for an HTTP status that is not a success."""
        words, codes = server_words(body)
        words = self.cleaned(words)[:_WORDS]
        message = f"{self}: HTTP {status}{f': {words}' if words else ''}"
        common: dict[str, Any] = {
            "backend": self.backend,
            "model": self.model,
            "status_code": status,
            "request_id": request_id_of(headers),
        }
        if status in (401, 403):
            return AuthenticationError(f"{message}. Check the API key of {self.backend}.", **common)
        if status == 413 or (status == 400 and (codes & _CONTEXT_CODES or _CONTEXT_WORDS.search(words))):
            return ContextTooLongError(f"{message}. Shorten the prompt or lower the budget.", **common)
        if status == 429:
            spent = bool(codes & _SPENT)
            wait = retry_after_seconds(headers)
            remedy = " The quota is spent: waiting does not help." if spent else ""
            return RateLimitError(message + remedy, **common, retryable=not spent, retry_after=wait)
        if status in (408, 409) or status >= 500:
            return BackendError(message, **common, retryable=True, retry_after=retry_after_seconds(headers))
        if 300 <= status < 400:
            target = self.cleaned(_header(headers, "location") or "elsewhere")
            return ConfigurationError(f"{message}. The server redirects to {target}: use that URL.", **common)
        return ConfigurationError(f"{message}. Check the model's name, the URL and the options.", **common)

    def connection(self, error: Exception, *, retryable: bool = True) -> BackendConnectionError:
        """The error for no connection, or one that broke."""
        detail = self.cleaned(str(error)) or type(error).__name__
        return BackendConnectionError(
            f"{self}: the connection failed ({detail}). Is the server running and reachable?",
            backend=self.backend,
            model=self.model,
            retryable=retryable,
        )

    def timeout(self, seconds: float, *, retryable: bool = True) -> BackendTimeoutError:
        """The error for no answer in time."""
        return BackendTimeoutError(
            f"{self}: no complete answer within {seconds:g} s. Raise timeout= or lower max_tokens.",
            backend=self.backend,
            model=self.model,
            retryable=retryable,
        )

    def invalid(self, reason: str, *, request_id: str | None = None, status: int | None = 200) -> InvalidResponseError:
        """The error for an answer that cannot be used."""
        return InvalidResponseError(
            f"{self}: unusable answer: {self.cleaned(reason)}",
            backend=self.backend,
            model=self.model,
            status_code=status,
            request_id=request_id,
        )

    def unsendable(self, error: Exception) -> ConfigurationError:
        """The error for a request that a library refuses to send."""
        return ConfigurationError(
            f"{self}: the request cannot be sent: {self.cleaned(str(error)) or type(error).__name__}",
            backend=self.backend,
            model=self.model,
        )

    def cleaned(self, text: str) -> str:
        """A text without the keys."""
        for secret in self.secrets:
            text = text.replace(secret, "[key]")
        return text


def error_event(origin: Origin, error: Any, headers: Mapping[str, str]) -> PopiError:
    """The error that a server reports inside a stream or in a 200 body."""
    details = dict(error) if isinstance(error, Mapping) else {"message": str(error)}
    return origin.status(_status_of(details), json.dumps({"error": details}, default=str), headers)


def _status_of(details: Mapping[str, Any]) -> int:
    """By its code, which may be an HTTP status or a word, else by its type; what is neither is the server's fault."""
    for name in (details.get("code"), details.get("type")):
        word = str(name)
        if word.isdecimal() and len(word) == 3 and word >= "400" and word < "600":
            return int(word)
        if word in _STATUS_OF:
            return _STATUS_OF[word]
    return 500


def server_words(body: str) -> tuple[str, set[str]]:
    """The message in an error body, and the codes and types it names."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return " ".join(body.split()), set()
    error = data.get("error", data) if isinstance(data, Mapping) else data
    if not isinstance(error, Mapping):
        return str(error), set()
    words = error.get("message") or error.get("detail") or error.get("error") or ""
    codes = {str(error[key]) for key in ("code", "type") if error.get(key)}
    return " ".join(str(words).split()), codes


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """The provider's id of a request."""
    return _header(headers, "x-request-id") or _header(headers, "request-id")


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Seconds that a provider asks to wait: `retry-after-ms`, or Retry-After in seconds or as an HTTP date."""
    milliseconds = _float(_header(headers, "retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = _header(headers, "retry-after")
    seconds = _float(value)
    if seconds is not None or value is None:
        return seconds
    try:
        date = parsedate_to_datetime(value)
        if date.tzinfo is None:  # "-0000", which is as good as GMT here
            date = date.replace(tzinfo=UTC)
        return max(0.0, date.timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _header(headers: Mapping[str, str], name: str) -> str | None:
    """A header, in whatever case a mapping keeps its name."""
    return next((value for key, value in headers.items() if key.lower() == name), None)


def _float(value: str | None) -> float | None:
    try:
        number = float(value) if value is not None else -1.0
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
