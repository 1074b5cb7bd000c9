"""What a user's type checker sees. Checked by mypy in `test_public_api.py`; never run.

`assert_type` says what must be inferred; an unused `type: ignore` is an error, so each says that mypy objects there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import assert_type

from popi_sdk import (
    Dialogue,
    FunctionGenerator,
    Generation,
    GenerationOptions,
    GenerationStream,
    Generator,
    HeuristicInferrer,
    Message,
    PersonalizedResponse,
    PersonalizedStream,
    Personalizer,
    PopiError,
    PreferenceInferrer,
    PreferenceSummary,
    PromptedInferrer,
    Rating,
    Signal,
    Statement,
    SummaryStatement,
    Usage,
    as_signals,
    create_generator,
    create_inferrer,
    personalize,
    read_signals,
)
from popi_sdk.personalizer import AsyncPersonalizedStream
from popi_sdk.testing import EchoGenerator, FixedInferrer, ScriptedGenerator, no_requests

signals: list[Signal] = [Statement(text="Short."), Rating(text="A joke.", score=4, scale=(1, 5))]
history: list[Message] = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi."}]


def responses() -> None:
    response = personalize(signals, "How does HTTPS work?", generator="local", budget=64)
    assert_type(response, PersonalizedResponse)
    assert_type(response.text, str)
    assert_type(response.summary, PreferenceSummary)
    assert_type(response.usage, Usage)
    assert_type(response.usage.input_tokens, int | None)
    assert_type(response.context_tokens, int)
    assert_type(response.finish_reason, str)
    assert_type(response.latency, float)
    assert_type(response.generation, Generation)
    personalize(signals, history, options={"max_tokens": 5}, timeout=2, max_retries=0)
    personalize(signals, 5)  # type: ignore[arg-type]
    personalize(signals, "Q", temperature=0.5)  # type: ignore[call-arg]
    response.text = "x"  # type: ignore[misc]


def verbs() -> None:
    with Personalizer(inferrer="local", generator=EchoGenerator(), options=GenerationOptions(max_tokens=9)) as popi:
        assert_type(popi, Personalizer)
        assert_type(popi.infer(signals), PreferenceSummary)
        assert_type(popi.personalize(popi.infer(signals), history), PersonalizedResponse)
        stream = popi.stream(signals, "Q")
        assert_type(stream, PersonalizedStream)
        for piece in stream:
            assert_type(piece, str)
        pieces: Iterator[str] = stream
        assert_type(stream.result, PersonalizedResponse)
        assert_type(stream.read(), PersonalizedResponse)
        del pieces
        results = popi.batch([(signals, "Q"), ([{"text": "a"}], history)], concurrency=4)
        assert_type(results, list[PersonalizedResponse | PopiError])
        popi.batch([signals])  # type: ignore[list-item]
        Personalizer("local", 5)  # type: ignore[arg-type]


async def twins() -> None:
    async with Personalizer(FixedInferrer("Short."), ScriptedGenerator(["a"])) as popi:
        assert_type(popi, Personalizer)
        assert_type(await popi.ainfer(signals), PreferenceSummary)
        assert_type(await popi.apersonalize(signals, "Q"), PersonalizedResponse)
        stream = popi.astream(signals, "Q")
        assert_type(stream, AsyncPersonalizedStream)
        async for piece in stream:
            assert_type(piece, str)
        pieces: AsyncIterator[str] = aiter(stream)
        del pieces
        assert_type(stream.summary, PreferenceSummary)
        assert_type(await stream.read(), PersonalizedResponse)
        assert_type(await popi.abatch([(signals, "Q")]), list[PersonalizedResponse | PopiError])


def parts() -> None:
    assert_type(as_signals(["Short."]), tuple[Signal, ...])
    assert_type(read_signals("signals.jsonl"), tuple[Signal, ...])
    assert_type(signals[0].id, str)
    assert_type(create_generator("local"), Generator)
    assert_type(create_generator("local").stream("Hi."), GenerationStream)
    assert_type(create_inferrer("local"), PreferenceInferrer)
    assert_type(PromptedInferrer(EchoGenerator()).infer(signals), PreferenceSummary)
    summary = HeuristicInferrer().infer(signals)
    assert_type(summary.statements, tuple[SummaryStatement, ...])
    assert_type(PreferenceSummary.from_json(summary.to_json()), PreferenceSummary)
    Statement(txt="Short.")  # type: ignore[call-arg]
    Rating(score=4, scale=(1, 5))  # type: ignore[call-arg]
    assert_type(Dialogue(messages=()).messages[0].content, str)
    with no_requests():
        FunctionGenerator(lambda messages, options: messages[-1]["content"][: options.max_tokens])


def narrowed(signal: Signal) -> str:
    if signal.kind == "statement":
        assert_type(signal, Statement)
        return signal.text
    if isinstance(signal, Rating):
        return f"{signal.value:.1f}"
    return signal.kind
