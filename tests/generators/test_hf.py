"""A model of transformers as a generator: batches, time, cancelling, sharing, and what it refuses."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import torch
from support.modes import MODES, STREAMED, ask
from support.tiny_models import save_tiny, save_tiny_adapter, save_tiny_gguf

from popi_sdk import PersonalizedResponse, Personalizer
from popi_sdk.errors import (
    BackendError,
    BackendTimeoutError,
    ConfigurationError,
    ContextTooLongError,
    InvalidResponseError,
    UsageError,
)
from popi_sdk.generators import GenerationOptions, create_generator, hf_worker
from popi_sdk.generators.hf import HfGenerator
from popi_sdk.models.causal_lm import load_causal_lm
from popi_sdk.settings import get_settings
from popi_sdk.testing import FixedInferrer

SHORT = GenerationOptions(max_tokens=3)
SOME = GenerationOptions(max_tokens=12)
ENDLESS = GenerationOptions(max_tokens=200)
PROMPTS = ["Hi", "What is a firewall?", "Name three colours.", "a" * 40, "Explain DNS to me.", "é"]
STORY = "Tell a story."


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny", eos_token_id=None)


@pytest.fixture(scope="module")
def model(folder):
    return load_causal_lm(folder, dtype="float32")


@pytest.fixture
def generator(model):
    with HfGenerator.from_model(model) as generator:
        yield generator
    assert none_left()


@contextmanager
def slow(model, seconds=0.02):
    """Each forward pass takes its time; yields the sizes of their batches."""
    sizes = []

    def wait(module, arguments, named):
        sizes.append(len(named["input_ids"]))
        time.sleep(seconds)

    hook = model.model.register_forward_pre_hook(wait, with_kwargs=True)
    try:
        yield sizes
    finally:
        hook.remove()


def none_left() -> bool:
    """Whether the workers' threads are gone, as they are soon."""
    deadline = time.monotonic() + 5
    while any(thread.name == "popi-hf" for thread in threading.enumerate()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.parametrize("mode", MODES)
def test_all_verbs_give_what_the_model_generates(generator, model, mode):
    pieces: list[str] = []
    answer = ask(generator, mode, "What is a firewall?", SOME, pieces=pieces)
    ids = torch.tensor([model.encode_prompt([{"role": "user", "content": "What is a firewall?"}])])
    made = model.model.generate(ids, attention_mask=ids * 0 + 1, max_new_tokens=12, do_sample=False, pad_token_id=0)
    assert answer.text == model.tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True)
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (ids.shape[1], 12)
    assert (answer.finish_reason, answer.model) == ("length", "tiny")
    assert answer.request_id.startswith("hf-")
    assert answer.latency > 0
    if mode in STREAMED:
        assert "".join(pieces) == answer.text
        assert len(pieces) > 1


def test_a_stream_comes_piece_by_piece(generator, model):
    with slow(model) as sizes, generator.stream(STORY, ENDLESS) as stream:
        next(stream)
        assert len(sizes) < 20


def test_greedy_and_seed_0_unless_told_otherwise(generator):
    def text(**options):
        return generator.generate(STORY, GenerationOptions(max_tokens=12, **options)).text

    assert text() == text(temperature=0) == text(seed=7)
    assert text(temperature=1.5) == text(temperature=1.5, seed=0) != text(temperature=1.5, seed=1)
    assert text() != text(temperature=1.5)


def test_a_batch_gives_what_each_prompt_gives_alone_in_order(model):
    with HfGenerator.from_model(model, batch_size=4) as generator, slow(model, 0) as sizes:
        for options in (SOME, SOME.model_copy(update={"temperature": 1.2, "seed": 3})):
            alone = [generator.generate(prompt, options).text for prompt in PROMPTS]
            sizes.clear()
            answers = generator.generate_batch(PROMPTS, options)
            assert [answer.text for answer in answers] == alone
            assert sizes[0] == 4
            assert len(sizes) <= 24
        assert generator.generate_batch([]) == []


def test_prompts_of_a_batch_that_cannot_be(generator):
    with pytest.raises(UsageError):
        generator.generate_batch(["Hi", ""])
    with pytest.raises(ContextTooLongError):
        generator.generate_batch(["Hi", "a" * 600, "What?"], SHORT)
    with pytest.raises(ConfigurationError, match="timeout"):
        generator.generate_batch(["Hi"], timeout=-1)


async def test_concurrent_calls_are_one_batch(generator, model):
    with slow(model, 0.01) as sizes:
        answers = await asyncio.gather(*(generator.agenerate(prompt, SOME) for prompt in PROMPTS))
    assert sizes == [6] * 12
    assert [answer.text for answer in answers] == [generator.generate(prompt, SOME).text for prompt in PROMPTS]


def test_threads_are_one_batch_too(generator, model):
    with slow(model, 0.01) as sizes, ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda prompt: generator.generate(prompt, SOME), PROMPTS))
    assert max(sizes) >= 4


async def test_calls_with_other_options_share_a_batch(generator, model):
    options = [SHORT, SOME, SOME.model_copy(update={"temperature": 1.0, "seed": 5})]
    alone = [generator.generate(STORY, each).text for each in options]
    with slow(model, 0.01) as sizes:
        answers = await asyncio.gather(*(generator.agenerate(STORY, each) for each in options))
    assert [answer.text for answer in answers] == alone
    assert sizes[0] == 3
    assert len(sizes) == 12


async def test_those_who_come_back_after_a_batch_are_a_batch_again(generator, model):
    async def twice(index):
        await generator.agenerate(STORY, SHORT)
        await asyncio.sleep(0.002 * index)
        await generator.agenerate(STORY, SHORT)

    with slow(model, 0.01) as sizes:
        await asyncio.gather(*(twice(index) for index in range(8)))
    assert sizes == [8] * 6


def test_a_batch_stays_under_its_tokens(generator, model, monkeypatch):
    prompt = generator.count_prompt_tokens([{"role": "user", "content": "Hi"}])
    monkeypatch.setattr(hf_worker, "_TOKENS", 3 * (prompt + 40))
    with slow(model, 0) as sizes:
        generator.generate_batch(["Hi"] * 6, GenerationOptions(max_tokens=40))
    assert set(sizes) == {3}
    monkeypatch.setattr(hf_worker, "_TOKENS", 1)
    assert generator.generate("Hi", SHORT).text


def test_the_facades_batches_are_real_ones(generator, model):
    with Personalizer(FixedInferrer("Be brief."), generator) as popi:
        summary = popi.infer(["Keep it short."])
        with slow(model, 0.01) as sizes:
            answers = popi.batch([(summary, prompt) for prompt in PROMPTS], concurrency=6, options=SHORT)
            again = asyncio.run(popi.abatch([(summary, prompt) for prompt in PROMPTS], concurrency=6, options=SHORT))
    assert all(isinstance(answer, PersonalizedResponse) for answer in answers)
    assert [answer.text for answer in answers] == [answer.text for answer in again]
    assert max(sizes) >= 4
    assert answers[0].context_tokens > 0


def test_the_facade_from_a_backend_string(folder):
    with Personalizer(FixedInferrer("Be brief."), f"hf:{folder}") as popi:
        response = popi.personalize(["Keep it short."], "Hi", options={"max_tokens": 4})
        assert response.text
        assert popi.generator.backend == "hf"


def test_stop_texts_of_the_options_and_an_end_by_itself(generator, model):
    whole = generator.generate(STORY, SOME).text
    word = whole[4:7]
    for mode in MODES:
        answer = ask(generator, mode, STORY, SOME.model_copy(update={"stop": (word,)}))
        assert (answer.text, answer.finish_reason) == (whole[: whole.index(word)], "stop")


def test_an_empty_answer_is_a_failure(generator, model, monkeypatch):
    whole = generator.generate(STORY, SOME).text
    for mode in MODES:
        with pytest.raises(InvalidResponseError, match=r"hf, model 'tiny': unusable answer: no text"):
            ask(generator, mode, STORY, SOME.model_copy(update={"stop": (whole[:2],)}))


@pytest.mark.parametrize("mode", MODES)
def test_a_prompt_that_does_not_fit(generator, mode):
    with pytest.raises(ContextTooLongError, match=r"exceeds the available context size \(256 tokens\)") as caught:
        ask(generator, mode, "a" * 600)
    assert (caught.value.backend, caught.value.model, caught.value.retryable) == ("hf", "tiny", False)


def test_an_answer_ends_where_the_context_does(generator, model):
    prompt = "a" * (255 - generator.count_prompt_tokens([{"role": "user", "content": ""}]))
    assert generator.count_prompt_tokens([{"role": "user", "content": prompt}]) == 255
    answer = generator.generate(prompt, SOME)
    assert (answer.finish_reason, answer.usage.output_tokens) == ("length", 1)
    with pytest.raises(ContextTooLongError):
        generator.generate(prompt + "a", SOME)


@pytest.mark.parametrize("mode", MODES)
def test_a_timeout_is_kept(generator, model, mode):
    with slow(model):
        started = time.monotonic()
        with pytest.raises(BackendTimeoutError, match=r"hf, model 'tiny'.* within 0\.2 s") as caught:
            ask(generator, mode, STORY, ENDLESS, timeout=0.2)
        assert 0.2 <= time.monotonic() - started < 1.5
        assert (caught.value.backend, caught.value.retryable) == ("hf", False)
        assert none_left()


def test_a_timeout_of_a_batch_and_of_the_generators_own(model):
    with HfGenerator.from_model(model, timeout=0.2) as hasty, slow(model):
        started = time.monotonic()
        with pytest.raises(BackendTimeoutError, match=r"within 1\.2 s"):  # six prompts, 0.2 s each
            hasty.generate_batch(PROMPTS, ENDLESS)
        assert 1.2 <= time.monotonic() - started < 2.5
        assert none_left()
        with pytest.raises(BackendTimeoutError):
            hasty.generate(STORY, ENDLESS)
        assert hasty.generate(STORY, SHORT, timeout=20).text


def test_those_who_wait_time_out_too_and_the_others_go_on(model):
    with HfGenerator.from_model(model, batch_size=1) as generator, slow(model):
        with generator.stream(STORY, ENDLESS) as stream:
            next(stream)
            for mode in MODES:
                with pytest.raises(BackendTimeoutError):
                    ask(generator, mode, STORY, SHORT, timeout=0.1)
            next(stream)
        assert generator.generate(STORY, SHORT).text


def test_leaving_a_stream_early_stops_it(generator, model):
    async def leave():
        async with generator.astream(STORY, ENDLESS) as stream:
            await anext(stream)

    with slow(model) as sizes:
        with generator.stream(STORY, ENDLESS) as stream:
            next(stream)
        asyncio.run(leave())
        assert none_left()
        assert len(sizes) < 40


async def test_cancelling_takes_a_call_out_of_its_batch(generator, model):
    with slow(model) as sizes:
        gone = asyncio.create_task(generator.agenerate(STORY, ENDLESS))
        stays = asyncio.create_task(generator.agenerate("Hi", GenerationOptions(max_tokens=20)))
        await asyncio.sleep(0.1)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert (await stays).usage.output_tokens == 20
    assert sizes[0] == 2
    assert sizes[-1] == 1


async def test_waiting_does_not_block_the_loop(generator, model):
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    with slow(model):
        await generator.agenerate(STORY, SOME)
    ticking.cancel()
    assert ticks > 5


def test_a_loop_that_is_gone_before_the_answer(generator, model):
    with slow(model):
        loop = asyncio.new_event_loop()
        stream = generator.astream(STORY, ENDLESS)
        loop.run_until_complete(anext(stream))
        loop.run_until_complete(stream.aclose())
        loop.close()
        assert none_left()


def test_one_generator_in_two_loops(generator):
    async def call():
        return (await generator.agenerate(STORY, SHORT)).text + (await generator.astream(STORY, SHORT).read()).text

    assert asyncio.run(call()) == asyncio.run(call())


def test_closing_under_calls(model):
    generator = HfGenerator.from_model(model, batch_size=2)
    outcomes = []

    def call(mode):
        try:
            outcomes.append(ask(generator, mode, STORY, ENDLESS).text)
        except BackendError as error:
            outcomes.append(str(error))

    with slow(model):
        threads = [threading.Thread(target=call, args=(mode,)) for mode in MODES]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        generator.close()
        for thread in threads:
            thread.join(5)
            assert not thread.is_alive()
    assert outcomes == ["hf, model 'tiny': it was closed."] * 4
    generator.close()
    assert generator.generate(STORY, SHORT).text
    generator.close()
    assert none_left()


def test_a_model_that_fails(generator, model):
    def fail(*arguments, **named):
        raise torch.OutOfMemoryError("out of memory")

    hook = model.model.register_forward_pre_hook(fail, with_kwargs=True)
    try:
        for mode in MODES:
            with pytest.raises(BackendError, match=r"the model failed: OutOfMemoryError: out of memory.*batch_size"):
                ask(generator, mode, STORY, SHORT)
        with pytest.raises(BackendError, match="out of memory"):
            generator.generate_batch(PROMPTS, SHORT)
    finally:
        hook.remove()
    assert generator.generate(STORY, SHORT).text


async def test_a_prompt_that_cannot_be_encoded_fails_alone(model, monkeypatch):
    real = type(model).encode_prompt

    def encode(self, messages):
        if messages[-1]["content"] == "bad":
            raise RuntimeError("no such token")
        return real(self, messages)

    monkeypatch.setattr(type(model), "encode_prompt", encode)
    async with HfGenerator.from_model(model) as generator:
        calls = (generator.agenerate(prompt, SHORT) for prompt in ("bad", "Hi", "a" * 600))
        bad, good, long = await asyncio.gather(*calls, return_exceptions=True)
    assert good.text
    assert isinstance(long, ContextTooLongError)
    assert type(bad) is BackendError
    assert "no such token" in str(bad)


def test_generators_of_the_same_arguments_share_a_model(folder, monkeypatch):
    loaded = []
    real = load_causal_lm

    def load(*arguments, **named):
        loaded.append(arguments)
        return real(*arguments, **named)

    monkeypatch.setattr("popi_sdk.models.causal_lm.load_causal_lm", load)
    with HfGenerator(folder, dtype="float32") as one, HfGenerator(folder, dtype="float32") as two:
        assert one.generate(STORY, SHORT).text == two.generate(STORY, SHORT).text
        assert len(loaded) == 1
        one.close()
        assert two.generate(STORY, SHORT).text
        with HfGenerator(folder, dtype="bfloat16") as other:
            other.start()
        assert len(loaded) == 2
    assert one.generate(STORY, SHORT).text
    assert len(loaded) == 3
    one.close()
    assert hf_worker.workers._held == {}


def test_keep_warm(folder, monkeypatch):
    monkeypatch.setattr(hf_worker, "workers", hf_worker.WorkerPool())
    monkeypatch.setattr("popi_sdk.generators.hf.workers", hf_worker.workers)
    with HfGenerator(folder) as generator:
        generator.start()
        generator.keep_warm()
        generator.keep_warm()
        kept = generator._held.model()
    with HfGenerator(folder) as again:
        again.start()
        assert again._held.model() is kept
    hf_worker._close_all()


def test_two_generators_over_one_model_with_other_adapters(folder, tmp_path):
    model = load_causal_lm(folder, dtype="float32")
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
    assert adapted.identity == f"hf:{HfGenerator(folder, adapter=tmp_path / 'lora', dtype='float32').identity[3:]}"
    with HfGenerator(folder, adapter=tmp_path / "lora", dtype="float32") as loaded:
        assert loaded.generate(STORY, SOME).text == expected[1]


def test_names_and_counts(folder, generator, model):
    assert generator.model == "tiny"
    assert generator.tokenizer == "hf:tiny"
    assert generator.max_concurrency == 32
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is <|im_end|>?"}]
    assert generator.count_prompt_tokens(messages) == generator.generate(messages, SHORT).usage.input_tokens
    assert generator.count_tokens("What is DNS?") == model.count_tokens("What is DNS?")
    assert generator.identity == f"hf:{model.identity}"
    assert HfGenerator(folder, dtype="float32").identity == generator.identity


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (None, "smollm2-135m-instruct"),
        ("smollm2-135m-instruct", "smollm2-135m-instruct"),
        ("owner/model-1b", "owner/model-1b"),
    ],
)
def test_nothing_is_loaded_before_it_is_needed(source, name, monkeypatch):
    monkeypatch.setattr("popi_sdk.models.causal_lm.load_causal_lm", None)
    generator = HfGenerator(source)
    assert (generator.model, generator.identity) == (name, f"hf:{name}:auto")
    generator.stream("Hi").close()
    assert repr(generator) == f"<HfGenerator hf:{name}:auto>"
    generator.close()


def test_a_gguf_file(tmp_path, monkeypatch):
    monkeypatch.setenv("POPI_CACHE", str(tmp_path / "cache"))
    get_settings.cache_clear()
    path = tmp_path / "Tiny-Q.gguf"
    save_tiny_gguf(path)
    with create_generator(f"hf:{path}", dtype="float32") as generator:
        assert generator.model == "Tiny-Q"
        assert generator.identity.startswith(f"hf:{path}@")
        assert generator.generate(STORY, SHORT).text


def test_what_cannot_be_is_said_at_once(tmp_path, folder):
    for model, options, words in (
        (tmp_path / "none", {}, "does not exist"),
        (tmp_path / "none.gguf", {}, "does not exist"),
        (tmp_path, {}, "has no config.json"),
        (folder, {"adapter": folder}, "has no adapter_config.json"),
        (folder, {"batch_size": 0}, "batch_size=0 must be a whole number"),
        (folder, {"batch_size": True}, "batch_size"),
        (folder, {"timeout": 0}, "timeout"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            HfGenerator(model, **options)
    with pytest.raises(ConfigurationError, match="runs in this process and has no URL"):
        create_generator("hf:x@http://localhost:1")


@pytest.mark.parametrize("mode", MODES)
def test_what_only_loading_shows_is_raised_at_first_use(folder, mode):
    with HfGenerator(folder, dtype="float8") as generator:
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="dtype='float8' is unknown"):
                ask(generator, mode, STORY)
    assert none_left()


def test_loading_does_not_count_as_time(folder, monkeypatch):
    def load(*arguments, **named):
        time.sleep(0.5)
        return load_causal_lm(*arguments, **named)

    monkeypatch.setattr("popi_sdk.models.causal_lm.load_causal_lm", load)
    for mode in MODES:
        with HfGenerator(folder) as generator:
            assert ask(generator, mode, STORY, SHORT, timeout=0.4).text


def test_closing_while_it_loads(folder, monkeypatch):
    loading, go_on = threading.Event(), threading.Event()

    def load(*arguments, **named):
        loading.set()
        assert go_on.wait(10)
        return load_causal_lm(*arguments, **named)

    monkeypatch.setattr("popi_sdk.models.causal_lm.load_causal_lm", load)
    monkeypatch.setattr(hf_worker, "_GRACE", 0.1)
    generator = HfGenerator(folder)
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


def test_what_the_worker_says_after_it_is_done(generator, model):
    """A reader that pauses gets what was made meanwhile."""
    with slow(model), generator.stream(STORY, GenerationOptions(max_tokens=8), timeout=2) as stream:
        first = next(stream)
        time.sleep(2.2)
        assert first + "".join(stream) == stream.result.text
