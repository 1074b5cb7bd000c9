"""Adapters on a model: attached, used and left out; what does not fit or cannot be read changes nothing."""

from __future__ import annotations

import shutil
import threading
import warnings

import pytest
import torch
from support.loading import IDS, broken, logits, refusal
from support.tiny_models import KINDS, save_tiny, save_tiny_adapter, tiny_model

from popi_sdk.errors import ConfigurationError
from popi_sdk.models.causal_lm import load_causal_lm


def test_an_adapter_takes_part_and_can_be_left_out(folder, adapter, other):
    base = load_causal_lm(folder, dtype="float32")
    model = load_causal_lm(folder, adapter=adapter, dtype="float32")
    assert model.adapter == "default"
    assert f"+{adapter}@" in model.identity
    changed = logits(model)
    assert not torch.equal(changed, logits(base))
    with model.use(None):
        assert torch.equal(logits(model), logits(base))
        assert model.identity == base.identity
    model.attach(other, "second")
    assert torch.equal(logits(model), changed)
    with model.use("second"):
        assert not torch.equal(logits(model), changed)
        assert torch.equal(logits(model), logits(load_causal_lm(folder, adapter=other, dtype="float32")))
        with model.use("default"):
            assert torch.equal(logits(model), changed)
        assert model.adapter == "second"
    assert torch.equal(logits(model), changed)
    assert not model.model.training


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_computes_what_peft_computes(tmp_path, kind):
    from peft import PeftModel

    lora = save_tiny_adapter(tmp_path / "lora", kind)
    model = load_causal_lm(save_tiny(tmp_path / "model", kind), adapter=lora, dtype="float32")
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft asks transformers for what it calls deprecated
        expected = PeftModel.from_pretrained(tiny_model(kind), lora)(IDS).logits
    assert torch.allclose(logits(model), expected, atol=1e-6)


def test_what_is_trained_stays_what_it_was(folder, adapter, other):
    model = load_causal_lm(folder, dtype="float32")
    frozen = {name for name, parameter in model.model.named_parameters() if name.endswith("norm.weight")}
    for name, parameter in model.model.named_parameters():
        parameter.requires_grad = name not in frozen
    model.attach(adapter, "one")
    model.attach(other, "two")
    with model.use("one"), model.use("two"):
        pass
    for name, parameter in model.model.named_parameters():
        assert parameter.requires_grad == (name not in frozen and "lora_" not in name), name


def test_an_adapter_that_does_not_fit_leaves_the_model_as_it_was(folder, adapter, tmp_path):
    model = load_causal_lm(folder, dtype="float32")
    before = logits(model)
    wider = save_tiny_adapter(tmp_path / "wider", hidden_size=64)
    deeper = save_tiny_adapter(tmp_path / "deeper", num_hidden_layers=3)
    shallower = save_tiny_adapter(tmp_path / "shallower", num_hidden_layers=1)
    foreign = save_tiny_adapter(tmp_path / "foreign", "gpt2")
    for wrong in (wider, deeper, shallower, foreign):
        with pytest.raises(ConfigurationError, match=r"does not fit this model: .* It was trained on"):
            model.attach(wrong, "wrong")
        assert torch.equal(logits(model), before)
    model.attach(adapter, "wrong")
    with model.use("wrong"):
        assert not torch.equal(logits(model), before)


def test_adapters_that_cannot_be_read(folder, adapter, tmp_path):
    assert "has no adapter_config.json: give the folder that peft" in refusal(folder, adapter=folder)
    words = f"The adapter {tmp_path}/none does not exist. Give a folder, or its id on the hub"
    assert words in refusal(folder, adapter=tmp_path / "none")
    whole = (adapter / "adapter_model.safetensors").read_bytes()
    for name, content in (("adapter_model.safetensors", whole[:-50]), ("adapter_config.json", b"{")):
        copy = broken(adapter, tmp_path, name, content)
        assert f"The adapter {copy} cannot be read:" in refusal(folder, adapter=copy)
        shutil.rmtree(copy)


def test_names_of_adapters(folder, adapter):
    model = load_causal_lm(folder, adapter=adapter)
    with (
        pytest.raises(ConfigurationError, match=r"has no adapter 'x' \(attached: default\)\. Call attach"),
        model.use("x"),
    ):
        pass
    for name in ("default", "a.b", ""):
        with pytest.raises(ConfigurationError, match="An adapter cannot be called"):
            model.attach(adapter, name)
    bare = load_causal_lm(folder)
    with pytest.raises(ConfigurationError, match="attached: none"), bare.use("x"):
        pass


def test_two_threads_never_compute_with_each_others_adapter(folder, adapter, other):
    model = load_causal_lm(folder, adapter=adapter, dtype="float32")
    model.attach(other, "second")
    expected = {}
    for name in ("default", "second", None):
        with model.use(name):
            expected[name] = logits(model)
    wrong = []

    def compute(name):
        for _ in range(20):
            with model.use(name):
                if not torch.equal(logits(model), expected[name]):
                    wrong.append(name)

    threads = [threading.Thread(target=compute, args=(name,)) for name in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert model.adapter == "default"
