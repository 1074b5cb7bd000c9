"""The guard against requests, as every backend meets it."""

from __future__ import annotations

import pytest

from popi_sdk.errors import ConfigurationError
from popi_sdk.generators import create_generator
from popi_sdk.testing import no_requests


@pytest.mark.parametrize("host", ["192.0.2.1", "model.example"])
@pytest.mark.parametrize("backend", ["openai", "anthropic", "compatible"])
async def test_the_guards_error_reaches_the_caller_at_once(backend, host):
    async with create_generator(f"{backend}:m@http://{host}/v1", api_key="k", max_retries=0) as generator:
        with no_requests():
            with pytest.raises(ConfigurationError, match="no_requests"):
                await generator.agenerate("hi")
            with pytest.raises(ConfigurationError, match="no_requests"):
                generator.generate("hi")
