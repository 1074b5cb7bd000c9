"""What a trained directory says of itself is checked, and its base is loaded once for both halves."""

from __future__ import annotations

import gc
import json
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from popi_sdk import ConfigurationError, Personalizer, __version__
from popi_sdk.data import tinyworld
from popi_sdk.evals import as_config, evaluate
from popi_sdk.evals.methods import methods_for
from popi_sdk.evals.writers import writers_for
from popi_sdk.generators import create_generator
from popi_sdk.generators.hf import HfGenerator
from popi_sdk.inferrers.trained import TrainedInferrer
from popi_sdk.models import causal_lm, shared
from popi_sdk.models.fingerprint import base_digest
from popi_sdk.models.trained import read_trained
from popi_sdk.prompts import template_digest

FLOAT32 = {"dtype": "float32"}


@pytest.fixture
def saved(trainer, tmp_path: Path) -> Path:
    return trainer().train().save_pretrained(tmp_path / "mine")


def records() -> list:
    return list(tinyworld.generate("dev", 4))


def change(folder: Path, **fields) -> None:
    path = folder / "popi.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_what_popi_json_says(saved: Path, tiny_folder: Path) -> None:
    facts = json.loads((saved / "popi.json").read_text())
    assert (facts["format"], facts["popi_sdk"], facts["context"]) == (1, __version__, "summary")
    assert (facts["base_model"], facts["base_digest"]) == (str(tiny_folder), base_digest(tiny_folder))
    assert (facts["budget"], facts["input_budget"]) == (4, 1_024)
    assert facts["templates"] == {name: template_digest(name) for name in ("infer", "answer_summary")}
    trained = read_trained("mine", saved)
    assert (trained.base_digest, trained.templates, trained.popi_sdk) == (
        facts["base_digest"],
        facts["templates"],
        __version__,
    )


def test_the_digest_is_that_of_the_weights_wherever_they_lie(tiny_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_folder, tmp_path / "copy")
    assert base_digest(copy) == base_digest(tiny_folder)
    weights = load_file(copy / "model.safetensors")
    names = sorted(weights)
    (copy / "model.safetensors").unlink()
    for number, part in enumerate((names[::2], names[1::2])):  # in other files, in another order, by another writer
        tensors = {name: weights[name] for name in reversed(part)}
        save_file(tensors, copy / f"model-{number}.safetensors", metadata={"by": "somebody"})
    assert base_digest(copy) == base_digest(tiny_folder)
    weights[names[-1]].view(-1)[-1] += 1e-3
    save_file({name: weights[name] for name in names[1::2]}, copy / "model-1.safetensors")
    assert base_digest(copy) != base_digest(tiny_folder)
    (copy / "model-1.safetensors").write_bytes(b"\xff" * 20)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        base_digest(copy)


def test_another_base_is_an_error_and_says_so(saved: Path, tiny_folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(tiny_folder, tmp_path / "other")
    weights = load_file(other / "model.safetensors")
    next(iter(weights.values())).view(-1)[0] += 1
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    with (
        Personalizer.from_pretrained(saved, base_model=other, backend=FLOAT32) as popi,
        pytest.raises(ConfigurationError, match=r"other weights than those of .*other: weights:.*base_model=PATH"),
    ):
        popi.infer(records()[0].signals)
    change(saved, base_model=str(other))
    config = as_config(data="tinyworld", limit=4, methods=(f"mine={saved}",), model=str(other), dtype="float32")
    with pytest.raises(ConfigurationError, match=r"mine=.* was trained on other weights"):
        evaluate(config, tmp_path / "run")
    moved = shutil.copytree(tiny_folder, tmp_path / "moved")  # the same weights elsewhere
    with Personalizer.from_pretrained(saved, base_model=moved, backend=FLOAT32) as popi:
        assert popi.infer(records()[0].signals).text


def test_changed_templates_are_a_warning(saved: Path) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        TrainedInferrer(saved).close()
    assert not said
    change(saved, templates={"infer": "0" * 16, "answer_summary": template_digest("answer_summary")}, popi_sdk="0.0.9")
    with pytest.warns(UserWarning, match=r"templates \(infer\).*Use popi_sdk 0\.0\.9, or train again"):
        TrainedInferrer(saved).close()


def test_one_base_for_both_halves(saved: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users = records()
    with HfGenerator(tiny_folder, dtype="float32") as base:
        plain = base.generate("show the river", {"max_tokens": 8}).text
    expected = []
    for part in ("inferrer", "generator"):  # two models that nobody shares
        lm = causal_lm.load_causal_lm(tiny_folder, adapter=saved / part, dtype="float32")
        expected.append(lm)
    inferrer = TrainedInferrer(saved, **FLOAT32)
    inferrer.generator.close()
    inferrer.generator = HfGenerator.from_model(expected[0])
    apart = Personalizer(inferrer, HfGenerator.from_model(expected[1]), budget=4, options={"max_tokens": 8})
    answers = [apart.personalize(one.signals, one.pairs[0].prompt) for one in users]
    apart.generator.close()
    inferrer.close()
    assert len({answer.summary.text for answer in answers}) > 1

    loads = []
    load = causal_lm.load_causal_lm
    monkeypatch.setattr(
        causal_lm, "load_causal_lm", lambda *given, **named: loads.append(given) or load(*given, **named)
    )
    with Personalizer.from_pretrained(saved, backend=FLOAT32, options={"max_tokens": 8}) as popi:
        jobs = [(one.signals, one.pairs[0].prompt) for one in users for _ in range(3)]
        with HfGenerator(tiny_folder, dtype="float32") as base, ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda job: popi.personalize(*job), jobs))  # inferrer and generator at once
            plains = list(pool.map(lambda _: base.generate("show the river", {"max_tokens": 8}).text, range(4)))
            again = list(pool.map(lambda job: popi.personalize(*job), jobs))
            assert loads == [(str(tiny_folder),)]
            halves = [
                popi.inferrer.generator._worker().model(),
                popi.generator._worker().model(),
                base._worker().model(),
            ]
            assert halves[0] is halves[1] is halves[2]
            assert len(halves[0].adapters) == 2
    for got in (results, again):
        assert [(one.summary.text, one.text) for one in got[::3]] == [(one.summary.text, one.text) for one in answers]
    assert set(plains) == {plain}
    del halves
    gc.collect()
    assert not list(shared._loaded)  # the last one to let go frees it


def test_whole_models_stay_two(trainer, tmp_path: Path) -> None:
    built = trainer(adapters=None, inferrer_lr=0.001, generator_lr=0.001).train()
    folder = built.save_pretrained(tmp_path / "whole")
    with Personalizer.from_pretrained(folder, backend=FLOAT32, options={"max_tokens": 4}) as popi:
        popi.personalize(records()[0].signals, "show the river")
        first, second = popi.inferrer.generator._worker().model(), popi.generator._worker().model()
        assert not torch.equal(next(first.model.parameters()), next(second.model.parameters()))


def test_it_is_asked_as_in_training_whatever_the_budget(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int | None]] = []
    batch = HfGenerator.generate_batch

    def kept(self, requests, options=None, **more):
        asked.extend((request[-1]["content"], options.max_tokens) for request in requests)
        return batch(self, requests, options, **more)

    monkeypatch.setattr(HfGenerator, "generate_batch", kept)
    users = [one.signals for one in records()]
    with TrainedInferrer(saved, **FLOAT32) as inferrer:
        first, *_ = inferrer.infer_batch(users[:1])
        inferrer.infer_batch(users[:1], budget=300)
        assert inferrer.counter is inferrer.generator
    assert len(set(asked)) == 1
    assert asked[0][1] == 4
    assert first.tokenizer == inferrer.generator.tokenizer  # counted by its own tokenizer, not by bytes
    assert first.tokens <= 4


def test_before_an_api_it_counts_with_its_own_tokenizer(saved: Path) -> None:
    signals = records()[0].signals
    api = create_generator("openai:gpt-5", api_key="none")
    with Personalizer(TrainedInferrer(saved, **FLOAT32), api, budget=8) as popi:  # 8 bytes are a word
        asked = popi.infer(signals)
        alone = popi.inferrer.infer(signals)
    assert (asked.text, asked.tokens, asked.tokenizer) == (alone.text, alone.tokens, alone.tokenizer)
    assert len(asked.text) > 8
    assert not asked.estimated


def test_an_evaluation_shows_it_as_many_signals_as_training_did(trainer, tmp_path: Path) -> None:
    trained = trainer(input_budget=12).train().save_pretrained(tmp_path / "few")
    model = causal_lm.load_causal_lm(read_trained("few", trained).base_model, dtype="float32")
    [writer] = writers_for(methods_for([f"few={trained}"], gold=False), model, budget=16, raw_budget=512)
    assert writer.inferrer.input_budget == 12
