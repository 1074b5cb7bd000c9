"""What the `openai` and `anthropic` SDKs share: both are made by one generator and built on httpx2.

The SDK signs, sends and pools; the body is read by `api.py`. A ready client of the SDK may be passed instead of a key.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import ssl
import sys
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import Any, ClassVar, Self

import httpx2

from ..errors import ConfigurationError, PopiError
from .api import ApiGenerator, AsyncReply, Reply
from .limits import ErrorBody
from .spec import BackendSpec, checked_key, is_loopback, shown_url, visible_parts

__all__ = ["SdkGenerator"]


class SdkGenerator(ApiGenerator):
    """A backend over one of these SDKs.

    Args:
        model: The model's name.
        url: Base URL of a server other than the provider's; None for the SDK's own default and its environment.
        api_key: None for the SDK's environment variable. No key is demanded for a server on loopback.
        client: A ready client of the SDK (stays yours to close), for proxies, Azure and the like. Its redirects and
            how much of an error's body it reads are its own.
        async_client: A ready asynchronous client, for the asynchronous verbs. With one of the two, the environment's
            key and URL are left alone: the other kind of verb needs the other client, or `api_key`.
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
        given = client if client is not None else async_client
        if given is None:
            url = url or os.environ.get(self.url_variable) or None
            api_key = api_key or os.environ.get(self.key_variable)
        super().__init__(model, url=url, timeout=timeout, max_retries=max_retries, count_tokens=count_tokens)
        self._ready = self._adopted(client, "client", asynchronous=False)
        self._async_ready = self._adopted(async_client, "async_client", asynchronous=True)
        if not api_key and is_loopback(self.url):
            api_key = "not-needed-on-loopback"
        if not api_key and given is None:
            raise ConfigurationError(
                f"{self.backend} needs an API key. Set {self.key_variable}, "
                f"or build it yourself: create_generator('{self.backend}:{model}', api_key=...).",
                backend=self.backend,
                model=model,
            )
        self._key = checked_key(api_key, self.backend) if api_key else None
        keys = (self._key, *(getattr(ready, "api_key", None) for ready in (client, async_client)))
        self.origin = replace(
            self.origin,
            url=self.url or (None if given is None else shown_url(str(given.base_url))),
            secrets=tuple(part for key in keys if isinstance(key, str) for part in visible_parts(key)),
        )
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
        # Some ready clients choose their URL by these two.
        named: dict[str, Any] = {name: request[name] for name in ("model", "stream") if name in request}
        rest = {name: value for name, value in request.items() if name not in named}
        return {"messages": [], **named, "extra_body": rest}

    def _adopted(self, client: Any, argument: str, *, asynchronous: bool) -> Any:
        """A ready client, set not to retry: that is done here."""
        if client is None:
            return None
        close = getattr(client, "close", None)
        if not hasattr(client, "with_options") or inspect.iscoroutinefunction(close) is not asynchronous:
            kind = "an asynchronous" if asynchronous else "a synchronous"
            raise ConfigurationError(
                f"{self.backend}: {argument}= wants {kind} client of the SDK, not {type(client).__name__}."
            )
        return client.with_options(max_retries=0)

    def _http_options(self, hook: Any) -> dict[str, Any]:
        """Of an HTTP client of our own: a redirect is an error, it would carry the key and the prompt elsewhere."""
        return {"verify": self._tls(), "follow_redirects": False, "event_hooks": {"response": [hook]}}

    def _refuse(self, response: httpx2.Response) -> None:
        """A hook that raises for a status of no success: the SDK would read a body to its end, were it endless."""
        if not response.is_success:
            body = ErrorBody(_seconds(response, self.timeout))
            with suppress(*self._foreign()):
                for chunk in response.iter_bytes():
                    if not body.add(chunk):
                        break
            raise self.origin.status(response.status_code, body.text, response.headers)

    async def _arefuse(self, response: httpx2.Response) -> None:
        """`_refuse`, asynchronous."""
        if not response.is_success:
            body = ErrorBody(_seconds(response, self.timeout))
            with suppress(*self._foreign(), TimeoutError):
                async with asyncio.timeout(body.patience):
                    async for chunk in response.aiter_bytes():
                        if not body.add(chunk):
                            break
            raise self.origin.status(response.status_code, body.text, response.headers)

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

    @property
    @abstractmethod
    def _sdk_error(self) -> type[Exception]:
        """The root of what the SDK raises."""

    def _foreign(self) -> tuple[type[Exception], ...]:
        roots = [(library.HTTPError, library.StreamError, library.InvalidURL) for library in _http_libraries()]
        return (self._sdk_error, TypeError, *(root for group in roots for root in group))

    def _classify(self, error: Exception, timeout: float) -> PopiError:
        libraries = _http_libraries()
        if isinstance(error, self._sdk.APIStatusError):
            return self.origin.status(error.status_code, error.response.text, error.response.headers)
        if isinstance(error, (self._sdk.APITimeoutError, *(library.TimeoutException for library in libraries))):
            return self.origin.timeout(timeout)
        if isinstance(error, tuple(library.DecodingError for library in libraries)):
            return self.origin.invalid(f"a body that cannot be decoded ({error})")
        causes = list(_causes(error))
        refusals = [
            (library.InvalidURL, library.UnsupportedProtocol, library.LocalProtocolError) for library in libraries
        ]
        no_key = isinstance(error, self._sdk_error) and not isinstance(error, self._sdk.APIError)
        refused = (ValueError, TypeError, *(refusal for group in refusals for refusal in group))
        if no_key or any(isinstance(cause, refused) for cause in causes):
            return self.origin.unsendable(causes[-1])
        # A RuntimeError says that the client was closed meanwhile.
        return self.origin.connection(causes[-1], retryable=not isinstance(causes[-1], RuntimeError))


def _http_libraries() -> list[Any]:
    """What the SDKs are built on; a ready client may have been given an httpx client, as before their new major."""
    return [httpx2, *([sys.modules["httpx"]] if "httpx" in sys.modules else [])]


def _seconds(response: httpx2.Response, default: float) -> float:
    """The time-out that a request was sent with."""
    return float(response.request.extensions.get("timeout", {}).get("read") or default)


def _causes(error: BaseException) -> Iterator[Exception]:
    """From an error to its root: the library's 'Connection error.' says nothing, what caused it does."""
    cause: BaseException | None = error
    while isinstance(cause, Exception):
        yield cause
        cause = cause.__cause__
