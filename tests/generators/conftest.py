"""Servers and generators that the tests of the backends share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from support.fault_server import FaultServer

from popi_sdk.generators import Generator


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """A server that does what a test plans."""
    with FaultServer() as server:
        yield server


@pytest.fixture
def make(server: FaultServer) -> Iterator[Callable[..., Generator]]:
    """Generators that reach `server`, closed after the test."""
    with ExitStack() as stack:

        def make(backend: str, **options: Any) -> Generator:
            return stack.enter_context(server.generator(backend, **{"timeout": 5, **options}))

        yield make
