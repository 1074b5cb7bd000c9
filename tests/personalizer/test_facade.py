"""`Personalizer`: every verb and its twin, what a call may say otherwise, and which evidence shares a summary."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.doubles import Pieces, SlowInferrer

from popi_sdk import (
    BackendError,
    ConfigurationError,
    FunctionGenerator,
    GenerationOptions,
    PersonalizedResponse,
    Personalizer,
    PreferenceSummary,
    PromptedInferrer,
    SignalError,
    Statement,
    UsageError,
    Writing,
    personalize,
)
from popi_sdk.generators.llamacpp import LlamaCppGenerator
from popi_sdk.prompts import render_plain, render_with_summary
from popi_sdk.testing import EchoGenerator, FixedInferrer, ScriptedGenerator

SIGNALS = [Statement(text="Short, please."), Writing(text="See you at 5.")]
DICTS = [signal.model_dump() for signal in SIGNALS]
HISTORY = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hi."},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "HTTPS?"},
]
VERBS = ["personalize", "apersonalize", "stream", "astream", "batch", "abatch"]


async def answer(popi: Personalizer, verb: str, signals: Any, prompt: Any, **call: Any) -> PersonalizedResponse:
    """One answer by any verb."""
    match verb:
        case "personalize":
            return popi.personalize(signals, prompt, **call)
        case "apersonalize":
            return await popi.apersonalize(signals, prompt, **call)
        case "stream":
            return popi.stream(signals, prompt, **call).read()
        case "astream":
            return await popi.astream(signals, prompt, **call).read()
        case "batch":
            [result] = popi.batch([(signals, prompt)], **call)
        case _:
            [result] = await popi.abatch([(signals, prompt)], **call)
    if isinstance(result, Exception):
        raise result
    return result


def build(generator: Any = None, inferrer: Any = None, **options: Any) -> Personalizer:
    return Personalizer(inferrer or FixedInferrer("Keep it short."), generator or EchoGenerator(), **options)


each_verb = pytest.mark.parametrize("verb", VERBS)


@each_verb
@pytest.mark.parametrize("prompt", ["HTTPS?", HISTORY])
async def test_every_verb_gives_the_same(verb: str, prompt: Any) -> None:
    generator = EchoGenerator()
    popi = build(generator)
    response = await answer(popi, verb, SIGNALS, prompt)
    messages = render_with_summary(prompt, "Keep it short.")
    assert generator.calls == [(messages, GenerationOptions())]
    assert response.text == str(response) == messages[-1]["content"]
    assert response.summary == popi.infer(SIGNALS) == await popi.ainfer(SIGNALS)
    assert response.context_tokens == generator.count_prompt_tokens(messages) - generator.count_prompt_tokens(
        render_plain(prompt)
    )
    assert response.context_tokens == 15  # Answer the way ... likes it. Notes on their preferences: > Keep it short.
    assert (response.counted_by, response.model, response.finish_reason) == ("words", "echo", "stop")
    assert response.usage == response.generation.usage
    assert response.usage.input_tokens == generator.count_prompt_tokens(messages)
    assert 0 <= response.latency < 5
    assert "generation" not in repr(response)


@each_verb
async def test_dicts_rows_and_ready_summaries_are_taken(verb: str) -> None:
    inferrer = FixedInferrer("Keep it short.")
    popi = build(inferrer=inferrer)
    by_signals = await answer(popi, verb, SIGNALS, "Q")
    assert (await answer(popi, verb, DICTS, "Q")).summary is by_signals.summary
    assert (await answer(popi, verb, iter(SIGNALS), "Q")).summary is by_signals.summary
    row = {"prompt": "p", "chosen": "a", "rejected": "b"}
    assert (await answer(popi, verb, row, "Q")).summary.evidence_digest != by_signals.summary.evidence_digest
    assert inferrer.calls == 2
    ready = PreferenceSummary.from_json(by_signals.summary.to_json())
    assert (await answer(popi, verb, ready, "Q", budget=1)).summary is ready
    assert inferrer.calls == 2
    assert popi.infer(ready) is await popi.ainfer(ready) is ready


@each_verb
async def test_what_a_call_says_goes_before_what_the_constructor_said(verb: str) -> None:
    generator, inferrer = Pieces(), SlowInferrer()
    popi = build(generator, inferrer, budget=50, options={"max_tokens": 9, "seed": 1}, timeout=5.0, max_retries=1)
    await answer(popi, verb, SIGNALS, "Q")
    await answer(popi, verb, SIGNALS, "Q", budget=60, options={"temperature": 0.5}, timeout=6.0, max_retries=0)
    await answer(popi, verb, SIGNALS, "Q", budget=60, options=GenerationOptions(max_tokens=8))
    assert inferrer.asked == [
        {"budget": 50, "counter": generator, "timeout": 5.0, "max_retries": 1},
        {"budget": 60, "counter": generator, "timeout": 6.0, "max_retries": 0},
    ]
    asked = [{name: value for name, value in call.items() if name != "messages"} for call in generator.asked]
    assert asked == [
        {"options": GenerationOptions(max_tokens=9, seed=1), "timeout": 5.0, "max_retries": 1},
        {"options": GenerationOptions(max_tokens=9, seed=1, temperature=0.5), "timeout": 6.0, "max_retries": 0},
        {"options": GenerationOptions(max_tokens=8, seed=1), "timeout": 5.0, "max_retries": 1},
    ]


async def test_without_any_say_the_backend_decides() -> None:
    generator, inferrer = Pieces(), SlowInferrer()
    await answer(build(generator, inferrer), "personalize", SIGNALS, "Q")
    assert generator.asked[0]["options"] == GenerationOptions()
    assert (generator.asked[0]["timeout"], generator.asked[0]["max_retries"]) == (None, None)
    assert inferrer.asked == [{"budget": 128, "counter": generator, "timeout": None, "max_retries": None}]


@each_verb
@pytest.mark.parametrize(
    ("signals", "prompt", "call", "error", "words"),
    [
        ([], "Q", {}, SignalError, "There are no signals"),
        ([{"kind": "statement"}], "Q", {}, SignalError, "signal 0, field 'text'"),
        (SIGNALS, "", {}, UsageError, "The prompt is empty"),
        (SIGNALS, [{"role": "boss"}], {}, UsageError, "has the role 'boss'"),
        (SIGNALS, "Q", {"options": {"max_token": 5}}, ConfigurationError, "Known: max_tokens"),
        (SIGNALS, "Q", {"budget": 0}, ConfigurationError, "A budget of 0 tokens"),
    ],
)
async def test_mistakes_of_the_caller(
    verb: str, signals: Any, prompt: Any, call: dict[str, Any], error: type[Exception], words: str
) -> None:
    generator = EchoGenerator()
    with pytest.raises(error, match=words):
        await answer(build(generator), verb, signals, prompt, **call)
    assert generator.calls == []


@each_verb
async def test_failures_of_a_backend_come_through(verb: str) -> None:
    failure = BackendError("down", backend="pieces")
    with pytest.raises(BackendError) as caught:
        await answer(build(Pieces(error=failure, fail_after=0 if "stream" in verb else -1)), verb, SIGNALS, "Q")
    assert caught.value is failure
    inferrer = SlowInferrer(failures=[failure])
    generator = EchoGenerator()
    popi = build(generator, inferrer)
    with pytest.raises(BackendError):
        await answer(popi, verb, SIGNALS, "Q")
    assert generator.calls == []
    assert (await answer(popi, verb, SIGNALS, "Q")).text


@pytest.mark.parametrize("options", [{"budget": 0}, {"cache_size": 0}, {"options": {"max_tokens": 0}}])
def test_mistakes_in_the_constructor(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        build(**options)


def test_unknown_backends_are_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="The inferrer 'nothing' is unknown"):
        Personalizer("nothing", EchoGenerator())
    with pytest.raises(ConfigurationError, match="The backend 'nothing' is unknown"):
        Personalizer("local", "nothing")
    with pytest.raises(ConfigurationError, match="Wrap a callable"):
        Personalizer("local", len)


def test_a_generator_may_stand_where_an_inferrer_may() -> None:
    scripted = ScriptedGenerator(["Keep it short.", "Answer."])
    popi = Personalizer(scripted, scripted)
    response = popi.personalize(SIGNALS, "Q")
    assert isinstance(popi.inferrer, PromptedInferrer)
    assert (response.text, response.summary.text) == ("Answer.", "Keep it short.")
    assert (response.summary.signals_used, response.summary.signals_total) == (2, 2)


async def test_how_much_of_the_signals_was_used_reaches_the_caller() -> None:
    many = [Writing(text=f"{number} " + "word " * 80) for number in range(30)]
    scripted = ScriptedGenerator(["Keep it short.", "Answer."])
    response = Personalizer(PromptedInferrer(scripted, input_budget=150), scripted).personalize(many, "Q")
    assert 0 < response.summary.signals_used < 30
    assert response.summary.signals_total == 30


def test_say_who_you_are() -> None:
    assert repr(build(budget=7)) == (
        "Personalizer(inferrer=<FixedInferrer fixed:Keep it short.>, generator=<EchoGenerator echo:echo>, budget=7)"
    )


# Which evidence shares a summary


Ask = Callable[..., Awaitable[PreferenceSummary]]


@pytest.fixture(params=["infer", "ainfer"])
def verb(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def infer(popi: Personalizer, verb: str, signals: Any, **call: Any) -> PreferenceSummary:
    return popi.infer(signals, **call) if verb == "infer" else await popi.ainfer(signals, **call)


async def test_the_same_evidence_gives_the_same_bytes_and_is_inferred_once(verb: str) -> None:
    scripted = ScriptedGenerator(["One.", "Two.", "Three.", "Four.", "Five."])
    popi = Personalizer(scripted, scripted)
    first = await infer(popi, verb, SIGNALS)
    assert (await infer(popi, verb, DICTS)).to_json() == first.to_json()
    assert await infer(popi, verb, SIGNALS, timeout=3, max_retries=1) is first
    dated = [SIGNALS[0].model_copy(update={"source": "elsewhere"}), SIGNALS[1]]
    assert await infer(popi, verb, dated) is first
    assert len(scripted.calls) == 1


async def test_what_decides_the_summary_makes_another_one(verb: str) -> None:
    scripted = ScriptedGenerator([f"Number {number}." for number in range(9)])
    popi = Personalizer(scripted, scripted)
    texts = [
        (await infer(popi, verb, SIGNALS)).text,
        (await infer(popi, verb, SIGNALS, budget=64)).text,
        (await infer(popi, verb, SIGNALS[::-1])).text,
        (await infer(popi, verb, SIGNALS[:1])).text,
    ]
    popi.inferrer.generator.model = "another"
    texts.append((await infer(popi, verb, SIGNALS)).text)
    popi.generator = FunctionGenerator(lambda messages, options: "x", count_tokens=len)
    texts.append((await infer(popi, verb, SIGNALS)).text)
    popi.inferrer = FixedInferrer("Fixed.")
    texts.append((await infer(popi, verb, SIGNALS)).text)
    assert len(set(texts)) == 7


async def test_the_cache_forgets_the_oldest(verb: str) -> None:
    inferrer = FixedInferrer("Short.")
    popi = build(inferrer=inferrer, cache_size=1)
    for signals in (SIGNALS, SIGNALS, ["other"], SIGNALS):
        await infer(popi, verb, signals)
    assert inferrer.calls == 3


def test_thirty_two_threads_on_one_object_infer_once() -> None:
    inferrer, generator = SlowInferrer(0.05), EchoGenerator()
    popi = build(generator, inferrer)
    barrier = threading.Barrier(32)

    def work(number: int) -> PersonalizedResponse:
        barrier.wait()
        return popi.personalize(SIGNALS, f"Question {number}")

    with ThreadPoolExecutor(32) as pool:
        responses = list(pool.map(work, range(32)))
    assert len(inferrer.asked) == 1
    assert len(generator.calls) == 32
    for number, response in enumerate(responses):
        assert response.text.startswith(f"Question {number}\n")
        assert response.summary is responses[0].summary


async def test_tasks_on_one_object_infer_once() -> None:
    inferrer = SlowInferrer(0.02)
    popi = build(inferrer=inferrer)
    responses = await asyncio.gather(*(popi.apersonalize(SIGNALS, f"Q{number}") for number in range(32)))
    assert len(inferrer.asked) == 1
    assert [response.text.split("\n")[0] for response in responses] == [f"Q{number}" for number in range(32)]


# On the real model


def test_threads_on_one_object_with_the_real_engine(gguf: Path) -> None:
    with LlamaCppGenerator(gguf) as generator:
        popi = Personalizer("local", generator, options={"max_tokens": 3})
        prompts = [f"What is {number}?" for number in range(6)]
        with ThreadPoolExecutor(32) as pool:
            threaded = list(pool.map(lambda prompt: popi.personalize(SIGNALS, prompt), prompts))
        for prompt, response in zip(prompts[:2], threaded, strict=False):
            again = popi.personalize(SIGNALS, prompt)
            assert (again.text, again.context_tokens) == (response.text, response.context_tokens)
        messages = render_with_summary(prompts[0], threaded[0].summary)
        cost = generator.count_prompt_tokens(messages) - generator.count_prompt_tokens(render_plain(prompts[0]))
        assert threaded[0].context_tokens == cost > threaded[0].summary.tokens
        assert threaded[0].counted_by == threaded[0].summary.tokenizer == generator.tokenizer


async def test_every_verb_gives_the_same_on_the_real_engine(gguf: Path) -> None:
    with LlamaCppGenerator(gguf) as generator:
        popi = Personalizer("local", generator, options={"max_tokens": 4})
        answers = {(await answer(popi, verb, SIGNALS, "What is DNS?")).text for verb in VERBS}
        assert len(answers) == 1
        assert personalize(SIGNALS, "What is DNS?", generator=generator, options={"max_tokens": 4}).text in answers
