"""Everything that can go wrong, as one tree.

```
PopiError
  UsageError                 the caller must change something
    ConfigurationError         unknown backend, missing key, bad option, weights that are not there
      MissingExtraError          an optional dependency is missing: names the pip line
    SignalError                empty, malformed or oversized signals: says which one and why
    DataError                  a file of users that cannot be measured with: says file, line and field
    ScoringError               a response that cannot be scored: too long for the model, or without a finite probability
  TrainingError              data, reward or checkpoint: a reward that failed is an error, never 0
  BackendError               a provider or a model failed
    AuthenticationError        the key was refused
    RateLimitError             too many requests, or the quota is spent
    ContextTooLongError        the prompt does not fit the model
    BackendConnectionError     no connection, or it broke
    BackendTimeoutError        no answer in time
    InvalidResponseError       an answer that cannot be used; never turned into an empty success
```
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = [
    "AuthenticationError",
    "BackendConnectionError",
    "BackendError",
    "BackendTimeoutError",
    "ConfigurationError",
    "ContextTooLongError",
    "DataError",
    "InvalidResponseError",
    "MissingExtraError",
    "PopiError",
    "RateLimitError",
    "ScoringError",
    "SignalError",
    "TrainingError",
    "UsageError",
    "needs_extra",
]


class PopiError(Exception):
    """The root: catch this to catch everything that popi_sdk raises on purpose."""


class UsageError(PopiError):
    """The caller must change something; trying again does not help."""


class ConfigurationError(UsageError):
    """Unknown backend, missing key, bad option, or weights that are not there.

    Where a server refused the request as wrong (400, 404, 422), the attributes say which.

    Attributes:
        backend: Name of the backend, if one was asked.
        model: The model that was asked.
        status_code: HTTP status, if there was one.
        request_id: The provider's id of the request, if it sent one.
    """

    def __init__(
        self,
        message: str,
        *,
        backend: str | None = None,
        model: str | None = None,
        status_code: int | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.backend = backend
        self.model = model
        self.status_code = status_code
        self.request_id = request_id


class MissingExtraError(ConfigurationError):
    """An optional dependency is missing.

    Attributes:
        extra: The extra of popi-sdk that brings it, for example `openai`.
    """

    def __init__(self, extra: str, module: str) -> None:
        super().__init__(f"'{module}' is not installed. Run: pip install 'popi-sdk[{extra}]'")
        self.extra = extra
        self.module = module

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.extra, self.module)


class SignalError(UsageError):
    """Signals that are empty, malformed or too large.

    Attributes:
        line: 1-based line of the JSON Lines input, if the signal came from one.
        index: 0-based position among the signals that were passed, if known.
        field: Dotted name of the field at fault, if one is.
    """

    def __init__(
        self, message: str, *, line: int | None = None, index: int | None = None, field: str | None = None
    ) -> None:
        super().__init__(message)
        self.line = line
        self.index = index
        self.field = field


class DataError(UsageError):
    """Users with held-out pairs that cannot be read or would not measure anything: malformed, repeated, leaked.

    Attributes:
        file: The file, if the data came from one.
        line: 1-based line in it, if known.
        field: Dotted name of the field at fault, if one is.
    """

    def __init__(
        self, message: str, *, file: str | None = None, line: int | None = None, field: str | None = None
    ) -> None:
        super().__init__(message)
        self.file = file
        self.line = line
        self.field = field


class ScoringError(UsageError):
    """A response that cannot be scored: it does not fit the model, or its log-probability is not finite."""


class TrainingError(PopiError):
    """Training cannot go on: nothing to train with, a reward that is not a number, a checkpoint that cannot be read."""


class BackendError(PopiError):
    """A provider or a model failed.

    Attributes:
        backend: Name of the backend, for example `openai`.
        model: The model that was asked.
        retryable: Whether the same request may succeed later.
        status_code: HTTP status, if there was one.
        request_id: The provider's id of the request, if it sent one.
        retry_after: Seconds the provider asked us to wait, if it did.
    """

    def __init__(
        self,
        message: str,
        *,
        backend: str,
        model: str | None = None,
        retryable: bool = False,
        status_code: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.backend = backend
        self.model = model
        self.retryable = retryable
        self.status_code = status_code
        self.request_id = request_id
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), str(self), self.__dict__)


def _rebuild(cls: type[BackendError], message: str, attributes: dict[str, Any]) -> BackendError:
    """Unpickle: a required keyword-only argument does not survive the default pickling of exceptions."""
    error = cls(message, backend=attributes["backend"])
    error.__dict__.update(attributes)
    return error


class AuthenticationError(BackendError):
    """The key was missing or refused (401, 403)."""


class RateLimitError(BackendError):
    """Too many requests (429); `retryable` is false when the quota is spent."""


class ContextTooLongError(BackendError):
    """The prompt does not fit the model's context (413, or 400 that says so)."""


class BackendConnectionError(BackendError):
    """No connection to the backend, or it broke."""


class BackendTimeoutError(BackendError):
    """The backend did not answer in time."""


class InvalidResponseError(BackendError):
    """The backend answered with something that cannot be used."""


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Turn a failing import of an optional dependency into the pip line that installs it.

    Where blocks are nested, the outermost extra is named: it brings what the inner ones need.

    Raises:
        MissingExtraError: If an import inside the block finds no module.
        ConfigurationError: If the module is there and does not load.
    """
    try:
        yield
    except MissingExtraError as error:
        raise MissingExtraError(extra, error.module) from error
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(f"{__package__}."):
            raise  # a module of ours: a bug, no missing extra
        raise MissingExtraError(extra, error.name or extra) from error
    except ImportError as error:
        raise ConfigurationError(
            f"What the extra '{extra}' installs does not load: {error}. Run: pip install --force-reinstall "
            f"'popi-sdk[{extra}]'"
        ) from error
