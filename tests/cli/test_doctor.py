from __future__ import annotations

import subprocess
from importlib import metadata

import pytest

import popi_sdk.cli.checks as checks
from popi_sdk import ConfigurationError, __version__
from popi_sdk.cli.checks import Engine, examine

SENTINEL = "sk-sentinel-9f2e"
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "POPI_COMPATIBLE_API_KEY")


@pytest.fixture
def engine_works(monkeypatch):
    monkeypatch.setattr(checks, "_probed", lambda: Engine(True, seconds=0.5))


def look(environ=None, *, deep=False):
    return examine({"POPI_CACHE": "/nowhere", **(environ or {})}, __version__, deep=deep)


def test_on_the_real_engine(gguf, process):
    ended = process("doctor", "--json", "--deep")
    assert (ended.code, ended.err) == (0, "")
    report = ended.json
    assert report["ok"] is True
    assert report["model"] == {"name": "smollm2-135m-instruct", "path": str(gguf), "sha256_ok": True}
    assert report["engine"]["ok"] is True
    assert report["engine"]["seconds"] > 0
    assert {extra["name"] for extra in report["extras"]} >= {"local", "openai", "anthropic", "cli"}
    assert report["popi_sdk"] == __version__


@pytest.mark.parametrize("args", [(), ("--json",)])
def test_no_character_of_a_key_is_shown(popi, monkeypatch, gguf, engine_works, args):
    for name in KEYS:
        monkeypatch.setenv(name, SENTINEL)
    monkeypatch.setenv("POPI_API_KEY", SENTINEL)
    ended = popi("doctor", *args)
    assert ended.code == 0
    shown = ended.out + ended.err
    assert SENTINEL[3:] not in shown
    assert "9f2e" not in shown
    assert all(name in shown for name in KEYS)
    assert "POPI_API_KEY" in shown
    if args:
        assert ended.json["keys"] == dict.fromkeys(KEYS, True)
        assert ended.json["unknown_variables"] == ["POPI_API_KEY"]
    else:
        assert shown.count("present") == 3


@pytest.mark.parametrize("width", [60, 80, 120])
def test_screen(popi, monkeypatch, gguf, engine_works, width):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("POPI_TIMOUT", "5")
    ended = popi("doctor", "--deep")
    assert ended.code == 0
    assert "The backend 'local' works." in ended.out
    assert "SHA-256" in ended.out
    assert "No part of popi reads POPI_TIMOUT: is it misspelt?" in " ".join(ended.out.split())
    assert "\x1b" not in ended.out
    assert all(len(line) <= width for line in ended.out.splitlines())


def test_the_model_is_missing(popi, monkeypatch, tmp_path):
    monkeypatch.setenv("POPI_CACHE", str(tmp_path))
    ended = popi("doctor")
    assert ended.code == 2
    assert "The backend 'local' does not work yet." in ended.out
    assert "Run: popi pull" in ended.out
    assert list(tmp_path.iterdir()) == []


def test_an_extra_is_missing(popi, monkeypatch, gguf):
    version = metadata.version

    def without(name):
        if name in ("xllamacpp", "openai", "peft"):
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", without)
    ended = popi("doctor")
    assert ended.code == 2
    assert "Run: pip install 'popi-sdk[local]'" in ended.out
    assert "pip install 'popi-sdk[openai]'" in ended.out
    assert "pip install 'popi-sdk[hf]'" in ended.out
    backends = {backend.name: backend for backend in look({"OPENAI_API_KEY": SENTINEL}).backends}
    assert (backends["openai"].usable, backends["openai"].remark) == (False, "its extra is not installed")
    assert backends["local"].remark == "not tried: its extra is not installed"
    assert (backends["hf"].usable, backends["hf"].remark) == (False, "its extra is not installed")
    assert backends["compatible"].usable


def test_a_wrong_setting_is_reported_not_raised(popi, monkeypatch):
    monkeypatch.setenv("POPI_TIMEOUT", "soon")
    ended = popi("doctor")
    assert ended.code == 2
    assert "Correct the environment: POPI_TIMEOUT" in ended.out
    assert "Run: popi pull" not in ended.out


def test_a_wrong_digest(popi, monkeypatch, gguf, engine_works):
    def wrong(path, model):
        raise ConfigurationError("wrong")

    monkeypatch.setattr(checks, "verify", wrong)
    ended = popi("doctor", "--deep")
    assert "wrong" in ended.out
    assert "Run: popi pull --force" in ended.out
    assert popi("doctor", "--deep", "--json").json["model"]["sha256_ok"] is False


@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        (subprocess.CompletedProcess([], -4, "", ""), "signal 4: this CPU may lack"),
        (subprocess.CompletedProcess([], 1, "", "loading\nllama.cpp cannot load it\n"), "llama.cpp cannot load it"),
        (subprocess.CompletedProcess([], 7, "", ""), "exit code 7"),
        (subprocess.TimeoutExpired("python", 180), "no token within 180 s"),
        (FileNotFoundError("gone"), "cannot be started"),
    ],
)
def test_why_the_engine_does_not_answer(popi, monkeypatch, gguf, outcome, why):
    def run(*args, **kwargs):
        assert kwargs["env"]["POPI_OFFLINE"] == "1"
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr(checks.subprocess, "run", run)
    ended = popi("doctor", "--json")
    assert ended.code == 2
    assert why in ended.json["engine"]["why"]
    assert ended.json["backends"][0]["remark"] == ended.json["engine"]["why"]


def test_the_engine_s_words_do_not_act_on_the_terminal(popi, monkeypatch, gguf):
    monkeypatch.setattr(checks, "_probed", lambda: Engine(False, why="\x1b]0;title\x07[red]x[/red]"))
    ended = popi("doctor", terminal=True)
    assert "\x1b]" not in ended.out
    assert "[red]x[/red]" in ended.out


def test_keys_and_servers_make_backends_usable(gguf, engine_works):
    usable = {backend.name for backend in look().backends if backend.usable}
    assert usable == {"local", "llamacpp", "hf", "compatible"}
    environ = {"OPENAI_API_KEY": SENTINEL, "ANTHROPIC_BASE_URL": "http://127.0.0.1:8080", "ANTHROPIC_API_KEY": " "}
    report = look(environ)
    usable = {backend.name for backend in report.backends if backend.usable}
    assert usable == {"local", "llamacpp", "hf", "compatible", "openai", "anthropic"}
    assert report.keys["ANTHROPIC_API_KEY"] is False


def test_plug_ins_are_named(monkeypatch, gguf, engine_works):
    monkeypatch.setattr(checks, "generator_names", lambda: ["local", "parrot"])
    assert [backend.name for backend in look().backends if backend.remark.startswith("a plug-in")] == ["parrot"]


def test_a_source_tree_that_is_not_installed(monkeypatch, gguf, engine_works):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "metadata", absent)
    report = look()
    assert list(report.extras) == []
    assert report.ok
