"""A GGUF file becomes safetensors once: exactly, whole or not at all, also with two at once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support.tiny_models import save_tiny_gguf
from transformers import AutoModelForCausalLM, AutoTokenizer

from popi_sdk.errors import ConfigurationError
from popi_sdk.models import convert
from popi_sdk.models.convert import gguf_to_safetensors


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "Tiny.F32.gguf"
    save_tiny_gguf(path)
    return path


def left_in(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "models").iterdir() if path.suffix != ".lock")


@pytest.mark.parametrize(("dtype", "stored"), [("float32", torch.float32), ("float16", torch.float16)])
def test_the_weights_are_those_of_the_file_to_the_last_bit(tmp_path, cache, capfd, dtype, stored):
    path = tmp_path / "Tiny.gguf"
    original = save_tiny_gguf(path, dtype=dtype)
    folder = gguf_to_safetensors(path)
    assert capfd.readouterr() == ("", "Converting Tiny.gguf for PyTorch, once ...\n")
    assert {weight.dtype for weight in load_file(folder / "model.safetensors").values()} == {stored}
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    for name, weight in original.state_dict().items():
        expected = weight.half().float() if stored == torch.float16 else weight
        assert torch.equal(model.state_dict()[name], expected), name
    assert not hasattr(model.config, "quantization_config")
    assert model.config.max_position_embeddings == 256


def test_the_tokenizer_comes_along(tiny, cache):
    from support.tiny_models import CHATML, tiny_tokenizer

    tokenizer, expected = AutoTokenizer.from_pretrained(gguf_to_safetensors(tiny)), tiny_tokenizer()
    text = "What is a firewall? <think>é<|im_end|>\n  two blanks"
    assert tokenizer(text).input_ids == expected(text).input_ids
    assert tokenizer.chat_template == CHATML
    assert (tokenizer.eos_token_id, tokenizer.bos_token_id) == (2, 1)


def test_it_is_converted_once_wherever_it_lies(tiny, cache, tmp_path, monkeypatch):
    folder = gguf_to_safetensors(tiny)
    monkeypatch.setattr(convert, "_convert", None)
    assert gguf_to_safetensors(tiny) == folder
    copy = tmp_path / tiny.name
    copy.write_bytes(tiny.read_bytes())
    assert gguf_to_safetensors(copy) == folder
    assert folder.parent == cache / "models"


def test_another_file_of_the_same_name_is_another_model(tmp_path, cache):
    path = tmp_path / "Tiny.gguf"
    save_tiny_gguf(path)
    first = gguf_to_safetensors(path)
    save_tiny_gguf(path, seed=1)
    assert gguf_to_safetensors(path) != first


def test_two_at_once_convert_once(tiny, cache, monkeypatch, capfd):
    converted, real = [], convert._convert
    meeting = threading.Barrier(2, timeout=20)

    def slow(path, folder):
        converted.append(folder)
        time.sleep(0.3)
        real(path, folder)

    def run(_):
        meeting.wait()
        return gguf_to_safetensors(tiny)

    monkeypatch.setattr(convert, "_convert", slow)
    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(run, range(2)))
    assert folders[0] == folders[1] == converted[0]
    assert len(converted) == 1
    assert "Waiting for Tiny.F32.gguf ..." in capfd.readouterr().err


def test_a_conversion_that_is_killed_leaves_nothing_that_is_taken_for_whole(tiny, cache):
    script = """
import sys, time, pathlib
from popi_sdk.models import convert
def stop(source, target):
    print("all but named", flush=True)
    time.sleep(60)
convert.os.replace = stop
convert.gguf_to_safetensors(pathlib.Path(sys.argv[1]))
"""
    process = subprocess.Popen([sys.executable, "-c", script, str(tiny)], stdout=subprocess.PIPE, env=os.environ)
    with process:
        assert process.stdout.readline() == b"all but named\n"
        process.kill()
    assert [name for name in left_in(cache) if name.endswith(".tmp")] == left_in(cache) != []
    folder = gguf_to_safetensors(tiny)
    assert left_in(cache) == [folder.name]


def test_a_failure_half_way_leaves_nothing(tiny, cache, monkeypatch):
    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(convert.os, "replace", full)
    with pytest.raises(ConfigurationError, match=r"No space left on device\. Make room there, or set POPI_CACHE"):
        gguf_to_safetensors(tiny)
    assert left_in(cache) == []


@pytest.mark.parametrize("cut", [200, 20_000])
def test_a_file_that_is_cut_off(tiny, cache, tmp_path, cut):
    path = tmp_path / "cut.gguf"
    path.write_bytes(tiny.read_bytes()[:cut])
    with pytest.raises(ConfigurationError, match=r"transformers cannot read .*cut\.gguf: .* llamacpp:PATH\.gguf"):
        gguf_to_safetensors(path)
    assert left_in(cache) == []


def test_a_file_that_is_not_there(tmp_path, cache):
    with pytest.raises(ConfigurationError, match="cannot be read: No such file or directory"):
        gguf_to_safetensors(tmp_path / "none.gguf")


def test_a_cache_that_cannot_be_written(tiny, tmp_path, monkeypatch, cache):
    cache.write_text("a file where the folder should be")
    with pytest.raises(ConfigurationError, match="cannot hold the converted model"):
        gguf_to_safetensors(tiny)


def test_without_a_stderr(tiny, cache, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert gguf_to_safetensors(tiny).is_dir()
