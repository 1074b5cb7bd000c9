"""All backends, all verbs, one answer: real SDKs against a real server, the embedded engine, the test doubles."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from support.modes import MODES, STREAMED, ask

from popi_sdk.errors import AuthenticationError, ContextTooLongError, UsageError
from popi_sdk.generators import FunctionGenerator, Generation, GenerationOptions, Usage, create_generator
from popi_sdk.generators.hf import HfGenerator
from popi_sdk.generators.llamacpp import LlamaCppGenerator
from popi_sdk.testing import EchoGenerator, ScriptedGenerator

SERVED = ("openai", "anthropic", "compatible")
SAME = ("llamacpp", *SERVED)  # one engine computes for all of them
MODELS = (*SAME, "hf")
ALL = (*MODELS, "function", "echo", "scripted")
GREEDY = GenerationOptions(max_tokens=6, temperature=0)
QUESTION = "Name three colours."


@pytest.fixture(scope="module")
def embedded(gguf):
    with LlamaCppGenerator(gguf, context=2048, threads=1) as generator:
        yield generator


@pytest.fixture(scope="module")
def transformers():
    with HfGenerator(dtype="float32") as generator:
        yield generator


@pytest.fixture
def build(request, embedded, llama_server):
    """A generator by name, closed after the test."""
    made = []

    def build(name):
        if name == "llamacpp":
            return embedded
        if name == "hf":
            return request.getfixturevalue("transformers")
        if name in SERVED:
            made.append(llama_server.generator(name, timeout=60))
        elif name == "function":
            answer = Generation(text="red, green, blue", model="f", usage=Usage(3, 3))
            made.append(FunctionGenerator(lambda messages, options: answer))
        elif name == "echo":
            made.append(EchoGenerator())
        else:
            made.append(ScriptedGenerator(["red, green, blue"] * 4))
        return made[-1]

    yield build
    for generator in made:
        generator.close()


@pytest.mark.parametrize("name", ALL)
def test_all_verbs_give_the_same_answer(build, name):
    generator = build(name)
    answers = {}
    for mode in MODES:
        pieces: list[str] = []
        answers[mode] = ask(generator, mode, QUESTION, GREEDY, pieces=pieces)
        if mode in STREAMED:
            assert "".join(pieces) == answers[mode].text
            assert len(pieces) > 1 or name not in MODELS
        assert answers[mode].latency >= 0
    first = answers["generate"]
    assert first.text.strip()
    for answer in answers.values():
        assert answer.text == first.text
        assert answer.usage == first.usage
        assert answer.finish_reason == first.finish_reason
        assert answer.model == first.model
    assert (first.usage.input_tokens or 0) > 0
    assert (first.usage.output_tokens or 0) > 0
    if name in MODELS:
        assert first.finish_reason == "length"
        assert first.usage.output_tokens == GREEDY.max_tokens
        assert first.request_id
        assert first.latency > 0


def test_all_backends_give_the_same_answer(build):
    answers = {name: build(name).generate(QUESTION, GREEDY) for name in MODELS}
    texts = {name: answers[name].text for name in SAME}
    assert len(set(texts.values())) == 1, texts
    assert len({answer.usage for answer in answers.values()}) == 1


@pytest.mark.parametrize("name", MODELS)
def test_stop_sequences(build, name):
    generator = build(name)
    whole = generator.generate(QUESTION, GREEDY).text
    word = whole.split()[2]
    for mode in ("generate", "astream"):
        answer = ask(generator, mode, QUESTION, GREEDY.model_copy(update={"stop": (word,)}))
        assert answer.text == whole[: whole.index(word)]
        assert answer.finish_reason == "stop"


@pytest.mark.parametrize("name", MODELS)
def test_an_answer_that_ends_by_itself(build, name):
    generator = build(name)
    for mode in ("agenerate", "stream"):
        answer = ask(generator, mode, "Say only the word: yes", GenerationOptions(max_tokens=60, temperature=0))
        assert answer.finish_reason == "stop"


@pytest.mark.parametrize("name", MODELS)
def test_system_prompt_history_and_parts_reach_the_model(build, name):
    generator = build(name)
    plain = [{"role": "user", "content": QUESTION}]
    system = [{"role": "system", "content": "You are a pirate. Answer in one short sentence."}]
    history = [{"role": "user", "content": "My name is Ada."}, {"role": "assistant", "content": "Hello Ada!"}]
    parts = [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}]
    prompts = (plain, parts, system + plain, system + history + plain)
    answers = [generator.generate(messages, GREEDY) for messages in prompts]
    texts = [answer.text for answer in answers]
    assert texts[0] == texts[1] != texts[2]
    tokens = [answer.usage.input_tokens for answer in answers]
    assert tokens[0] == tokens[1]
    assert tokens[2] < tokens[3]


@pytest.mark.parametrize("name", ["llamacpp", "hf", "openai", "compatible"])
def test_temperature_and_seed_decide(build, name):
    generator = build(name)

    def sample(seed: int) -> str:
        return generator.generate(QUESTION, GenerationOptions(max_tokens=5, temperature=1.5, seed=seed)).text

    assert sample(1) == sample(1)
    assert len({sample(seed) for seed in (1, 2, 3)}) > 1


@pytest.mark.parametrize("name", ALL)
def test_eight_threads_at_once(build, name):
    generator = build(name) if name != "scripted" else ScriptedGenerator(["red, green, blue"] * 8)
    options = GenerationOptions(max_tokens=2, temperature=0)
    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(lambda mode: ask(generator, mode, QUESTION, options).text, ("generate", "stream") * 4))
    assert len(texts) == 8
    assert len(set(texts)) == 1


@pytest.mark.parametrize("name", ALL)
def test_closing_twice(build, name, gguf):
    own = {"llamacpp": lambda: LlamaCppGenerator(gguf, threads=1), "hf": HfGenerator}
    generator = own.get(name, lambda: build(name))()
    generator.close()
    generator.close()
    with generator as same:
        assert same is generator


@pytest.mark.parametrize("name", ALL)
def test_a_prompt_with_nothing_to_answer(build, name):
    generator = build(name)
    for mode in MODES:
        for prompt in ("", " \n", [], [{"role": "assistant", "content": "Yes?"}], [{"role": "system", "content": "x"}]):
            with pytest.raises(UsageError):
                ask(generator, mode, prompt)
    for verb in (generator.stream, generator.astream):
        with pytest.raises(UsageError):
            verb("")


@pytest.mark.parametrize("name", SERVED)
def test_from_a_backend_string(llama_server, name):
    with create_generator(llama_server.spec(name), api_key=llama_server.key) as generator:
        assert generator.generate(QUESTION, GREEDY).text
        assert generator.identity == llama_server.spec(name)
        assert llama_server.key not in repr(generator)


def test_the_embedded_engine_from_a_backend_string(gguf, embedded):
    with create_generator(f"llamacpp:{gguf}", context=2048, threads=1) as generator:
        assert generator.generate(QUESTION, GREEDY).text == embedded.generate(QUESTION, GREEDY).text
        assert generator.identity == f"llamacpp:{gguf}"
    with create_generator("local", threads=1) as local:
        assert local.backend == "llamacpp"


@pytest.mark.parametrize("name", SERVED)
def test_real_errors_of_a_real_server(llama_server, build, name):
    with llama_server.generator(name, api_key="wrong-key") as generator:
        for mode in MODES:
            with pytest.raises(AuthenticationError) as caught:
                ask(generator, mode)
            assert caught.value.status_code == 401
            assert "wrong-key" not in str(caught.value)
    for mode in MODES:
        with pytest.raises(ContextTooLongError) as caught:
            ask(build(name), mode, "word " * 3000)
        assert caught.value.status_code == 400
        assert "exceeds the available context size" in str(caught.value)
