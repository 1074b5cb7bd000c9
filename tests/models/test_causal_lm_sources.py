"""Where models are loaded from: folders, files, the hub and its cache; what is refused, and with which words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from support.loading import broken, logits, refusal
from support.tiny_models import tiny_model, tiny_tokenizer
from transformers import BertConfig, BertForMaskedLM, BertModel, LlamaForSequenceClassification, T5Config
from transformers import T5ForConditionalGeneration as T5

from popi_sdk.models.causal_lm import load_causal_lm
from popi_sdk.settings import get_settings

BERT = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 320}


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """The hub's cache on this machine, empty."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def put_on_hub(hub: Path, name: str, files: Path, commit: str = "0123abc") -> None:
    """What a download leaves there."""
    repository = hub / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    shutil.copytree(files, repository / "snapshots" / commit)


def test_nothing_there(tmp_path):
    words = f"The model {tmp_path}/none does not exist. Give a folder, a GGUF file, or its id on the hub"
    assert words in refusal(tmp_path / "none")
    assert "none.gguf does not exist" in refusal(tmp_path / "none.gguf")
    assert "has no config.json: give the folder that save_pretrained wrote" in refusal(tmp_path)
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    assert "is a folder of GGUF files: give one of them, for example" in refusal(tmp_path)
    assert "Write the path out" in refusal("~nobody-here/model")


def test_a_file_that_is_no_gguf(folder):
    assert "looks like a safetensors file: pass its folder as hf:FOLDER" in refusal(folder / "model.safetensors")


def test_an_adapter_is_not_a_model(adapter, tmp_path):
    assert "is an adapter, not a model: pass it as adapter=" in refusal(adapter)
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "owner/base"}')
    assert "with its base model (owner/base) as the model" in refusal(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{")
    assert "with its base model as the model" in refusal(tmp_path)


def test_models_of_other_kinds(tmp_path):
    for name, model in {
        "masked": BertForMaskedLM(BertConfig(**BERT)),
        "t5": T5(T5Config(d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4, vocab_size=320)),
    }.items():
        model.save_pretrained(tmp_path / name)
        tiny_tokenizer().save_pretrained(tmp_path / name)
        assert "is not a causal language model" in refusal(tmp_path / name)
    BertModel(BertConfig(**BERT)).save_pretrained(tmp_path / "bert")
    assert "has no weights for" in refusal(tmp_path / "bert")
    LlamaForSequenceClassification(tiny_model().config).save_pretrained(tmp_path / "judge")
    assert "has no weights for lm_head.weight (1 are missing)" in refusal(tmp_path / "judge")


def test_files_that_are_cut_off_or_missing(folder, tmp_path):
    whole = (folder / "model.safetensors").read_bytes()
    for name, content, words in (
        ("model.safetensors", whole[:-1000], "its weights cannot be used"),
        ("model.safetensors", None, "its weights cannot be used"),
        ("config.json", b"{", "its configuration cannot be used"),
        ("config.json", b'{"model_type": "nonsense"}', "its configuration cannot be used"),
        ("tokenizer.json", b"{", "its tokenizer cannot be used"),
    ):
        copy = broken(folder, tmp_path, name, content)
        assert words in refusal(copy)
        assert f"See that {copy} is complete." in refusal(copy)
        shutil.rmtree(copy)


def test_code_that_comes_with_a_model_is_never_run(folder, tmp_path):
    config = json.loads((folder / "config.json").read_text()) | {
        "model_type": "mine",
        "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"},
    }
    copy = broken(folder, tmp_path, "config.json", json.dumps(config).encode())
    (copy / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert "its configuration cannot be used" in refusal(copy)
    assert not (tmp_path / "ran").exists()


def test_a_tokenizer_of_another_model(tmp_path):
    tiny_model(vocabulary=100).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    assert "its tokenizer has 320 tokens, its model only 100" in refusal(tmp_path)


def test_from_the_hubs_cache_while_offline(hub, folder, adapter, monkeypatch):
    monkeypatch.setenv("POPI_OFFLINE", "1")
    get_settings.cache_clear()
    put_on_hub(hub, "owner/tiny", folder)
    put_on_hub(hub, "owner/lora", adapter)
    model = load_causal_lm("owner/tiny", adapter="owner/lora", dtype="float32")
    assert model.identity == "owner/tiny@0123abc+owner/lora@0123abc:float32"
    assert torch.equal(logits(model), logits(load_causal_lm(folder, adapter=adapter, dtype="float32")))
    words = refusal("owner/none")
    assert "owner/none is no folder here, and no model of that name is in the hub's cache while POPI_OFFLINE" in words
    assert "run: hf download owner/none" in words
    assert "no adapter of that name is in the hub's cache" in refusal(folder, adapter="owner/none")


def test_the_hub_out_of_reach(hub, monkeypatch):
    def no_network(*args, **kwargs):
        raise OSError("Name or service not known")

    monkeypatch.setattr("huggingface_hub.snapshot_download", no_network)
    assert "https://huggingface.co could not be asked for a model of that name (Name or service" in refusal(
        "owner/tiny"
    )
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror")
    assert "http://mirror could not be asked" in refusal("owner/tiny")


def test_a_repository_that_is_not_there(hub, monkeypatch):
    from huggingface_hub.errors import HFValidationError

    def no_such(*args, **kwargs):
        raise HFValidationError("no")

    monkeypatch.setattr("huggingface_hub.snapshot_download", no_such)
    assert "the hub has no model of that name that you may read" in refusal("owner/tiny")


def test_a_repository_without_safetensors(hub, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    get_settings.cache_clear()
    put_on_hub(hub, "owner/old", broken(folder, tmp_path, "model.safetensors", None))
    assert "the hub has no safetensors of it" in refusal("owner/old")
