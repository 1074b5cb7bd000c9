"""The four ways to ask a generator, as one function, so that a test can go through all of them."""

from __future__ import annotations

import asyncio
from typing import Any

from popi_sdk.generators import Generation, Generator
from popi_sdk.generators.api import ApiGenerator

MODES = ("generate", "agenerate", "stream", "astream")
STREAMED = ("stream", "astream")


def ask(
    generator: Generator,
    mode: str,
    prompt: Any = "Say hello.",
    *args: Any,
    pieces: list[str] | None = None,
    **kwargs: Any,
) -> Generation:
    """One call in one mode, the async ones in a loop of their own; `pieces` gets the pieces of a stream as it goes."""
    pieces = [] if pieces is None else pieces
    if mode == "generate":
        return generator.generate(prompt, *args, **kwargs)
    if mode == "stream":
        with generator.stream(prompt, *args, **kwargs) as stream:
            for piece in stream:
                pieces.append(piece)
            return stream.result
    return asyncio.run(_ask(generator, mode, prompt, args, pieces, kwargs))


async def _ask(generator: Generator, mode: str, prompt: Any, args: Any, pieces: list[str], kwargs: Any) -> Generation:
    try:
        if mode == "agenerate":
            return await generator.agenerate(prompt, *args, **kwargs)
        async with generator.astream(prompt, *args, **kwargs) as stream:
            async for piece in stream:
                pieces.append(piece)  # noqa: PERF401 - what came before an error is wanted too
            return stream.result
    finally:
        if isinstance(generator, ApiGenerator):
            await generator.aclose()  # the connections belong to this loop
