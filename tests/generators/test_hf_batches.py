"""Calls of a model of transformers at the same time are one batch, in which each gets what it gets alone."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.hf import PROMPTS, SHORT, SOME, STORY, slow

from popi_sdk import PersonalizedResponse, Personalizer
from popi_sdk.errors import BackendError, ConfigurationError, ContextTooLongError, UsageError
from popi_sdk.generators import GenerationOptions, hf_worker
from popi_sdk.generators.hf import HfGenerator
from popi_sdk.testing import FixedInferrer


def test_a_batch_gives_what_each_prompt_gives_alone_in_order(hf_model):
    with HfGenerator.from_model(hf_model, batch_size=4) as generator, slow(hf_model, 0) as sizes:
        for options in (SOME, SOME.model_copy(update={"temperature": 1.2, "seed": 3})):
            alone = [generator.generate(prompt, options).text for prompt in PROMPTS]
            sizes.clear()
            answers = generator.generate_batch(PROMPTS, options)
            assert [answer.text for answer in answers] == alone
            assert sizes[0] == 4
            assert len(sizes) <= 24
        assert generator.generate_batch([]) == []


def test_prompts_of_a_batch_that_cannot_be(hf_generator):
    with pytest.raises(UsageError):
        hf_generator.generate_batch(["Hi", ""])
    with pytest.raises(ContextTooLongError):
        hf_generator.generate_batch(["Hi", "a" * 600, "What?"], SHORT)
    with pytest.raises(ConfigurationError, match="timeout"):
        hf_generator.generate_batch(["Hi"], timeout=-1)


async def test_concurrent_calls_are_one_batch(hf_generator, hf_model):
    with slow(hf_model, 0.01) as sizes:
        answers = await asyncio.gather(*(hf_generator.agenerate(prompt, SOME) for prompt in PROMPTS))
    assert sizes == [6] * 12
    assert [answer.text for answer in answers] == [hf_generator.generate(prompt, SOME).text for prompt in PROMPTS]


def test_threads_are_one_batch_too(hf_generator, hf_model):
    with slow(hf_model, 0.01) as sizes, ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda prompt: hf_generator.generate(prompt, SOME), PROMPTS))
    assert max(sizes) >= 4


async def test_calls_with_other_options_share_a_batch(hf_generator, hf_model):
    options = [SHORT, SOME, SOME.model_copy(update={"temperature": 1.0, "seed": 5})]
    alone = [hf_generator.generate(STORY, each).text for each in options]
    with slow(hf_model, 0.01) as sizes:
        answers = await asyncio.gather(*(hf_generator.agenerate(STORY, each) for each in options))
    assert [answer.text for answer in answers] == alone
    assert sizes[:2] == [1, 3]  # the prompt once for all of them, then a token for each
    assert len(sizes) == 12


async def test_those_who_come_back_after_a_batch_are_a_batch_again(hf_generator, hf_model):
    async def twice(index):
        await hf_generator.agenerate(f"{STORY}{index}", SHORT)
        await asyncio.sleep(0.002 * index)
        await hf_generator.agenerate(f"{STORY}{index}", SHORT)

    with slow(hf_model, 0.01) as sizes:
        await asyncio.gather(*(twice(index) for index in range(8)))
    assert sizes == [8] * 6


def test_a_batch_stays_under_its_tokens(hf_generator, hf_model, monkeypatch):
    prompt = hf_generator.count_prompt_tokens([{"role": "user", "content": "Hi"}])
    monkeypatch.setattr(hf_worker, "_TOKENS", 3 * (prompt + 40))
    with slow(hf_model, 0) as sizes:
        hf_generator.generate_batch([f"H{index}" for index in range(6)], GenerationOptions(max_tokens=40))
    assert set(sizes) == {3}
    monkeypatch.setattr(hf_worker, "_TOKENS", 1)
    assert hf_generator.generate("Hi", SHORT).text


def test_the_facades_batches_are_real_ones(hf_generator, hf_model):
    with Personalizer(FixedInferrer("Be brief."), hf_generator) as popi:
        summary = popi.infer(["Keep it short."])
        with slow(hf_model, 0.01) as sizes:
            answers = popi.batch([(summary, prompt) for prompt in PROMPTS], concurrency=6, options=SHORT)
            again = asyncio.run(popi.abatch([(summary, prompt) for prompt in PROMPTS], concurrency=6, options=SHORT))
    assert all(isinstance(answer, PersonalizedResponse) for answer in answers)
    assert [answer.text for answer in answers] == [answer.text for answer in again]
    assert max(sizes) >= 4
    assert answers[0].context_tokens > 0


async def test_a_prompt_that_cannot_be_encoded_fails_alone(hf_model, monkeypatch):
    real = type(hf_model).encode_prompt

    def encode(self, messages):
        if messages[-1]["content"] == "bad":
            raise RuntimeError("no such token")
        return real(self, messages)

    monkeypatch.setattr(type(hf_model), "encode_prompt", encode)
    async with HfGenerator.from_model(hf_model) as generator:
        calls = (generator.agenerate(prompt, SHORT) for prompt in ("bad", "Hi", "a" * 600))
        bad, good, long = await asyncio.gather(*calls, return_exceptions=True)
    assert good.text
    assert isinstance(long, ContextTooLongError)
    assert type(bad) is BackendError
    assert "no such token" in str(bad)
