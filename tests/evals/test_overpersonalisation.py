"""Over-personalisation: both answers of every task, paired; what failed is reported and counts for nothing."""

from __future__ import annotations

from itertools import repeat

import pytest

from popi_sdk import (
    AuthenticationError,
    BackendConnectionError,
    BackendError,
    ConfigurationError,
    FunctionGenerator,
    Generation,
    GenerationOptions,
    Message,
    Statement,
    UsageError,
    create_inferrer,
)
from popi_sdk.evals.attempts import attempt_batch
from popi_sdk.evals.overpersonalisation import OPTIONS, OverPersonalisation, measure
from popi_sdk.evals.tasks import ChoiceCheck, NumberCheck, Task, load_tasks
from popi_sdk.prompts import render_plain, render_with_summary
from popi_sdk.testing import EchoGenerator, ScriptedGenerator

SUMS = tuple(
    Task(id=f"sum-{n}", kind="sum", prompt=f"What is {n} + 100?", check=NumberCheck(value=n + 100))
    for n in range(2, 12)
)
COLOURS = tuple(
    Task(id=f"colour-{n}", kind="colour", prompt=f"Which colour is apple {n}?", check=ChoiceCheck(right=("red",)))
    for n in range(4)
)
SHORT, RHYMES = "Keep answers short.", "Answer in rhymes."


def failing(text: str = "down") -> BackendError:
    return BackendConnectionError(text, backend="scripted", retryable=True)


def obliging(messages: list[Message], options: GenerationOptions) -> str:
    """Right on sums, unless rhymes are wanted; knows no colours."""
    prompt = messages[-1]["content"]
    if "rhymes" in prompt:
        return "A sum, a sum, oh my, how glum!"
    words = prompt.split()
    return f"That makes **{int(words[2]) + 100}**." if "+" in words else "Blue."


def test_every_task_is_asked_plain_and_with_a_summary() -> None:
    generator = EchoGenerator()
    result = measure(generator, [SHORT], tasks=SUMS[:2])
    asked = [messages for messages, _ in generator.calls]
    assert asked == [
        rendered
        for task in SUMS[:2]
        for rendered in (render_plain(task.prompt), render_with_summary(task.prompt, SHORT))
    ]
    assert {options for _, options in generator.calls} == {OPTIONS}
    assert [outcome.task for outcome in result.outcomes] == ["sum-2", "sum-3"]
    assert result.model == generator.identity


def test_harm_is_seen_task_by_task() -> None:
    result = measure(FunctionGenerator(obliging), [SHORT, RHYMES], tasks=[*SUMS, *COLOURS])
    harmed = [o for o in result.outcomes if o.plain.correct and not o.personalised.correct]
    assert {outcome.summary for outcome in harmed} == {RHYMES}
    assert result.plain.mean == 10 / 14
    assert result.personalised.mean == (10 - len(harmed)) / 14
    assert result.difference.mean == pytest.approx(-len(harmed) / 14)
    assert result.difference.low <= result.difference.mean <= result.difference.high
    assert result.by_kind == {"sum": (10, 10 - len(harmed), 10), "colour": (0, 0, 4)}
    assert result.failed == 0


def test_no_harm_is_a_difference_of_zero_without_width() -> None:
    result = measure(FunctionGenerator(obliging), [SHORT], tasks=[*SUMS, *COLOURS])
    assert (result.difference.mean, result.difference.low, result.difference.high) == (0.0, 0.0, 0.0)


def summaries_of(result: OverPersonalisation) -> list[str]:
    return [outcome.summary for outcome in result.outcomes]


def test_the_seed_decides_which_summary_a_task_gets_and_each_is_used_equally_often() -> None:
    three = [SHORT, RHYMES, "Use bullet points."]
    tasks = [*SUMS, *COLOURS]
    first, again, other = (
        summaries_of(measure(FunctionGenerator(obliging), three, tasks=tasks, seed=s)) for s in (1, 1, 2)
    )
    assert first == again != other
    assert sorted(first.count(summary) for summary in three) == [4, 5, 5]


def test_a_summary_object_is_as_good_as_its_text() -> None:
    summary = create_inferrer("heuristic").infer([Statement(text="Keep it short.")])
    assert summaries_of(measure(FunctionGenerator(obliging), [summary], tasks=SUMS[:1])) == [summary.text]


def test_a_failed_generation_is_reported_and_counts_for_nothing() -> None:
    right = "The answer is 102."
    script = [right, failing(), right, failing(), "103", "103", "104", "4"]  # a batch that fails is asked one by one
    generator = ScriptedGenerator(script)
    result = measure(generator, [SHORT], tasks=SUMS[:3])
    first = result.outcomes[0]
    assert first.plain.correct
    assert (first.personalised.correct, first.personalised.text) == (None, None)
    assert first.personalised.error == "BackendConnectionError: down"
    assert not first.measured
    assert result.failed == 1
    assert (result.plain.items, result.plain.mean, result.personalised.mean) == (2, 1.0, 0.5)
    assert result.by_kind == {"sum": (2, 1, 2)}


def test_an_answer_that_was_cut_off_says_so() -> None:
    cut = Generation(text="To find the sum, I first", model="scripted", finish_reason="length")
    result = measure(ScriptedGenerator([cut, "102"]), [SHORT], tasks=SUMS[:1])
    assert result.outcomes[0].plain.cut_off
    assert result.outcomes[0].plain.correct is False
    assert not result.outcomes[0].personalised.cut_off


def test_without_one_task_that_has_both_answers_there_is_nothing_to_report() -> None:
    with pytest.raises(BackendConnectionError, match="later"):
        measure(ScriptedGenerator(["102", failing(), "102", failing("later")]), [SHORT], tasks=SUMS[:1])


@pytest.mark.parametrize(("summaries", "tasks"), [([], SUMS), ([SHORT], [])])
def test_nothing_to_ask_is_an_error(summaries: list[str], tasks: list[Task]) -> None:
    with pytest.raises(UsageError, match="there is none"):
        measure(EchoGenerator(), summaries, tasks=tasks)


def test_all_tasks_are_asked_unless_said_otherwise_and_progress_is_told() -> None:
    told: list[tuple[str, int, int]] = []
    generator = ScriptedGenerator(repeat("42"))
    result = measure(generator, [SHORT], progress=lambda *step: told.append(step), options=GenerationOptions())
    assert len(result.outcomes) == len(load_tasks())
    assert len(generator.calls) == 2 * len(load_tasks())
    assert told[-1] == ("answering tasks", 2 * len(load_tasks()), 2 * len(load_tasks()))
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_a_backend_that_only_fails_ends_the_work() -> None:
    generator = ScriptedGenerator(repeat(failing()))
    with pytest.raises(BackendConnectionError):
        attempt_batch(generator, ["hi"] * 100, OPTIONS)
    assert len(generator.calls) == 33  # the first batch up to its failure, and each of its requests


def test_a_refused_key_and_a_mistake_of_the_caller_end_the_work_at_once() -> None:
    for error in (AuthenticationError("no", backend="scripted"), ConfigurationError("no such model")):
        generator = ScriptedGenerator(["fine"] * 20 + [error])
        with pytest.raises(type(error)):
            attempt_batch(generator, ["hi"] * 100, OPTIONS)
        assert len(generator.calls) == 21


def test_later_failures_stand_in_their_places() -> None:
    script = ["fine"] * 32 + [failing(), failing(), "fine"]
    attempts = attempt_batch(ScriptedGenerator(script), ["hi"] * 34, OPTIONS)
    assert [isinstance(attempt, Generation) for attempt in attempts] == [True] * 32 + [False, True]


def test_no_request_is_no_answer() -> None:
    assert attempt_batch(EchoGenerator(), [], OPTIONS) == []
