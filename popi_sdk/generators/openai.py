"""`openai:MODEL[@URL]`: chat completions through the openai SDK."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from ..errors import needs_extra

with needs_extra("openai"):
    import openai

    from .sdk import SdkGenerator

from .protocols import ChatCompletions

__all__ = ["OpenAIGenerator"]


class OpenAIGenerator(SdkGenerator):
    """OpenAI's models, and servers that want OpenAI's SDK; see `SdkGenerator` for the arguments."""

    backend = "openai"
    key_variable = "OPENAI_API_KEY"
    url_variable = "OPENAI_BASE_URL"

    def __init__(self, model: str, **options: Any) -> None:
        super().__init__(model, **options)
        # OpenAI's newer models refuse max_tokens; other servers may know nothing else.
        host = urlsplit(self.origin.url or "").hostname
        theirs = host is None or host.endswith((".openai.com", ".azure.com"))
        self.protocol = ChatCompletions("max_completion_tokens" if theirs else "max_tokens")

    @property
    def _sdk(self) -> Any:
        return openai

    @property
    def _sdk_error(self) -> type[Exception]:
        return openai.OpenAIError

    def _resource(self, client: Any) -> Any:
        return client.chat.completions

    def _create_client(self) -> openai.OpenAI:
        http_client = openai.DefaultHttpxClient(**self._http_options(self._refuse))
        return openai.OpenAI(api_key=self._key, base_url=self.url, max_retries=0, http_client=http_client)

    def _create_async_client(self) -> openai.AsyncOpenAI:
        http_client = openai.DefaultAsyncHttpxClient(**self._http_options(self._arefuse))
        return openai.AsyncOpenAI(api_key=self._key, base_url=self.url, max_retries=0, http_client=http_client)
