"""`anthropic:MODEL[@URL]`: messages through the anthropic SDK."""

from __future__ import annotations

from typing import Any

from ..errors import needs_extra

with needs_extra("anthropic"):
    import anthropic

    from .sdk import SdkGenerator

from .protocols import AnthropicMessages

__all__ = ["AnthropicGenerator"]


class AnthropicGenerator(SdkGenerator):
    """Anthropic's models; see `SdkGenerator` for the arguments."""

    backend = "anthropic"
    key_variable = "ANTHROPIC_API_KEY"
    url_variable = "ANTHROPIC_BASE_URL"

    def __init__(self, model: str, **options: Any) -> None:
        super().__init__(model, **options)
        self.protocol = AnthropicMessages()

    @property
    def _sdk(self) -> Any:
        return anthropic

    @property
    def _sdk_error(self) -> type[Exception]:
        return anthropic.AnthropicError

    def _resource(self, client: Any) -> Any:
        return client.messages

    def _arguments(self, request: dict[str, Any]) -> dict[str, Any]:
        return {**super()._arguments(request), "max_tokens": request["max_tokens"]}

    def _create_client(self) -> anthropic.Anthropic:
        http_client = anthropic.DefaultHttpxClient(**self._http_options(self._refuse))
        return anthropic.Anthropic(api_key=self._key, base_url=self.url, max_retries=0, http_client=http_client)

    def _create_async_client(self) -> anthropic.AsyncAnthropic:
        http_client = anthropic.DefaultAsyncHttpxClient(**self._http_options(self._arefuse))
        return anthropic.AsyncAnthropic(api_key=self._key, base_url=self.url, max_retries=0, http_client=http_client)
