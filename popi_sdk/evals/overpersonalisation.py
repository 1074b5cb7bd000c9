"""Does a summary do harm where it has no business? Tasks with one right answer, with and without it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..generators import Generation, GenerationOptions, Generator
from ..prompts import render_plain, render_with_summary
from ..summary import PreferenceSummary
from .attempts import Attempt, attempt_batch
from .metrics import Interval, bootstrap_mean
from .tasks import Task, is_correct, load_tasks

if TYPE_CHECKING:
    from .run import Progress

__all__ = ["OPTIONS", "OverPersonalisation", "Reply", "TaskOutcome", "measure"]

OPTIONS = GenerationOptions(max_tokens=256, temperature=0)
"""How the tasks are answered unless the caller says otherwise: greedy, with room for some reasoning."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model made of a task.

    Attributes:
        text: Its answer; None if the generation failed.
        correct: Whether it is right; None if the generation failed.
        cut_off: Whether the answer was stopped by the token limit.
        error: What the failure said.
    """

    text: str | None
    correct: bool | None
    cut_off: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """One task without and with a summary that has nothing to do with it."""

    task: str
    kind: str
    summary: str
    plain: Reply
    personalised: Reply

    @property
    def measured(self) -> bool:
        """Whether there are both answers; else the task counts for nothing."""
        return self.plain.correct is not None and self.personalised.correct is not None


@dataclass(frozen=True, slots=True)
class OverPersonalisation:
    """What irrelevant summaries did to the correctness of answers.

    Attributes:
        outcomes: One a task, in the order of the tasks; failed ones too.
        plain: Share of right answers without a summary.
        personalised: Share of right answers with one.
        difference: Personalised minus plain, paired by task; below zero, summaries do harm.
        model: Who answered.
        failed: How many tasks have an answer missing; they are in none of the shares.
    """

    outcomes: tuple[TaskOutcome, ...]
    plain: Interval
    personalised: Interval
    difference: Interval
    model: str
    failed: int

    @property
    def by_kind(self) -> dict[str, tuple[int, int, int]]:
        """For each kind of task: right without, right with, and measured."""
        counts: dict[str, tuple[int, int, int]] = {}
        for outcome in self.outcomes:
            if outcome.measured:
                without, with_, total = counts.get(outcome.kind, (0, 0, 0))
                right = bool(outcome.plain.correct), bool(outcome.personalised.correct)
                counts[outcome.kind] = (without + right[0], with_ + right[1], total + 1)
        return counts


def measure(
    generator: Generator,
    summaries: Sequence[PreferenceSummary | str],
    *,
    tasks: Sequence[Task] | None = None,
    seed: int = 0,
    options: GenerationOptions | None = None,
    progress: Progress = lambda *_: None,
) -> OverPersonalisation:
    """Ask every task plain and with a summary, and compare (METHOD.md, section 4).

    Args:
        generator: Who answers.
        summaries: Summaries of users. Each task gets one of them by the seed; each is used equally often.
        tasks: The tasks; None for `load_tasks()`.
        seed: Of the assignment and of the bootstrap.
        options: How to generate; None for `OPTIONS`.
        progress: Called with what is done, how many answers there are, and how many there will be.

    Raises:
        UsageError: If there is no summary or no task.
        BackendError: If the generator does not work at all, or no task has both of its answers.
    """
    tasks = load_tasks() if tasks is None else tasks
    if not summaries or not tasks:
        raise UsageError(f"Over-personalisation wants a {'task' if summaries else 'summary'}, and there is none.")
    assigned = _assign(len(tasks), [str(summary) for summary in summaries], seed)
    requests = [
        request
        for task, summary in zip(tasks, assigned, strict=True)
        for request in (render_plain(task.prompt), render_with_summary(task.prompt, summary))
    ]
    attempts = attempt_batch(
        generator,
        requests,
        OPTIONS if options is None else options,
        progress=lambda done, total: progress("answering tasks", done, total),
    )
    outcomes = [
        TaskOutcome(task.id, task.kind, summary, _reply(task, plain), _reply(task, personalised))
        for task, summary, plain, personalised in zip(tasks, assigned, attempts[::2], attempts[1::2], strict=True)
    ]
    return _compare(outcomes, attempts, generator.identity, seed)


def _assign(tasks: int, summaries: Sequence[str], seed: int) -> list[str]:
    """A summary for every task: whole rounds of all summaries, shuffled, so that none weighs more than another."""
    rng = random.Random(seed)
    assigned: list[str] = []
    while len(assigned) < tasks:
        assigned += rng.sample(summaries, len(summaries))
    return assigned[:tasks]


def _reply(task: Task, attempt: Attempt) -> Reply:
    if not isinstance(attempt, Generation):
        return Reply(None, None, error=f"{type(attempt).__name__}: {attempt}")
    return Reply(attempt.text, is_correct(task, attempt.text), cut_off=attempt.finish_reason == "length")


def _compare(
    outcomes: Sequence[TaskOutcome], attempts: Sequence[Attempt], model: str, seed: int
) -> OverPersonalisation:
    measured = [outcome for outcome in outcomes if outcome.measured]
    if not measured:
        raise next(attempt for attempt in attempts if not isinstance(attempt, Generation))
    plain = [float(outcome.plain.correct or False) for outcome in measured]
    personalised = [float(outcome.personalised.correct or False) for outcome in measured]
    return OverPersonalisation(
        outcomes=tuple(outcomes),
        plain=bootstrap_mean(plain, seed=seed),
        personalised=bootstrap_mean(personalised, seed=seed),
        difference=bootstrap_mean([b - a for a, b in zip(plain, personalised, strict=True)], seed=seed),
        model=model,
        failed=len(outcomes) - len(measured),
    )
