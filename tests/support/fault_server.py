"""A server on loopback that fails by script: each request takes the next prepared behaviour.

    with FaultServer() as server:
        server.plan(refuse(503, headers={"retry-after-ms": "1"}), succeed())
        server.generator("openai").generate("hi")     # refused once, then answered
        server.requests[0].body["messages"]

Behaviours speak the protocol of the path that they are asked at, streamed or whole as the request wants it.
"""

from __future__ import annotations

import gzip
import json
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from popi_sdk.generators import Generator, create_generator

from . import shapes

KEY = "sk-test-0123456789-secret"
BACKENDS = ("openai", "anthropic", "compatible")


@dataclass
class Recorded:
    """One request as it came in; `gone` is set when the client hung up before the answer's end."""

    path: str
    headers: dict[str, str]
    body: Any
    client: tuple[str, int]
    gone: threading.Event = field(default_factory=threading.Event)


class Exchange:
    """One request to answer, with the means to answer it badly."""

    def __init__(self, handler: BaseHTTPRequestHandler, request: Recorded, closing: threading.Event) -> None:
        self.request = request
        self.closing = closing
        self._handler = handler

    @property
    def streamed(self) -> bool:
        return isinstance(self.request.body, dict) and bool(self.request.body.get("stream"))

    def head(self, status: int, headers: dict[str, str] | None = None, length: int | None = None) -> None:
        """Status line and headers; without a length the body is chunked."""
        framing = {"transfer-encoding": "chunked"} if length is None else {"content-length": str(length)}
        self._handler.send_response_only(status)
        for name, value in {"content-type": "application/json", **framing, **(headers or {})}.items():
            self._handler.send_header(name, value)
        self._handler.end_headers()

    def send(self, data: bytes) -> None:
        self._handler.wfile.write(data)

    def chunk(self, data: bytes) -> None:
        self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        self.send(b"0\r\n\r\n")

    def close(self) -> None:
        """End the connection; with nothing sent, no answer at all."""
        self._handler.close_connection = True

    def reset(self) -> None:
        """Break the connection off: the client reads a reset, not an end. What was sent before arrives first."""
        time.sleep(0.05)
        self._handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._handler.rfile.close()
        self._handler.wfile.close()
        self._handler.connection.close()
        self.close()

    def pause(self, seconds: float) -> None:
        """Wait, but not for a client that left, nor when the server closes."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self.closing.is_set():
            readable, _, _ = select.select([self._handler.connection], [], [], min(0.01, seconds))
            if readable and not self._handler.connection.recv(1, socket.MSG_PEEK):
                raise ConnectionAbortedError

    def wait(self) -> None:
        """Until the client leaves or the server closes."""
        while not self.closing.is_set():
            self.pause(1)


Behaviour = Callable[[Exchange], None]


def succeed(
    text: str = shapes.TEXT, finish: str = "stop", *, headers: dict[str, str] | None = None, delay: float = 0
) -> Behaviour:
    """The answer that all wait for."""

    def behave(exchange: Exchange) -> None:
        exchange.pause(delay)
        path = exchange.request.path
        if exchange.streamed:
            pieces = shapes.PIECES if text == shapes.TEXT else (text,)
            stream(*shapes.events(path, pieces, finish), headers=headers)(exchange)
        else:
            answer(shapes.body(path, text, finish), headers=headers)(exchange)

    return behave


def answer(
    body: Any, status: int = 200, *, headers: dict[str, str] | None = None, delay: float = 0, drip: float = 0
) -> Behaviour:
    """A whole body: bytes as they are, anything else as JSON; with `drip`, byte by byte that many seconds apart."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    def behave(exchange: Exchange) -> None:
        exchange.pause(delay)
        exchange.head(status, headers, len(data))
        if not drip:
            exchange.send(data)
            return
        for byte in data:
            exchange.send(bytes([byte]))
            exchange.pause(drip)

    return behave


def refuse(
    status: int,
    message: str = "no luck today",
    kind: str = "server_error",
    *,
    headers: dict[str, str] | None = None,
    **fields: Any,
) -> Behaviour:
    """A status of no success, with an error body of the protocol."""

    def behave(exchange: Exchange) -> None:
        body = shapes.error(exchange.request.path, message, kind, **fields)
        answer(body, status, headers={"x-request-id": "req-1", **(headers or {})})(exchange)

    return behave


def stream(*events: bytes, headers: dict[str, str] | None = None, then: str = "end", interval: float = 0) -> Behaviour:
    """Events as given, and `then`: end, close (without an end), reset, or wait (keep the connection open)."""

    def behave(exchange: Exchange) -> None:
        exchange.head(200, {"content-type": "text/event-stream", "x-request-id": "req-1", **(headers or {})})
        for data in events:
            exchange.chunk(data)
            exchange.pause(interval)
        getattr(exchange, then)()

    return behave


def first_events(count: int, then: str = "end", *more: Callable[[str], bytes]) -> Behaviour:
    """The first events of a good stream, `more` built for the path, and `then` as in `stream`."""

    def behave(exchange: Exchange) -> None:
        path = exchange.request.path
        stream(*shapes.events(path)[:count], *(make(path) for make in more), then=then)(exchange)

    return behave


def hang_up(exchange: Exchange) -> None:
    """No answer at all."""
    exchange.close()


def never_answer(exchange: Exchange) -> None:
    """The connection stays open and silent."""
    exchange.wait()


def cut_off(exchange: Exchange) -> None:
    """Half a body, then a reset."""
    data = json.dumps(shapes.body(exchange.request.path)).encode()
    exchange.head(200, length=len(data))
    exchange.send(data[: len(data) // 2])
    exchange.reset()


def trickle_headers(exchange: Exchange) -> None:
    """Header after header, without end: no single read waits for long."""
    exchange.send(b"HTTP/1.1 200 OK\r\n")
    for number in _forever(exchange, 0.02):
        exchange.send(b"x-%d: y\r\n" % number)


def endless(
    piece: bytes, status: int = 200, *, interval: float = 0, headers: dict[str, str] | None = None
) -> Behaviour:
    """The same piece of a body for ever."""

    def behave(exchange: Exchange) -> None:
        exchange.head(status, headers)
        for _ in _forever(exchange, interval):
            exchange.chunk(piece)

    return behave


def broken_gzip(exchange: Exchange) -> None:
    """A body that says it is compressed, and is not."""
    good = gzip.compress(json.dumps(shapes.body(exchange.request.path)).encode())
    answer(good[:12] + b"garbage" * 9, headers={"content-encoding": "gzip"})(exchange)


def _forever(exchange: Exchange, interval: float) -> Iterable[int]:
    number = 0
    while not exchange.closing.is_set():
        yield number
        number += 1
        exchange.pause(interval)


class FaultServer:
    """Threaded; `requests` holds what came in, in order. Use it in a `with` block."""

    def __init__(self) -> None:
        self.requests: list[Recorded] = []
        self._planned: deque[Behaviour] = deque()
        self._otherwise: Behaviour = refuse(418, "no behaviour is planned for this request")
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(), bind_and_activate=True)
        self._server.daemon_threads = False
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="fault-server")

    def plan(self, *behaviours: Behaviour) -> None:
        """What the next requests get, in this order."""
        self._planned.extend(behaviours)

    def always(self, behaviour: Behaviour) -> None:
        """What every request gets that nothing is planned for."""
        self._otherwise = behaviour

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def spec(self, backend: str, model: str = "asked-model") -> str:
        """The backend string that reaches this server."""
        return f"{backend}:{model}@{self.url}{'' if backend == 'anthropic' else '/v1'}"

    def generator(self, backend: str, **options: Any) -> Generator:
        return create_generator(self.spec(backend), **{"api_key": KEY, **options})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._closing.set()
        self._server.shutdown()
        with self._lock:
            for connection in self._open:  # idle ones wait for a next request
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()
        self._thread.join()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        data = handler.rfile.read(int(handler.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        request = Recorded(handler.path, headers, json.loads(data) if data else None, handler.client_address)
        with self._lock:
            self.requests.append(request)
            behave = self._planned.popleft() if self._planned else self._otherwise
        try:
            behave(Exchange(handler, request, self._closing))
        except ConnectionError:
            request.gone.set()
            handler.close_connection = True

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                with server._lock:
                    server._open.add(self.connection)

            def finish(self) -> None:
                with server._lock:
                    server._open.discard(self.connection)
                if not self.wfile.closed:
                    super().finish()

            def do_POST(self) -> None:
                server._serve(self)

            do_GET = do_POST

            def handle(self) -> None:
                try:
                    super().handle()
                except ConnectionError:
                    self.close_connection = True
                except ValueError:  # its files were closed by a reset
                    if not self.wfile.closed:
                        raise

            def log_message(self, *args: Any) -> None:
                """Quiet."""

        return Handler
