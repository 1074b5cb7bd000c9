"""The environment: defaults, checks that name the variable, and nothing secret in a print-out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from popi_sdk import ConfigurationError
from popi_sdk.settings import Settings, get_settings


def test_defaults() -> None:
    settings = Settings.from_env({"POPI_CACHE": "/x"})
    assert settings == Settings(cache=Path("/x"))
    assert (settings.timeout, settings.max_retries, settings.threads, settings.context) == (60.0, 2, 0, 4096)
    assert not settings.offline
    assert settings.compatible_api_key is None


def test_everything_is_read() -> None:
    environ = {
        "POPI_CACHE": "~/models",
        "POPI_OFFLINE": " Yes ",
        "POPI_TIMEOUT": "2.5",
        "POPI_MAX_RETRIES": "0",
        "POPI_THREADS": " 4 ",
        "POPI_CONTEXT": "8192.0",
        "POPI_COMPATIBLE_API_KEY": "secret",
    }
    settings = Settings.from_env(environ)
    assert settings == Settings(Path.home() / "models", True, 2.5, 0, 4, 8192, "secret")
    assert "secret" not in repr(settings)


@pytest.mark.parametrize("name", ["POPI_OFFLINE", "HF_HUB_OFFLINE"])
@pytest.mark.parametrize(
    ("value", "meant"), [("1", True), ("TRUE", True), ("on", True), ("0", False), ("no", False), ("", False)]
)
def test_offline_has_two_names(name: str, value: str, meant: bool) -> None:
    assert Settings.from_env({"POPI_CACHE": "/x", name: value}).offline is meant


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("POPI_OFFLINE", "maybe", "neither true nor false. Set it to 1 or 0"),
        ("POPI_TIMEOUT", "soon", "must be a number of at least 0.001"),
        ("POPI_TIMEOUT", "0", "must be a number of at least 0.001"),
        ("POPI_TIMEOUT", "inf", "must be a number"),
        ("POPI_TIMEOUT", "nan", "must be a number"),
        ("POPI_MAX_RETRIES", "-1", "must be a number of at least 0"),
        ("POPI_MAX_RETRIES", "2.7", "must be a whole number"),
        ("POPI_THREADS", "two", "must be a number of at least 0"),
        ("POPI_CONTEXT", "63", "must be a number of at least 64"),
        ("POPI_CONTEXT", "100.5", "must be a whole number"),
    ],
)
def test_wrong_values_name_the_variable(name: str, value: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env({"POPI_CACHE": "/x", name: value})
    assert str(caught.value).startswith(f"{name}='{value}'")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("platform", "environ", "folder"),
    [
        ("linux", {}, ".cache/popi-sdk"),
        ("linux", {"XDG_CACHE_HOME": "/xdg"}, "/xdg/popi-sdk"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, ".cache/popi-sdk"),
        ("darwin", {"XDG_CACHE_HOME": "/xdg"}, "Library/Caches/popi-sdk"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/popi-sdk"),
        ("win32", {}, "AppData/Local/popi-sdk"),
    ],
)
def test_the_cache_is_where_the_platform_keeps_caches(
    monkeypatch: pytest.MonkeyPatch, platform: str, environ: dict[str, str], folder: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert Settings.from_env(environ).cache == Path.home() / folder


def test_without_a_home_the_error_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(ConfigurationError, match="Set POPI_CACHE to an absolute path"):
        Settings.from_env({})
    with pytest.raises(ConfigurationError, match="Set POPI_CACHE"):
        Settings.from_env({"POPI_CACHE": "~no-such-user-here/models"})
    assert Settings.from_env({"XDG_CACHE_HOME": "/xdg"}).cache == Path("/xdg/popi-sdk")


def test_misspelt_variables_are_named() -> None:
    environ = {"POPI_TIMEOUT": "1", "POPI_TIMOUT": "1", "POPI_RETRIES": "1", "PATH": "/bin"}
    assert Settings.unknown(environ) == ["POPI_RETRIES", "POPI_TIMOUT"]
    known = {
        f"POPI_{name}"
        for name in ("CACHE", "OFFLINE", "TIMEOUT", "MAX_RETRIES", "THREADS", "CONTEXT", "COMPATIBLE_API_KEY")
    }
    assert Settings.unknown(dict.fromkeys(known, "")) == []


def test_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POPI_TIMEOUT", "7")
    first = get_settings()
    monkeypatch.setenv("POPI_TIMEOUT", "8")
    assert first.timeout == 7
    assert get_settings() is first
