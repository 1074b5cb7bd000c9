"""`compatible:MODEL@URL`: any server that speaks OpenAI's chat completions, with nothing but httpx."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from typing import Any, Self

import httpx

from ..errors import ConfigurationError, PopiError
from ..settings import get_settings
from .api import ApiGenerator, AsyncReply, Reply
from .limits import ErrorBody
from .protocols import ChatCompletions
from .spec import BackendSpec, checked_key

__all__ = ["CompatibleGenerator"]


class CompatibleGenerator(ApiGenerator):
    """vLLM, Ollama, llama.cpp, LM Studio, ...: no SDK, no key unless the server wants one.

    Args:
        model: The model's name, as the server knows it.
        url: Base URL up to and with the version, for example `http://localhost:8000/v1`.
        api_key: Sent as a bearer token; None for POPI_COMPATIBLE_API_KEY, which may be unset.
        timeout: See `ApiGenerator`.
        max_retries: See `ApiGenerator`.
        count_tokens: See `ApiGenerator`.

    Raises:
        ConfigurationError: If the model or the URL is missing or malformed.
    """

    backend = "compatible"

    def __init__(
        self,
        model: str,
        url: str,
        *,
        api_key: str | None = None,
        timeout: float | None = None,
        max_retries: int | None = None,
        count_tokens: Callable[[str], int] | None = None,
    ) -> None:
        super().__init__(model, url=url, timeout=timeout, max_retries=max_retries, count_tokens=count_tokens)
        self.protocol = ChatCompletions()
        self._endpoint = f"{url.rstrip('/')}/chat/completions"
        self._context: ssl.SSLContext | None = None
        self._headers = {}
        if key := api_key or get_settings().compatible_api_key:
            self._headers = {"Authorization": f"Bearer {checked_key(key, self.backend)}"}
            self.origin = replace(self.origin, secrets=(key,))

    @classmethod
    def from_spec(cls, spec: BackendSpec, **options: Any) -> Self:
        """Build from `compatible:MODEL@URL`.

        Raises:
            ConfigurationError: If the model or the URL is missing.
        """
        if not spec.url or not spec.model:
            raise ConfigurationError("compatible needs a model and a URL: 'compatible:MODEL@http://localhost:8000/v1'.")
        return cls(spec.model, spec.url, **options)

    def _tls(self) -> ssl.SSLContext:
        """One for all lanes: loading the certificates takes longer than a request on loopback."""
        if self._context is None:
            self._context = httpx.create_ssl_context()
        return self._context

    def _create_client(self) -> httpx.Client:
        return httpx.Client(headers=self._headers, verify=self._tls())

    def _create_async_client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(headers=self._headers, verify=self._tls())

    async def _close_async(self, client: httpx.AsyncClient) -> None:
        await client.aclose()

    @contextmanager
    def _open(self, request: dict[str, Any], timeout: float) -> Iterator[Reply]:
        with (
            self._sync_client() as client,
            client.stream("POST", self._endpoint, json=request, timeout=timeout) as response,
        ):
            if not response.is_success:
                body = ErrorBody(timeout)
                with suppress(*self._foreign()):
                    for chunk in response.iter_bytes():
                        if not body.add(chunk):
                            break
                raise self.origin.status(response.status_code, body.text, response.headers)
            yield Reply(response.headers, response.iter_bytes())

    @asynccontextmanager
    async def _aopen(self, request: dict[str, Any], timeout: float) -> AsyncIterator[AsyncReply]:
        with self._async_client() as client:
            async with client.stream("POST", self._endpoint, json=request, timeout=timeout) as response:
                if not response.is_success:
                    body = ErrorBody(timeout)
                    with suppress(*self._foreign(), TimeoutError):
                        async with asyncio.timeout(body.patience):
                            async for chunk in response.aiter_bytes():
                                if not body.add(chunk):
                                    break
                    raise self.origin.status(response.status_code, body.text, response.headers)
                yield AsyncReply(response.headers, response.aiter_bytes())

    def _foreign(self) -> tuple[type[Exception], ...]:
        return (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL)

    def _classify(self, error: Exception, timeout: float) -> PopiError:
        if isinstance(error, httpx.TimeoutException):
            return self.origin.timeout(timeout)
        if isinstance(error, httpx.DecodingError):
            return self.origin.invalid(f"a body that cannot be decoded ({error})")
        if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL | httpx.LocalProtocolError):
            return self.origin.unsendable(error)
        # A StreamError says that the client was closed meanwhile.
        return self.origin.connection(error, retryable=not isinstance(error, httpx.StreamError))
