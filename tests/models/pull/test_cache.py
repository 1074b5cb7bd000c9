"""What pulling leaves behind and shows: real processes, signals and limits; only the model is small."""

from __future__ import annotations

import io
import signal
import sys
import threading
from pathlib import Path

import pytest
from support.weights import CONTENT, HUB_PATH, MODEL, left_in, refusal, start, until

from popi_sdk.errors import ConfigurationError
from popi_sdk.models import is_pulled, pull, verify
from popi_sdk.models._lock import file_lock
from popi_sdk.settings import get_settings

# The cache


def test_a_cache_that_cannot_be_made_names_the_path_and_the_remedy(hub, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("POPI_CACHE", str(tmp_path / "file" / "cache"))
    get_settings.cache_clear()
    assert is_pulled(MODEL) is None
    message = refusal(MODEL, sources=["hub"])
    assert str(tmp_path / "file" / "cache" / "models") in message
    assert message.endswith("set POPI_CACHE to a folder that you may write to.")


def test_something_else_under_the_final_name_is_reported(hub, cache):
    (cache / "models" / MODEL.filename).mkdir(parents=True)
    assert "Is a directory" in refusal(MODEL, sources=["hub"])


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
def test_a_disk_that_fills_up_names_the_path_and_the_remedy(hub, cache):
    process = start(limit=300_000)
    _, errors = process.communicate(timeout=20)
    assert f"{cache / 'models'} cannot hold the model tiny (1 MB): File too large" in errors
    assert "set POPI_CACHE to a folder" in errors
    assert left_in(cache) == []


def test_of_two_processes_one_pulls_and_the_other_waits(hub, cache):
    hub.begin = 300_000
    hub.go.clear()
    first = start()
    until(hub.began.is_set)
    second = start()
    assert second.stderr.readline() == "Another process is pulling tiny: waiting for it.\n"
    hub.go.set()
    outputs = [process.communicate(timeout=20) for process in (first, second)]
    assert [process.returncode for process in (first, second)] == [0, 0], outputs
    assert {out for out, _ in outputs} == {f"{cache / 'models' / MODEL.filename}\n"}
    assert outputs[0][1] == f"Pulling tiny (1 MB) ...\nPulled tiny: {cache / 'models' / MODEL.filename}\n"
    assert hub.asked == [HUB_PATH]


def test_whoever_waited_takes_what_the_other_left(cache, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    (cache / "models").mkdir(parents=True)
    found: list[Path] = []
    with file_lock(cache / "models" / f".{MODEL.filename}.lock", lambda: None):
        thread = threading.Thread(target=lambda: found.append(pull(MODEL, sources=[])))
        thread.start()
        until(lambda: "waiting" in sys.stderr.getvalue())
        (cache / "models" / MODEL.filename).write_bytes(CONTENT)
    thread.join()
    assert found == [cache / "models" / MODEL.filename]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_pull_killed_half_way_leaves_no_file_and_the_next_clears_up(hub, cache):
    hub.begin = 400_000
    hub.go.clear()
    process = start()
    until(lambda: any(part.stat().st_size for part in cache.glob("models/.*.tmp/*.gguf")))
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)
    assert is_pulled(MODEL) is None
    assert [name.startswith(".Tiny.Q4_1.gguf.") for name in left_in(cache)] == [True]
    hub.go.set()
    assert pull(MODEL, sources=["hub"]).read_bytes() == CONTENT
    assert left_in(cache) == [MODEL.filename]


def test_the_lock_excludes_threads_too_and_says_once_that_it_waits(tmp_path):
    said, order = [], []

    def second() -> None:
        with file_lock(tmp_path / "lock", lambda: said.append("waiting")):
            order.append("second")

    with file_lock(tmp_path / "lock", lambda: said.append("nobody")):
        thread = threading.Thread(target=second)
        thread.start()
        until(lambda: said)
        order.append("first")
    thread.join()
    assert (said, order) == (["waiting"], ["first", "second"])


# What the user sees


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_one_line_that_grows(hub, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    pull(MODEL, sources=["hub"])
    lines = sys.stderr.getvalue().split("\r")
    assert len(lines) > 2
    assert lines[-1] == f"tiny: done      [{'#' * 24}] 100%\n"
    assert {len(line.rstrip("\n")) for line in lines[1:]} == {len(lines[1])}


def test_a_terminal_line_ends_before_an_error_is_shown(hub, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    hub.content = bytes(MODEL.size)
    refusal(MODEL, sources=["hub"])
    assert sys.stderr.getvalue().endswith("%\n")


def test_elsewhere_there_is_a_line_at_the_start_and_one_at_the_end(hub, capsys, cache):
    pull(MODEL, sources=["hub"])
    path = cache / "models" / MODEL.filename
    assert capsys.readouterr() == ("", f"Pulling tiny (1 MB) ...\nPulled tiny: {path}\n")
    pull(MODEL)
    assert capsys.readouterr() == ("", "")


def test_a_stderr_that_is_closed_or_missing_does_not_stop_a_pull(hub, monkeypatch):
    closed = io.StringIO()
    closed.close()
    for stream in (closed, None):
        monkeypatch.setattr(sys, "stderr", stream)
        assert pull(MODEL, sources=["hub"], force=True)


# Checking


def test_verify_passes_the_right_file_only(hub, tmp_path):
    path = pull(MODEL, sources=["hub"])
    verify(path, MODEL)
    path.write_bytes(CONTENT[:-1] + b"?")
    assert is_pulled(MODEL) == path
    with pytest.raises(ConfigurationError, match=f"expected SHA-256 {MODEL.sha256}, got .* popi pull tiny --force"):
        verify(path, MODEL)
    path.write_bytes(CONTENT[:-1])
    assert is_pulled(MODEL) is None
    with pytest.raises(ConfigurationError, match="expected 600,008 bytes, got 600,007"):
        verify(path, MODEL)
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        verify(tmp_path / "nothing", MODEL)
