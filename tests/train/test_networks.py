"""Who computes, and what is trained: two adapters, or two whole models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from popi_sdk import ConfigurationError
from popi_sdk.train import LoraSettings
from popi_sdk.train.networks import AdapterNetworks, WholeNetworks

IDS = torch.tensor([[5, 6, 7, 8]])


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS).logits


def nudge(parameters) -> None:
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(0.1)


@pytest.fixture(params=["adapters", "whole"])
def networks(request, lm):
    if request.param == "adapters":
        return AdapterNetworks(lm, LoraSettings(rank=2), seed=0)
    return WholeNetworks(lm)


def test_all_three_begin_as_the_base(networks, lm) -> None:
    with networks.inferring() as model:
        inferrer = logits(model)
    with networks.generating() as model:
        generator = logits(model)
    with networks.frozen() as model:
        base = logits(model)
    assert torch.equal(inferrer, base)
    assert torch.equal(generator, base)
    assert networks.untouched


def test_each_goes_its_own_way(networks) -> None:
    with networks.frozen() as model:
        base = logits(model)
    nudge(networks.generator_parameters())
    with networks.generating() as model:
        generator = logits(model)
    with networks.inferring() as model:
        assert torch.equal(logits(model), base)
    with networks.frozen() as model:
        assert torch.equal(logits(model), base)
    assert not torch.allclose(generator, base)
    nudge(parameter for parameter in networks.inferrer.parameters() if parameter.requires_grad)
    with networks.inferring() as model:
        assert not torch.allclose(logits(model), base)
    with networks.generating() as model:
        assert torch.equal(logits(model), generator)
    with networks.frozen() as model:
        assert torch.equal(logits(model), base)


def test_adapters_in_the_last_layers_alone(lm) -> None:
    count = lm.model.config.num_hidden_layers
    with pytest.raises(ConfigurationError, match=rf"adapters\.last={count + 1}: the model has {count} layers"):
        AdapterNetworks(lm, LoraSettings(last=count + 1), seed=0)
    networks = AdapterNetworks(lm, LoraSettings(rank=2, last=1), seed=0)
    names = [name for name, one in networks.inferrer.named_parameters() if one.requires_grad]
    assert {name.split(".layers.")[1].split(".")[0] for name in names} == {str(count - 1)}
    assert {name.split(".")[-4] for name in names} == {
        *("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    }
    with networks.frozen() as model:
        base = logits(model)
    nudge(parameter for parameter in networks.inferrer.parameters() if parameter.requires_grad)
    with networks.inferring() as model:
        assert not torch.allclose(logits(model), base)
    with networks.frozen() as model:
        assert torch.equal(logits(model), base)


def test_the_anchor_stays_where_it_was_kept(networks) -> None:
    from trl.trainer.utils import use_adapter

    def anchored() -> torch.Tensor:
        if networks.anchor() is not None:
            return logits(networks.anchor())
        with use_adapter(networks.inferrer, "ref" if "ref" in networks.inferrer.peft_config else None):  # as TRL does
            return logits(networks.inferrer)

    def trained() -> list[torch.nn.Parameter]:
        return [parameter for parameter in networks.inferrer.parameters() if parameter.requires_grad]

    with networks.frozen() as model:
        base = logits(model)
    assert torch.equal(anchored(), base)
    parameters = trained()
    drawn = torch.get_rng_state()
    for _ in range(2):
        nudge(parameters)
        with networks.inferring() as model:
            now = logits(model)
        networks.keep_anchor()
        nudge(parameters)
        assert torch.equal(anchored(), now)
        assert not torch.allclose(now, base)
    with networks.inferring() as model:
        assert not torch.allclose(logits(model), now)
    with networks.frozen() as model:
        assert torch.equal(logits(model), base)
    assert [id(one) for one in trained()] == [id(one) for one in parameters]
    assert torch.equal(torch.get_rng_state(), drawn)


def test_outside_of_all_blocks_the_inferrer_alone_is_to_be_trained(networks) -> None:
    def trained() -> set[int]:
        return {id(one) for one in networks.inferrer.parameters() if one.requires_grad}

    generator = {id(one) for one in networks.generator_parameters()}
    before = trained()
    assert before
    assert not before & generator
    with networks.generating():
        assert all(parameter.requires_grad for parameter in networks.generator_parameters())
    with networks.frozen() as model:
        assert not any(one.requires_grad for one in model.parameters()) or model is networks.inferrer
    with pytest.raises(RuntimeError, match="inside"), networks.generating():
        raise RuntimeError("inside")
    assert trained() == before


def test_sampling_leaves_the_mode_as_it_was(networks) -> None:
    networks.inferrer.train()
    with networks.inferring() as model:
        assert not model.training
    assert networks.inferrer.training


def test_a_saved_adapter_names_its_base_and_no_path_of_this_machine(lm, tmp_path: Path) -> None:
    lm.name = "somebody/base"
    networks = AdapterNetworks(lm, LoraSettings(rank=2), seed=0)
    for save in (networks.save_inferrer, networks.save_generator):
        save(tmp_path)
        assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == "somebody/base"
