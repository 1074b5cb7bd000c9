"""How a generator comes to its model of transformers: loaded at first use, shared, kept warm, with adapters."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.hf import SHORT, SOME, STORY, none_left
from support.modes import MODES, ask
from support.tiny_models import save_tiny_adapter, save_tiny_gguf

from popi_sdk.errors import BackendError, ConfigurationError
from popi_sdk.generators import create_generator, hf_worker
from popi_sdk.generators.hf import HfGenerator
from popi_sdk.models.causal_lm import load_causal_lm
from popi_sdk.settings import get_settings


def test_generators_of_the_same_arguments_share_a_model(hf_folder, monkeypatch):
    loaded = []
    real = load_causal_lm

    def load(*arguments, **named):
        loaded.append(arguments)
        return real(*arguments, **named)

    monkeypatch.setattr("popi_sdk.models.causal_lm.load_causal_lm", load)
    with HfGenerator(hf_folder, dtype="float32") as one, HfGenerator(hf_folder, dtype="float32") as two:
        assert one.generate(STORY, SHORT).text == two.generate(STORY, SHORT).text
        assert len(loaded) == 1
        one.close()
        assert two.generate(STORY, SHORT).text
        with HfGenerator(hf_folder, dtype="bfloat16") as other:
            other.start()
        assert len(loaded) == 2
    assert one.generate(STORY, SHORT).text
    assert len(loaded) == 3
    one.close()
    assert hf_worker.workers._held == {}


def test_keep_warm(hf_folder, monkeypatch):
    monkeypatch.setattr(hf_worker, "workers", hf_worker.WorkerPool())
    monkeypatch.setattr("popi_sdk.generators.hf.workers", hf_worker.workers)
    with HfGenerator(hf_folder) as generator:
        generator.start()
        generator.keep_warm()
        generator.keep_warm()
        kept = generator._held.model()
    with HfGenerator(hf_folder) as again:
        again.start()
        assert again._held.model() is kept
    hf_worker._close_all()


def test_two_generators_over_one_model_with_other_adapters(hf_folder, tmp_path):
    model = load_causal_lm(hf_folder, dtype="float32")
    base = HfGenerator.from_model(model)
    model.attach(save_tiny_adapter(tmp_path / "lora"), "lora")
    with model.use("lora"):
        adapted = HfGenerator.from_model(model)
    with base, adapted, ThreadPoolExecutor(4) as pool:
        expected = base.generate(STORY, SOME).text, adapted.generate(STORY, SOME).text
        assert expected[0] != expected[1]
        texts = list(pool.map(lambda generator: generator.generate(STORY, SOME).text, (base, adapted) * 4))
        assert texts == list(expected) * 4
    assert base.identity != adapted.identity
    assert adapted.identity == f"hf:{HfGenerator(hf_folder, adapter=tmp_path / 'lora', dtype='float32').identity[3:]}"
    with HfGenerator(hf_folder, adapter=tmp_path / "lora", dtype="float32") as loaded:
        assert loaded.generate(STORY, SOME).text == expected[1]


def test_a_gguf_file(tmp_path, monkeypatch):
    monkeypatch.setenv("POPI_CACHE", str(tmp_path / "cache"))
    get_settings.cache_clear()
    path = tmp_path / "Tiny-Q.gguf"
    save_tiny_gguf(path)
    with create_generator(f"hf:{path}", dtype="float32") as generator:
        assert generator.model == "Tiny-Q"
        assert generator.identity.startswith(f"hf:{path}@")
        assert generator.generate(STORY, SHORT).text


@pytest.mark.parametrize("mode", MODES)
def test_what_only_loading_shows_is_raised_at_first_use(hf_folder, mode):
    with HfGenerator(hf_folder, dtype="float8") as generator:
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="dtype='float8' is unknown"):
                ask(generator, mode, STORY)
    assert none_left()


def test_loading_does_not_count_as_time(hf_folder, monkeypatch):
    def load(*arguments, **named):
        time.sleep(0.5)
        return load_causal_lm(*arguments, **named)

    monkeypatch.setattr("popi_sdk.models.causal_lm.load_causal_lm", load)
    for mode in MODES:
        with HfGenerator(hf_folder) as generator:
            assert ask(generator, mode, STORY, SHORT, timeout=0.4).text


def test_closing_while_it_loads(hf_folder, monkeypatch):
    loading, go_on = threading.Event(), threading.Event()

    def load(*arguments, **named):
        loading.set()
        assert go_on.wait(10)
        return load_causal_lm(*arguments, **named)

    monkeypatch.setattr("popi_sdk.models.causal_lm.load_causal_lm", load)
    monkeypatch.setattr(hf_worker, "_GRACE", 0.1)
    generator = HfGenerator(hf_folder)
    with ThreadPoolExecutor(2) as pool:
        call = pool.submit(generator.generate, STORY, SHORT)
        assert loading.wait(10)
        worker = generator._held
        closing = pool.submit(generator.close)
        time.sleep(0.2)
        go_on.set()
        closing.result()
        with pytest.raises(BackendError, match="it was closed"):
            call.result()
    assert none_left()
    assert worker._loaded is None
