# ruff: noqa: RUF001 - the marks of other scripts are the point here
"""A template, a generator, a parser: what is asked, what is read out of real-looking answers, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from popi_sdk import (
    BackendError,
    ConfigurationError,
    Generation,
    GenerationOptions,
    InvalidResponseError,
    PromptedInferrer,
    SignalError,
    Statement,
    Writing,
)
from popi_sdk.generators.llamacpp import LlamaCppGenerator
from popi_sdk.inferrers import parse_summary
from popi_sdk.inferrers import prompted as module
from popi_sdk.prompts import render_infer, select
from popi_sdk.summary import ByteCounter
from popi_sdk.testing import ScriptedGenerator

SIGNALS = [Statement(text="Short, please."), Writing(text="See you at 5.")]
SHORT, LISTS = "Keep it short.", "Use lists."


@pytest.mark.parametrize(
    ("answer", "sentences"),
    [
        ("Keep it short. Use lists.", [SHORT, LISTS]),
        ("Keep it short.\n\nUse lists.\n", [SHORT, LISTS]),
        ("Sure! Here is the summary:\n\n- Keep it short\n- Use lists", [SHORT, LISTS]),
        ("Sure!\n\nHere are the user's preferences:\n* Keep it short.\n* Use lists.", [SHORT, LISTS]),
        ("Certainly. Here’s a summary of how they like it: Keep it short. Use lists.", [SHORT, LISTS]),
        ("Summary: Keep it short. Use lists.", [SHORT, LISTS]),
        ("**Summary of the user's preferences:** Keep it short. Use lists.", [SHORT, LISTS]),
        ("**Summary:**\n\n1. **Keep it short.**\n2. _Use lists._", [SHORT, LISTS]),
        ("## User preferences\n\nKeep it short.\n\n---\n\nUse lists.", [SHORT, LISTS]),
        ("1. Keep it short. 2. Use lists.", [SHORT, LISTS]),
        ("1) Keep it short.\n2) Use lists.", [SHORT, LISTS]),
        ("(1) Keep it short.\n(2) Use lists.", [SHORT, LISTS]),
        ("• Keep it short;\n– Use lists,", [SHORT, LISTS]),
        ("> Keep it short.\n> Use lists.", [SHORT, LISTS]),
        ('"Keep it short. Use lists."', [SHORT, LISTS]),
        ("“Keep it short. Use lists.”", [SHORT, LISTS]),
        ("- “Keep it short.”\n- «Use lists.»", [SHORT, LISTS]),
        ("```\nKeep it short.\nUse lists.\n```", [SHORT, LISTS]),
        ("Here's the description:\n```markdown\n- Keep it short.\n- Use lists.\n```", [SHORT, LISTS]),
        ("<think>They write little, so: brief.</think>\n\nKeep it short. Use lists.", [SHORT, LISTS]),
        ("<THINKING>\nx\n</THINKING>Keep it short.<think>y</think> Use lists.", [SHORT, LISTS]),
        ("They write little.\n</think>\n\nKeep it short. Use lists.", [SHORT, LISTS]),
        ("<reasoning>x</reasoning>Keep it short. Use lists.<|im_end|>\n</s>", [SHORT, LISTS]),
        ("Keep it short. Use lists. Keep it short.", [SHORT, LISTS]),
        ("Keep it short. Use lists.\n\nLet me know if you need more!", [SHORT, LISTS]),
        ("Keep it short. Use lists.\nI hope this helps!", [SHORT, LISTS]),
        ("Keep it short, e.g. one line. Use lists.", ["Keep it short, e.g. one line.", LISTS]),
        ("Keep it short", ["Keep it short"]),
        ("Preferences differ by topic: lists for code.", ["Preferences differ by topic: lists for code."]),
        ('Say "yes" or "no".\n"Maybe" is "no"', ['Say "yes" or "no".', '"Maybe" is "no".']),
        ("Use `code` and snake_case, 2 * 3 * 4.", ["Use `code` and snake_case, 2 * 3 * 4."]),
        ("OK answers are short. Notes help.", ["OK answers are short.", "Notes help."]),
        ("好的，以下是摘要：\n- 回答要简短\n- 使用列表。", ["回答要简短。", "使用列表。"]),
        ("「短く答える。例を使う。」", ["短く答える。", "例を使う。"]),
        ("I have read it all. Here is the summary:\n- Keep it short.\n- Use lists.", [SHORT, LISTS]),
        (
            "Likes lists. Like this: The points are as follows:\n- Rain falls.\n- It is wet\n\nIn short, rain.",
            ["Likes lists.", "Like this: The points are as follows.", "Rain falls.", "It is wet.", "In short, rain."],
        ),
        ("Voici un résumé :\n- Réponses courtes\n- Des listes.", ["Réponses courtes.", "Des listes."]),
        ("أجب باختصار. هل تحب الأمثلة؟ استعمل القوائم.", ["أجب باختصار.", "هل تحب الأمثلة؟", "استعمل القوائم."]),
    ],
)
def test_answers_of_models(answer: str, sentences: list[str]) -> None:
    assert parse_summary(answer) == sentences
    assert parse_summary(answer.replace("\n", "\r\n")) == sentences


@pytest.mark.parametrize(
    ("answer", "sentences"),
    [
        ("Keep it short. Use li", [SHORT]),
        ("Keep it short. Use lists.", [SHORT, LISTS]),
        ('Keep it short. Say "yes."', [SHORT, 'Say "yes."']),
        ("- Keep it short\n- Use li", ["Keep it short"]),
        ("Keep it sho", ["Keep it sho"]),
        ("短く。例を使", ["短く。"]),
    ],
)
def test_a_last_sentence_that_was_cut_off_goes_unless_it_is_the_only_one(answer: str, sentences: list[str]) -> None:
    assert parse_summary(answer, cut_off=True) == sentences


NOTHING = [
    "",
    " \n",
    "...",
    "---\n***",
    "<think>never ends",
    "<think>x</think>",
    "```\n```",
    "Sure!",
    "Okay.",
    "1.",
    "\u200b",
    "# Summary",
]


@pytest.mark.parametrize("answer", NOTHING)
def test_nothing_to_read(answer: str) -> None:
    assert parse_summary(answer) == []


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.text(max_size=80), st.booleans())
def test_any_text_is_parsed_into_sentences_that_say_something(text: str, cut_off: bool) -> None:
    sentences = parse_summary(text, cut_off=cut_off)
    assert all(any(char.isalnum() for char in sentence) for sentence in sentences)
    assert len(sentences) == len(set(sentences))


@pytest.mark.parametrize(
    "unit",
    ["<think>", "</think>", "<|", "*", "**a", "_ ", "- ", "1. ", "sure ", "here is ", '"', "```\n", "a:\n", "..."],
)
def test_hostile_answers_are_parsed_in_linear_time(unit: str) -> None:
    import time

    started = time.process_time()
    parse_summary(unit * (300_000 // len(unit)))
    assert time.process_time() - started < 5


# The inferrer


def test_what_is_asked_and_what_comes_out() -> None:
    generator = ScriptedGenerator(["Sure! Here is the summary:\n- Keep it short\n- Use lists"])
    summary = PromptedInferrer(generator).infer(SIGNALS, budget=20, counter=generator)
    [(messages, options)] = generator.calls
    assert messages == render_infer(select(SIGNALS, 1_024, generator), words=12)
    assert options == GenerationOptions(max_tokens=20 + 64)
    assert summary.text == "Keep it short. Use lists."
    assert [statement.text for statement in summary.statements] == [SHORT, LISTS]
    assert (summary.inferrer, summary.tokenizer, summary.tokens) == ("prompted:scripted:scripted", "words", 5)
    assert (summary.signals_used, summary.signals_total, summary.signals_shortened) == (2, 2, 0)


def test_without_a_counter_room_is_made_for_bytes() -> None:
    generator = ScriptedGenerator([SHORT])
    summary = PromptedInferrer(generator).infer(SIGNALS, budget=240)
    assert summary.estimated
    [(messages, options)] = generator.calls
    assert options.max_tokens == 240 // 4 + 64
    assert "At most 40 words." in messages[0]["content"]


def test_the_budget_holds_whatever_the_model_writes() -> None:
    generator = ScriptedGenerator(["Keep it short. " + "word " * 500])
    summary = PromptedInferrer(generator).infer(SIGNALS, budget=10, counter=generator)
    assert (summary.text, summary.tokens) == (SHORT, 3)


def test_never_silently_how_much_was_read() -> None:
    many = [Writing(text=f"text {number} " + "word " * 50) for number in range(20)]
    generator = ScriptedGenerator([SHORT])
    summary = PromptedInferrer(generator, input_budget=200).infer([*many, many[0]], counter=generator)
    assert 0 < summary.signals_used < summary.signals_total == 21
    shown = 20 - summary.signals_used
    assert f"({shown} further signals are not shown.)" in generator.calls[0][0][0]["content"]


def test_an_input_budget_that_shows_nothing_is_refused_before_anything_is_asked() -> None:
    generator = ScriptedGenerator([SHORT])
    with pytest.raises(ConfigurationError, match="No signal fits into input_budget=1"):
        PromptedInferrer(generator, input_budget=1).infer(SIGNALS)
    with pytest.raises(ConfigurationError, match="must be at least 1"):
        PromptedInferrer(generator, input_budget=0)
    with pytest.raises(SignalError):
        PromptedInferrer(generator).infer([])
    assert generator.calls == []


@pytest.mark.parametrize("answer", ["...", "<think>hm", "Sure!"])
async def test_an_answer_without_a_summary_is_an_error(answer: str) -> None:
    inferrer = PromptedInferrer(ScriptedGenerator([Generation(answer, "m", request_id="r1")] * 2))
    with pytest.raises(InvalidResponseError, match="wrote no summary") as caught:
        inferrer.infer(SIGNALS)
    assert (caught.value.backend, caught.value.model, caught.value.request_id) == ("scripted", "scripted", "r1")
    with pytest.raises(InvalidResponseError):
        await inferrer.ainfer(SIGNALS)


def test_what_a_limit_cut_off_is_left_out() -> None:
    generator = ScriptedGenerator([Generation("Keep it short. Use lists and av", "m", finish_reason="length")])
    assert PromptedInferrer(generator).infer(SIGNALS, counter=generator).text == SHORT


def test_the_backends_failure_comes_through() -> None:
    failure = BackendError("down", backend="scripted")
    with pytest.raises(BackendError) as caught:
        PromptedInferrer(ScriptedGenerator([failure])).infer(SIGNALS)
    assert caught.value is failure


async def test_the_async_twin_asks_and_answers_the_same() -> None:
    sync, twin = ScriptedGenerator(["- a\n- b"]), ScriptedGenerator(["- a\n- b"])
    call: dict[str, Any] = {"budget": 20, "counter": ByteCounter()}
    assert PromptedInferrer(sync).infer(SIGNALS, **call) == await PromptedInferrer(twin).ainfer(SIGNALS, **call)
    assert sync.calls == twin.calls


async def test_options_timeout_and_retries_reach_the_generator() -> None:
    seen: list[dict[str, Any]] = []

    class Noting(ScriptedGenerator):
        def generate(self, messages: Any, options: GenerationOptions | None = None, **call: Any) -> Generation:
            seen.append({"options": options, **call})
            return super().generate(messages, options)

    inferrer = PromptedInferrer(Noting([SHORT, SHORT]), options={"max_tokens": 7, "temperature": 0})
    inferrer.infer(SIGNALS, timeout=2.5, max_retries=4)
    await inferrer.ainfer(SIGNALS, timeout=2.5, max_retries=4)
    assert seen == [{"options": GenerationOptions(max_tokens=7, temperature=0), "timeout": 2.5, "max_retries": 4}] * 2
    with pytest.raises(ConfigurationError, match="Known: max_tokens"):
        PromptedInferrer(ScriptedGenerator([]), options={"max_token": 7})


def test_a_batch_asks_once_per_user_in_order() -> None:
    generator = ScriptedGenerator(["One.", "Two.", "Three."])
    summaries = PromptedInferrer(generator).infer_batch([SIGNALS, SIGNALS[:1], SIGNALS[1:]], counter=generator)
    assert [summary.text for summary in summaries] == ["One.", "Two.", "Three."]


def test_in_a_batch_a_failure_stands_in_its_place_and_the_generator_is_asked_once() -> None:
    class Batching(ScriptedGenerator):
        batches: ClassVar[list[int]] = []

        def generate_batch(self, prompts, options=None, **call):
            self.batches.append(len(prompts))
            return super().generate_batch(prompts, options, **call)

    inferrer = PromptedInferrer(Batching(["One.", "```", "Three."]))
    one, malformed, unreadable, three = inferrer.infer_batch([SIGNALS, [5], SIGNALS[:1], SIGNALS[1:]])
    assert (one.text, three.text) == ("One.", "Three.")
    assert isinstance(malformed, SignalError)
    assert isinstance(unreadable, InvalidResponseError)
    assert Batching.batches == [3]
    assert [type(error) for error in inferrer.infer_batch([[5]])] == [SignalError]
    assert Batching.batches == [3]


def test_the_identity_tells_apart_what_decides_the_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = ScriptedGenerator([])
    identities = {
        PromptedInferrer(generator).identity,
        PromptedInferrer(generator, input_budget=5).identity,
        PromptedInferrer(generator, options={"seed": 1}).identity,
    }
    monkeypatch.setattr(module, "template_digest", lambda name: f"other {name}")
    identities.add(PromptedInferrer(generator).identity)
    generator.model = "another"
    identities.add(PromptedInferrer(generator).identity)
    assert len(identities) == 5


def test_the_generator_stays_the_callers() -> None:
    closed: list[str] = []

    class Closing(ScriptedGenerator):
        def close(self) -> None:
            closed.append("generator")

    with PromptedInferrer(Closing([])):
        pass
    assert closed == []


def test_on_the_real_model(gguf: Path) -> None:
    with LlamaCppGenerator(gguf) as generator:
        inferrer = PromptedInferrer(generator, input_budget=128, options={"max_tokens": 20})
        summary = inferrer.infer(SIGNALS, budget=16, counter=generator)
        assert summary.text
        assert summary.tokens == generator.count_tokens(summary.text) <= 16
        assert summary.tokenizer == generator.tokenizer
        assert summary.signals_used == 2
