"""The download from the hub, against a local server that answers like it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from popi_sdk.data.benchmarks import BENCHMARKS, open_benchmark
from popi_sdk.data.lines import raise_fault
from popi_sdk.errors import DataError
from popi_sdk.settings import get_settings

FIXTURES = Path(__file__).parent / "fixtures"
_SHA = "0" * 40


@contextmanager
def _hub(repo: str, files: dict[str, bytes]) -> Iterator[str]:
    """The part of the hub's API that a download uses; yields its URL."""

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            name = path.removeprefix(f"/datasets/{repo}/resolve/{_SHA}/")
            if path == f"/api/datasets/{repo}/revision/main":
                siblings = [{"rfilename": file} for file in files]
                self._answer(json.dumps({"id": repo, "sha": _SHA, "siblings": siblings}).encode())
            elif path.startswith(f"/api/datasets/{repo}/tree/"):
                tree = [
                    {"type": "file", "path": file, "size": len(files[file]), "oid": _oid(files[file])} for file in files
                ]
                self._answer(json.dumps(tree).encode())
            elif name in files:
                self._answer(files[name])
            else:
                self.send_error(404)

        do_HEAD = do_GET

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{_oid(body)}"')
            self.send_header("X-Repo-Commit", _SHA)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _oid(body: bytes) -> str:
    return hashlib.sha1(body, usedforsecurity=False).hexdigest()


def _users(spec: str, split: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the hub's client reads its environment once."""
    code = f"from popi_sdk.data import open_data\nfor user in open_data({spec!r}, split={split!r}): print(user.user_id)"
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_benchmark_is_downloaded_once_and_then_read_offline(tmp_path: Path) -> None:
    rows = (FIXTURES / "elix.jsonl").read_bytes()
    files = {"data/train.jsonl": rows, "data/test.jsonl": rows, "README.md": b"no rows"}
    home = str(tmp_path)
    with _hub("Asap7772/elix_generations_autolabel", files) as url:
        online = _users("elix", "test", HF_HOME=home, HF_ENDPOINT=url)
    assert online.stdout.split() == [f"elix-test-{kind}-0000{n}" for kind in ("child", "expert") for n in range(4)], (
        online
    )
    assert not list(tmp_path.rglob("README.md"))
    offline = _users("elix", "test", HF_HOME=home, POPI_OFFLINE="1")
    assert offline.stdout == online.stdout
    dev = _users("elix", "dev", HF_HOME=home, POPI_OFFLINE="1")
    assert dev.stdout.split() == ["elix-train-child-00000", "elix-train-expert-00000"]


def test_a_data_set_that_the_hub_does_not_have(tmp_path: Path) -> None:
    with _hub("somebody/else", {}) as url:
        result = _users("roleplay", "test", HF_HOME=str(tmp_path), HF_ENDPOINT=url)
    assert "DataError: roleplay: the data set sher222/persona-iterative-responses" in result.stderr
    assert "404" in result.stderr


def test_offline_the_error_says_what_to_put_where(tmp_path: Path) -> None:
    result = _users("alignx", "test", HF_HOME=str(tmp_path), POPI_OFFLINE="1")
    error = result.stderr.strip().splitlines()[-1]
    assert "POPI_OFFLINE or HF_HUB_OFFLINE is set" in error
    assert "hf download JinaLeejnl/AlignX-test --repo-type dataset --local-dir alignx" in error
    assert "alignx@PATH" in error
    assert "Pair-wise Comparative Feedback" in error


def test_no_cache_holds_what_nobody_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POPI_OFFLINE", "1")
    get_settings.cache_clear()
    unknown = replace(BENCHMARKS["elix"], repo="nobody/has-this")
    with pytest.raises(DataError, match="nobody/has-this is not in the hub's cache, and was not downloaded"):
        list(open_benchmark(unknown, None, "test", 0).records(raise_fault))
