"""Loading models and adapters: what is found, what is refused and with which words, and no noise."""

from __future__ import annotations

import json
import os
import shutil
import threading
import warnings
from pathlib import Path

import pytest
import torch
from support.scripts import run
from support.tiny_models import KINDS, save_tiny, save_tiny_adapter, save_tiny_gguf, tiny_model, tiny_tokenizer
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    BloomConfig,
    BloomForCausalLM,
    LlamaForSequenceClassification,
    T5Config,
)
from transformers import T5ForConditionalGeneration as T5

from popi_sdk.errors import ConfigurationError
from popi_sdk.models import _torch
from popi_sdk.models.causal_lm import CausalLM, load_causal_lm
from popi_sdk.settings import get_settings

IDS = torch.tensor([[5, 6, 7, 8, 100, 42]])
BERT = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 320}


def logits(model: CausalLM) -> torch.Tensor:
    with torch.inference_mode():
        return model.model(IDS).logits


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def adapter(tmp_path_factory) -> Path:
    return save_tiny_adapter(tmp_path_factory.mktemp("adapters") / "one")


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    return save_tiny_adapter(tmp_path_factory.mktemp("adapters") / "two", seed=2)


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


def refusal(source, **options) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_causal_lm(source, **options)
    return str(caught.value)


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


def broken(folder: Path, tmp_path: Path, name: str, content: bytes | None) -> Path:
    copy = tmp_path / "broken"
    shutil.copytree(folder, copy)
    if content is None:
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(content)
    return copy


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


def test_a_limit_that_the_configuration_does_not_say():
    for told, expected in ((512, 512), (10**30, 2048)):
        model = BloomForCausalLM(BloomConfig(hidden_size=32, n_layer=1, n_head=4, vocab_size=320))
        tokenizer = tiny_tokenizer(model_max_length=told)
        assert CausalLM(model, tokenizer, name="tiny", identity="tiny").max_length == expected


def test_all_ends_that_a_model_knows():
    model = tiny_model()
    model.generation_config.eos_token_id = [2, 7]
    assert CausalLM(model, tiny_tokenizer(eos_token="<|endoftext|>"), name="t", identity="t").stop_ids == (2, 7, 0)


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
