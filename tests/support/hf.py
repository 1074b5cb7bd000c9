"""What the tests of models of transformers ask for, slow models, and whether a worker is gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from popi_sdk.generators import GenerationOptions

SHORT = GenerationOptions(max_tokens=3)
SOME = GenerationOptions(max_tokens=12)
ENDLESS = GenerationOptions(max_tokens=200)
PROMPTS = ["Hi", "What is a firewall?", "Name three colours.", "a" * 40, "Explain DNS to me.", "é"]
STORY = "Tell a story."


@contextmanager
def slow(model: Any, seconds: float = 0.02) -> Iterator[list[int]]:
    """Each forward pass takes its time; yields the sizes of their batches."""
    sizes: list[int] = []

    def wait(module: Any, arguments: Any, named: Any) -> None:
        sizes.append(len(named["input_ids"]))
        time.sleep(seconds)

    hook = model.model.register_forward_pre_hook(wait, with_kwargs=True)
    try:
        yield sizes
    finally:
        hook.remove()


def none_left() -> bool:
    """Whether the workers' threads are gone, as they are soon."""
    deadline = time.monotonic() + 5
    while any(thread.name == "popi-hf" for thread in threading.enumerate()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
