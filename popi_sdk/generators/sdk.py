"""What the `openai` and `anthropic` SDKs share: both are made by one generator and built on httpx2.

The SDK signs, sends and pools; the body is read by `api.py`. A ready client of the SDK may be passed instead of a key.
"""

from __future__ import annotations

import os
import ssl
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import Any, ClassVar, Self

import httpx2

from ..errors import ConfigurationError, PopiError
from .api import ApiGenerator, AsyncReply, Reply
from .spec import BackendSpec, is_loopback

__all__ = ["SdkGenerator"]


class SdkGenerator(ApiGenerator):
    """A backend over one of these SDKs.

    Args:
        model: The model's name.
        url: Base URL of a server other than the provider's; None for the SDK's own default and its environment.
        api_key: None for the SDK's environment variable. No key is demanded for a server on loopback.
        client: A ready client of the SDK (stays yours to close), for proxies, Azure, Bedrock and the like.
        async_client: A ready asynchronous client, for the asynchronous verbs.
        timeout: See `ApiGenerator`.
        max_retries: See `ApiGenerator`.
        count_tokens: See `ApiGenerator`.

    Raises:
        ConfigurationError: If the model or the key is missing; MissingExtraError if the SDK is not installed.
    """

    key_variable: ClassVar[str]
    url_variable: ClassVar[str]

    def __init__(
        self,
        model: str,
        *,
        url: str | None = None,
        api_key: str | None = None,
        client: Any = None,
        async_client: Any = None,
        timeout: float | None = None,
        max_retries: int | None = None,
        count_tokens: Callable[[str], int] | None = None,
    ) -> None:
        url = url or os.environ.get(self.url_variable) or None
        super().__init__(model, url=url, timeout=timeout, max_retries=max_retries, count_tokens=count_tokens)
        self._ready = None if client is None else client.with_options(max_retries=0)
        self._async_ready = None if async_client is None else async_client.with_options(max_retries=0)
        key = api_key or os.environ.get(self.key_variable)
        if not key and is_loopback(self.url):
            key = "not-needed-on-loopback"
        if not key and client is None and async_client is None:
            raise ConfigurationError(
                f"{self.backend} needs an API key. Set {self.key_variable}, or pass api_key=.",
                backend=self.backend,
                model=model,
            )
        self._key = key
        self._context: ssl.SSLContext | None = None

    @classmethod
    def from_spec(cls, spec: BackendSpec, **options: Any) -> Self:
        """Build from `name:MODEL` or `name:MODEL@URL`.

        Raises:
            ConfigurationError: If the model is missing.
        """
        return cls(spec.model or "", url=spec.url, **options)

    @property
    @abstractmethod
    def _sdk(self) -> Any:
        """The SDK's module."""

    @abstractmethod
    def _resource(self, client: Any) -> Any:
        """The resource of a client whose `create` sends the request."""

    def _arguments(self, request: dict[str, Any]) -> dict[str, Any]:
        """Keyword arguments of `create` that send just this request.

        As `extra_body` it replaces what the SDK would build, unchanged: the SDK spares itself the walk through every
        message, and takes what its signature does not have (anthropic >= 1 has no temperature).
        """
        return {"model": self.model, "messages": [], "extra_body": request}

    def _tls(self) -> ssl.SSLContext:
        """One for all clients: loading the certificates takes longer than a request on loopback."""
        if self._context is None:
            self._context = httpx2.create_ssl_context()
        return self._context

    def _sync_client(self) -> AbstractContextManager[Any]:
        ready = self._pick(self._ready, self._async_ready, "client=")
        return super()._sync_client() if ready is None else nullcontext(ready)

    def _async_client(self) -> AbstractContextManager[Any]:
        ready = self._pick(self._async_ready, self._ready, "async_client=")
        return super()._async_client() if ready is None else nullcontext(ready)

    def _pick(self, ready: Any, other: Any, argument: str) -> Any:
        """The caller's client for this kind of verb; with only the other kind at hand there must be a key."""
        if ready is None and other is not None and not self._key:
            raise ConfigurationError(f"{self.backend}: this verb needs a ready client too: pass {argument} or a key.")
        return ready

    async def _close_async(self, client: Any) -> None:
        await client.close()

    @contextmanager
    def _open(self, request: dict[str, Any], timeout: float) -> Iterator[Reply]:
        with self._sync_client() as client:
            create = self._resource(client).with_streaming_response.create
            with create(**self._arguments(request), timeout=timeout) as response:
                yield Reply(response.headers, response.iter_bytes())

    @asynccontextmanager
    async def _aopen(self, request: dict[str, Any], timeout: float) -> AsyncIterator[AsyncReply]:
        with self._async_client() as client:
            create = self._resource(client).with_streaming_response.create
            async with create(**self._arguments(request), timeout=timeout) as response:
                yield AsyncReply(response.headers, response.iter_bytes())

    def _foreign(self) -> tuple[type[Exception], ...]:
        return (self._sdk.APIError, httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL)

    def _classify(self, error: Exception, timeout: float) -> PopiError:
        if isinstance(error, self._sdk.APIStatusError):
            return self.origin.status(error.status_code, error.response.text, error.response.headers)
        if isinstance(error, self._sdk.APITimeoutError | httpx2.TimeoutException):
            return self.origin.timeout(timeout)
        if isinstance(error, httpx2.DecodingError):
            return self.origin.invalid(f"a body that cannot be decoded ({error})")
        return self.origin.connection(_root(error))


def _root(error: BaseException) -> Exception:
    """The library's 'Connection error.' says nothing; what caused it does."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error if isinstance(error, Exception) else Exception(str(error))
