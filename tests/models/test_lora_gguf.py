"""An adapter becomes a GGUF once, exactly, in llama.cpp's order of rows; what it cannot hold is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.tiny_models import _gguf_name, _permuted, save_tiny_adapter, save_tiny_gguf, tiny_model

from popi_sdk.errors import ConfigurationError
from popi_sdk.models.lora_gguf import lora_to_gguf

EVERYWHERE = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "Tiny.gguf"
    save_tiny_gguf(path)
    return path


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_adapter(tmp_path_factory.mktemp("adapters") / "all", targets=EVERYWHERE)


def change(folder: Path, to: Path, **settings) -> Path:
    to.mkdir()
    config = json.loads((folder / "adapter_config.json").read_text())
    (to / "adapter_config.json").write_text(json.dumps(config | settings))
    (to / "adapter_model.safetensors").write_bytes((folder / "adapter_model.safetensors").read_bytes())
    return to


def updates(path: Path) -> dict[str, np.ndarray]:
    """What llama.cpp adds to each weight matrix: alpha / rank * B A."""
    reader = gguf.GGUFReader(path)
    assert reader.fields["general.type"].contents() == "adapter"
    assert reader.fields["adapter.type"].contents() == "lora"
    alpha = reader.fields["adapter.lora.alpha"].contents()
    found = {tensor.name: tensor.data for tensor in reader.tensors}
    names = [name.removesuffix(".lora_a") for name in found if name.endswith(".lora_a")]
    assert len(found) == 2 * len(names)
    return {
        name: alpha / len(found[f"{name}.lora_a"]) * found[f"{name}.lora_b"] @ found[f"{name}.lora_a"] for name in names
    }


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft asks transformers for what it calls deprecated
@pytest.mark.parametrize("settings", [{}, {"use_rslora": True}])
def test_what_llama_cpp_adds_is_what_peft_adds(base, everywhere, cache, tmp_path, settings) -> None:
    folder = change(everywhere, tmp_path / "adapter", **settings)
    from peft import PeftModel

    model = tiny_model()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    merged = PeftModel.from_pretrained(model, folder).merge_and_unload().state_dict()
    found = updates(lora_to_gguf(folder, base))
    assert len(found) == 2 * len(EVERYWHERE)
    for name, weight in merged.items():
        expected = _permuted(name, weight, model.config) - _permuted(name, before[name], model.config)
        added = found.pop(_gguf_name(name), np.zeros(weight.shape, np.float32))
        np.testing.assert_allclose(added, expected.numpy(), rtol=1e-4, atol=1e-5, err_msg=name)
    assert not found


def test_halves_are_read_exactly(base, everywhere, cache, tmp_path) -> None:
    weights = load_file(everywhere / "adapter_model.safetensors")
    for dtype in (torch.bfloat16, torch.float16):
        folder = change(everywhere, tmp_path / str(dtype))
        save_file({name: value.to(dtype) for name, value in weights.items()}, folder / "adapter_model.safetensors")
        reader = gguf.GGUFReader(lora_to_gguf(folder, base))
        found = {tensor.name: tensor.data for tensor in reader.tensors}
        expected = weights["base_model.model.model.layers.1.mlp.down_proj.lora_B.weight"].to(dtype).float().numpy()
        assert np.array_equal(found["blk.1.ffn_down.weight.lora_b"], expected)


def test_it_is_written_once_also_by_two_at_once(base, everywhere, cache) -> None:
    script = (
        "import sys; from pathlib import Path; from popi_sdk.models.lora_gguf import lora_to_gguf;"
        "print(lora_to_gguf(sys.argv[1], Path(sys.argv[2])))"
    )
    command = [sys.executable, "-c", script, str(everywhere), str(base)]
    with ThreadPoolExecutor(4) as pool:
        others = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        [path] = set(pool.map(lambda _: lora_to_gguf(everywhere, base), range(4)))
        assert {one.communicate(timeout=120)[0].strip() for one in others} == {str(path)}
    assert sorted(one.suffix for one in path.parent.iterdir()) == [".gguf", ".lock"]
    written = path.stat().st_mtime_ns
    assert lora_to_gguf(everywhere, base) == path
    assert path.stat().st_mtime_ns == written
    assert lora_to_gguf(save_tiny_adapter(cache / "other", seed=2, targets=EVERYWHERE), base) != path


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"use_dora": True}, r"use_dora\): use engine='transformers'"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"rank_pattern": {"q_proj": 4}}, "rank_pattern"),
        ({"bias": "all"}, "bias"),
        ({"peft_type": "IA3"}, "IA3"),
        ({"r": None}, "cannot be read"),
    ],
)
def test_what_a_gguf_cannot_hold(base, everywhere, cache, tmp_path, settings, message) -> None:
    with pytest.raises(ConfigurationError, match=message):
        lora_to_gguf(change(everywhere, tmp_path / "odd", **settings), base)
    assert not list((cache / "adapters").glob("*.gguf"))


def test_what_does_not_fit(base, everywhere, cache, tmp_path, monkeypatch) -> None:
    wide = tmp_path / "Wide.gguf"
    save_tiny_gguf(wide, hidden_size=64)
    with pytest.raises(ConfigurationError, match=r"does not fit .*Wide\.gguf"):
        lora_to_gguf(everywhere, wide)
    short = tmp_path / "Short.gguf"
    save_tiny_gguf(short, num_hidden_layers=1)
    with pytest.raises(ConfigurationError, match=r"nothing there is called .*layers\.1"):
        lora_to_gguf(everywhere, short)
    with pytest.raises(ConfigurationError, match="only llama, qwen2"):
        lora_to_gguf(everywhere, renamed(base, tmp_path / "Odd.gguf"))
    broken = change(everywhere, tmp_path / "broken")
    (broken / "adapter_model.safetensors").write_bytes(b"\x08" + b"\0" * 7 + b"no json!")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        lora_to_gguf(broken, base)
    assert not [path for path in (cache / "adapters").iterdir() if path.suffix != ".lock"]
    (cache / "adapters" / "x").touch()
    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(ConfigurationError, match=r"cannot hold the converted adapter.*POPI_CACHE"):
        lora_to_gguf(everywhere, base)


def refuse(*arguments) -> None:
    raise OSError(28, "No space left on device")


def renamed(base: Path, to: Path) -> Path:
    """The same file, of an architecture that is not known here."""
    to.write_bytes(base.read_bytes().replace(b"llama", b"bloom"))
    return to
