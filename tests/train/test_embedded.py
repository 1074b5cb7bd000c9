"""The same adapters in the embedded engine: one engine for both halves, and the text of transformers."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.scripts import run
from support.tiny_models import save_tiny, save_tiny_adapter, save_tiny_gguf

from popi_sdk import ConfigurationError, Personalizer, PopiError
from popi_sdk.generators.hf import HfGenerator
from popi_sdk.generators.llamacpp import LlamaCppGenerator
from popi_sdk.inferrers import create_inferrer
from popi_sdk.inferrers.trained import TrainedInferrer
from popi_sdk.models.engine import engines
from popi_sdk.models.fingerprint import base_digest
from popi_sdk.settings import get_settings

SIZE = {"hidden_size": 64, "max_position_embeddings": 2_048}
EVERYWHERE = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
PROMPTS = ["Hi", "Hello you", "Red", "Blue 1", "b", "What is a firewall?", "Name three colours.", "Explain DNS to me."]
SHORT = {"max_tokens": 4}
EMBEDDED = {"context": 2_048, "threads": 1}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "Tiny.gguf"
    save_tiny_gguf(path, **SIZE)
    return path


@pytest.fixture(scope="module")
def trained(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory as training leaves it, with adapters that change much of what the tiny model says."""
    folder = tmp_path_factory.mktemp("trained")
    for seed, part in enumerate(("inferrer", "generator")):
        save_tiny_adapter(folder / part, seed=seed, rank=4, targets=EVERYWHERE, scale=0.3, **SIZE)
    facts = {"format": 1, "base_model": str(tiny), "base_digest": base_digest(tiny), "budget": 8, "input_budget": 512}
    (folder / "popi.json").write_text(json.dumps(facts | {"inferrer": "inferrer", "generator": "generator"}))
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _clean_environment: None) -> Path:
    monkeypatch.setenv("POPI_CACHE", str(tmp_path / "cache"))
    get_settings.cache_clear()
    return tmp_path / "cache"


def said(generator, prompt: str) -> str:
    """An answer up to where it is no text: a tiny model writes halves of characters, which both engines show apart."""
    try:
        return generator.generate(prompt, SHORT).text.partition("\ufffd")[0]
    except PopiError:
        return ""


def test_the_text_of_transformers_with_each_adapter_and_without(tiny: Path, trained: Path, cache: Path) -> None:
    both = [trained / "inferrer", trained / "generator"]
    answers = {}
    with LlamaCppGenerator(tiny, adapters=both, **EMBEDDED) as held:
        held.start()
        for adapter in (None, *both):
            embedded = LlamaCppGenerator(tiny, adapter=adapter, adapters=both, **EMBEDDED)
            with embedded, HfGenerator(tiny, adapter=adapter, dtype="float32") as reference:
                answers[adapter] = [said(embedded, prompt) for prompt in PROMPTS]
                assert answers[adapter] == [said(reference, prompt) for prompt in PROMPTS]
                assert engines.running().count(tiny) == 1
        with ThreadPoolExecutor(3) as pool:  # each request says which adapter is its own
            generators = {one: LlamaCppGenerator(tiny, adapter=one, adapters=both, **EMBEDDED) for one in (None, *both)}
            jobs = [(adapter, place) for place in range(len(PROMPTS)) for adapter in generators]
            got = list(pool.map(lambda job: said(generators[job[0]], PROMPTS[job[1]]), jobs))
        assert got == [answers[adapter][place] for adapter, place in jobs]
        assert len({generator.identity for generator in generators.values()}) == 3
        for generator in generators.values():
            generator.close()
    assert len({tuple(texts) for texts in answers.values()}) == 3
    assert any("".join(texts) for texts in answers.values())
    assert tiny not in engines.running()


def test_both_halves_of_a_trained_directory(tiny: Path, trained: Path, cache: Path) -> None:
    signals, prompt = ["Keep it short."], "What is a firewall?"
    options = {"options": {"max_tokens": 4}, "budget": 64}
    with Personalizer.from_pretrained(trained, engine="llamacpp", backend=EMBEDDED, **options) as popi:
        summary = popi.infer(signals)
        popi.generator.start()
        assert popi.inferrer.generator._engine() is popi.generator._engine()
        answer = popi.generator.generate(prompt, {"max_tokens": 4}).text
        assert len(list((cache / "adapters").glob("*.gguf"))) == 2
    assert tiny not in engines.running()
    with Personalizer.from_pretrained(trained, backend={"dtype": "float32"}, **options) as popi:
        assert popi.infer(signals).text.partition("\ufffd")[0] == summary.text.partition("\ufffd")[0]
        assert popi.generator.generate(prompt, {"max_tokens": 4}).text == answer
    inferrer = create_inferrer(f"trained:{trained}", engine="llamacpp", **EMBEDDED)
    assert inferrer.infer(signals, budget=64, counter=inferrer.generator).text == summary.text
    inferrer.close()


def test_it_needs_no_torch(tiny: Path, trained: Path, cache: Path) -> None:
    ended = run(
        "import sys; from popi_sdk import Personalizer;"
        f"popi = Personalizer.from_pretrained({str(trained)!r}, engine='llamacpp', backend={EMBEDDED!r}, budget=64);"
        "print(bool(popi.infer(['Shorter, please.']).text), 'torch' in sys.modules, 'transformers' in sys.modules);"
        "popi.close()"
    )
    assert (ended.returncode, ended.stdout) == (0, "True False False\n"), ended.stderr


def change(folder: Path, to: Path, **fields) -> Path:
    to.mkdir()
    for part in ("inferrer", "generator"):
        (to / part).symlink_to(folder / part)
    (to / "popi.json").write_text(json.dumps(json.loads((folder / "popi.json").read_text()) | fields))
    return to


def test_what_the_engine_cannot_run(tiny: Path, trained: Path, cache: Path, tmp_path: Path) -> None:
    other = change(trained, tmp_path / "other", base_digest="gguf:" + "0" * 64)
    inferrer = TrainedInferrer(other, engine="llamacpp", **EMBEDDED)
    with pytest.raises(ConfigurationError, match=r"other weights than .*gguf:000000000000 then"):
        inferrer.infer(["Shorter, please."])
    with TrainedInferrer(other, engine="llamacpp", gguf=tiny, **EMBEDDED).generator as generator:
        assert generator.generate("b", SHORT).text  # a GGUF of one's own is one's own choice
    folder = change(trained, tmp_path / "folder", base_model="some/base")
    with pytest.raises(ConfigurationError, match=r"some/base, which is no GGUF.*gguf=PATH"):
        TrainedInferrer(folder, engine="llamacpp")
    with pytest.raises(ConfigurationError, match="engine='vllm' is unknown"):
        TrainedInferrer(trained, engine="vllm")
    with pytest.raises(ConfigurationError, match="gguf= is for engine='llamacpp'"):
        TrainedInferrer(trained, gguf=tiny)
    whole = change(trained, tmp_path / "whole")
    (whole / "inferrer").unlink()
    save_tiny(whole / "inferrer", **SIZE)
    with pytest.raises(ConfigurationError, match="is a whole model, and engine='llamacpp' runs adapters"):
        TrainedInferrer(whole, engine="llamacpp")
    with pytest.raises(ConfigurationError, match="is not among adapters"):
        LlamaCppGenerator(tiny, adapter=trained / "inferrer", adapters=[trained / "generator"])
