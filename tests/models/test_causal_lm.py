"""Loading models: what is found, in which type and on which device, what is read from it, and no noise."""

from __future__ import annotations

import os

import pytest
import torch
from support.loading import IDS, logits
from support.scripts import run
from support.tiny_models import KINDS, save_tiny, save_tiny_gguf, tiny_model, tiny_tokenizer
from transformers import BloomConfig, BloomForCausalLM

from popi_sdk.errors import ConfigurationError
from popi_sdk.models import _torch
from popi_sdk.models.causal_lm import CausalLM, load_causal_lm


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder(tmp_path, kind):
    model = load_causal_lm(save_tiny(tmp_path / "m", kind), dtype="float32", device="cpu")
    with torch.inference_mode():
        assert torch.equal(logits(model), tiny_model(kind)(IDS).logits)
    assert model.max_length == 256
    assert model.stop_ids == (2,)
    assert not model.model.training
    assert (model.dtype, model.device) == (torch.float32, torch.device("cpu"))
    assert model.name == str(tmp_path / "m")
    assert model.tokenizer_name == f"hf:{tmp_path / 'm'}"
    assert model.count_tokens("What is a firewall?") == len(tiny_tokenizer()("What is a firewall?").input_ids)
    assert model.encode_response("Hi")[-1] == 2
    assert all(parameter.requires_grad for parameter in model.model.parameters())
    assert "on cpu" in repr(model)


def test_a_gguf_file(tmp_path, cache):
    path = tmp_path / "Tiny.gguf"
    original = save_tiny_gguf(path)
    model = load_causal_lm(path, dtype="float32")
    with torch.inference_mode():
        assert torch.equal(logits(model), original(IDS).logits)
    assert model.name == str(path)
    assert model.identity.startswith("Tiny-")
    assert model.identity == load_causal_lm(str(path), dtype="float32").identity
    assert model.identity.endswith(":float32")


def test_the_default_model_by_no_name_and_by_its_own(gguf, capfd):
    model = load_causal_lm()
    assert model.name == "smollm2-135m-instruct"
    assert model.max_length == 8192
    assert load_causal_lm("smollm2-135m-instruct").identity == model.identity
    assert capfd.readouterr() == ("", "")


def test_loading_says_nothing(folder, adapter):
    script = """
    import sys
    from popi_sdk.models.causal_lm import load_causal_lm
    load_causal_lm(sys.argv[1], adapter=sys.argv[2])
    """
    done = run(script, str(folder), str(adapter), env=os.environ | {"HF_HUB_OFFLINE": "1"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_transformers_says_is_only_switched_off_meanwhile(folder):
    from transformers.utils import logging

    for on in (True, False):
        (logging.enable_progress_bar if on else logging.disable_progress_bar)()
        before = logging.get_verbosity()
        load_causal_lm(folder)
        assert (logging.is_progress_bar_enabled(), logging.get_verbosity()) == (on, before)
    logging.enable_progress_bar()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_types(folder, dtype):
    model = load_causal_lm(folder, dtype=dtype)
    assert model.dtype == getattr(torch, dtype)
    assert model.identity.endswith(f":{dtype}")


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({"avx512_bf16": True}, torch.bfloat16), ({"bf16": True}, torch.bfloat16), ({"avx512_f": True}, torch.float32)],
)
def test_auto_is_bfloat16_where_the_cpu_has_it(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert _torch.dtype_of("auto", torch.device("cpu")) == expected


def test_auto_on_other_devices(monkeypatch):
    for has, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has=has, **_: has)
        assert _torch.dtype_of("auto", torch.device("cuda")) == expected
    assert _torch.dtype_of("auto", torch.device("mps")) == torch.float32
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert _torch.dtype_of("auto", torch.device("cpu")) == torch.float32


def test_auto_takes_a_gpu_if_there_is_one(monkeypatch):
    for cuda, mps, expected in ((2, True, "cuda"), (0, True, "mps"), (0, False, "cpu")):
        monkeypatch.setattr(torch.cuda, "device_count", lambda cuda=cuda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda mps=mps: mps)
        assert _torch.device_of("auto").type == expected
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert _torch.device_of("cuda:1").index == 1
    with pytest.raises(ConfigurationError, match=r"device='cuda:2' is not there"):
        _torch.device_of("cuda:2")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtype": "float8"}, "dtype='float8' is unknown. Use auto, float32, bfloat16, float16."),
        ({"device": "tpu9"}, "device='tpu9' is unknown. Use auto, cpu, cuda, cuda:0 or mps."),
        ({"device": "cuda:0"}, "device='cuda:0' is not there"),
        ({"device": "meta"}, "device='meta' is not there"),
    ],
)
def test_options_that_cannot_be(folder, options, words):
    with pytest.raises(ConfigurationError) as caught:
        load_causal_lm(folder, **options)
    assert words in str(caught.value)


def test_a_limit_that_the_configuration_does_not_say():
    for told, expected in ((512, 512), (10**30, 2048)):
        model = BloomForCausalLM(BloomConfig(hidden_size=32, n_layer=1, n_head=4, vocab_size=320))
        tokenizer = tiny_tokenizer(model_max_length=told)
        assert CausalLM(model, tokenizer, name="tiny", identity="tiny").max_length == expected


def test_all_ends_that_a_model_knows():
    model = tiny_model()
    model.generation_config.eos_token_id = [2, 7]
    assert CausalLM(model, tiny_tokenizer(eos_token="<|endoftext|>"), name="t", identity="t").stop_ids == (2, 7, 0)
