from __future__ import annotations

import popi_sdk.cli.pull
from popi_sdk.models import PullProgress


def test_prints_where_the_model_lies(popi, gguf):
    ended = popi("pull")
    assert (ended.code, ended.out, ended.err) == (0, f"{gguf}\n", "")
    assert popi("pull", "--quiet").out == ""
    assert popi("pull", "smollm2-135m-instruct").out == f"{gguf}\n"


def test_unknown_model(popi):
    ended = popi("pull", "gpt-9")
    assert ended.code == 2
    assert "smollm2-135m-instruct" in ended.err


def test_progress_is_shown_to_a_person(popi, monkeypatch, tmp_path):
    def pull(model, *, force, progress):
        for stage in ("waiting", "index", "unpack", "done", "unheard-of"):
            progress(PullProgress(stage, 5_000_000, 10_000_000))
        return tmp_path / f"{model}-{force}"

    monkeypatch.setattr(popi_sdk.cli.pull, "pull_model", pull)
    ended = popi("pull", "--force", terminal=True)
    assert f"{tmp_path}/smollm2-135m-instruct-True" in ended.out.replace("\n", "")
    assert "unheard-of smollm2-135m-instruct" in ended.err
    assert "5.0/10.0 MB" in ended.err
    assert popi("pull").err == ""


def test_offline_it_says_what_to_do(popi, monkeypatch, tmp_path):
    monkeypatch.setenv("POPI_CACHE", str(tmp_path))
    monkeypatch.setenv("POPI_OFFLINE", "1")
    ended = popi("pull")
    assert ended.code == 2
    assert "popi pull" in ended.err
    assert "Traceback" not in ended.err
