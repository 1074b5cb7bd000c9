"""`openai:MODEL[@URL]`: chat completions through the openai SDK."""

from __future__ import annotations

from typing import Any

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
        # OpenAI's newer models refuse max_tokens; other servers know nothing else.
        self.protocol = ChatCompletions("max_tokens" if self.url else "max_completion_tokens")

    @property
    def _sdk(self) -> Any:
        return openai

    def _resource(self, client: Any) -> Any:
        return client.chat.completions

    def _create_client(self) -> openai.OpenAI:
        http_client = openai.DefaultHttpxClient(verify=self._tls())
        return openai.OpenAI(api_key=self._key, base_url=self.url, max_retries=0, http_client=http_client)

    def _create_async_client(self) -> openai.AsyncOpenAI:
        http_client = openai.DefaultAsyncHttpxClient(verify=self._tls())
        return openai.AsyncOpenAI(api_key=self._key, base_url=self.url, max_retries=0, http_client=http_client)
