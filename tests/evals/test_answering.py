"""Harm and wins as part of a run: which summaries are used, what is kept, what is not measured twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from popi_sdk import BackendError, ConfigurationError, FunctionGenerator
from popi_sdk.data import HeldOutPair, UserRecord
from popi_sdk.evals import answering, as_config, methods_for
from popi_sdk.evals.answering import measure_answers, read_extras
from popi_sdk.evals.tasks import load_tasks

TEXTS = {("heuristic", f"u{number}"): f"Keep it short, {number}." for number in range(3)}
METHODS = methods_for(["raw", "gold", "heuristic"], gold=True)


def users(gold: str | None = "Wants short answers.") -> list[UserRecord]:
    pair = HeldOutPair(prompt="What is DNS?", chosen="A phone book.", rejected="A naming system.")
    return [UserRecord(user_id=f"u{n}", signals=["Short."], pairs=(pair,), gold=gold) for n in range(4)]


def measure(folder: Path, answer: Any, **options: Any) -> dict[str, Any]:
    config = as_config(data="d", **{name: value for name, value in options.items() if name != "users"})
    with FunctionGenerator(answer) as generator:
        measure_answers(
            config,
            folder,
            generator,
            methods=METHODS,
            texts=TEXTS,
            users=options.get("users", users()),
            progress=lambda *_: None,
        )
    return read_extras(folder)


def last(messages: list[dict[str, str]]) -> str:
    return messages[-1]["content"]


def test_nothing_is_measured_that_was_not_asked_for(tmp_path: Path) -> None:
    assert measure(tmp_path, lambda messages, options: pytest.fail("asked")) == {}
    assert list(tmp_path.iterdir()) == []


def test_harm_is_counted_on_the_tasks_and_not_measured_twice(tmp_path: Path) -> None:
    right = {task.prompt: task.id for task in load_tasks()}
    asked: list[str] = []

    def answer(messages: list[dict[str, str]], options: Any) -> str:
        asked.append(last(messages))
        return "I do not know." if last(messages) in right else "Short."

    found = measure(tmp_path, answer, over_personalisation=True)["over_personalisation"]
    assert found["writer"] == "heuristic"
    assert found["plain"]["items"] == len(right)
    assert found["difference"]["mean"] == 0.0
    assert "which is not significant" in found["sentence"]
    assert sum(prompt in right for prompt in asked) == len(right)
    assert all("Keep it short" in prompt for prompt in asked if prompt not in right)
    assert len((tmp_path / "tasks.jsonl").read_text().splitlines()) == len(right)
    before = len(asked)
    assert measure(tmp_path, answer, over_personalisation=True)["over_personalisation"] == found
    assert len(asked) == before


def judged(monkeypatch: pytest.MonkeyPatch, verdict: Any) -> list[str]:
    seen: list[str] = []

    def judge(messages: list[dict[str, str]], options: Any) -> str:
        seen.append(last(messages))
        return str(verdict(last(messages)))

    monkeypatch.setattr(answering, "create_generator", lambda _: FunctionGenerator(judge))
    return seen


def personal_or_plain(messages: list[dict[str, str]], options: Any = None) -> str:
    return "A phone book." if "Keep it short" in last(messages) else "A hierarchical naming system."


def prefers_the_short_one(question: str) -> str:
    return "A" if question.index("A phone book.") < question.index("A hierarchical") else "B"


def test_wins_are_counted_in_both_orders_for_the_users_who_have_a_summary(tmp_path: Path, monkeypatch) -> None:
    seen = judged(monkeypatch, prefers_the_short_one)
    found = measure(tmp_path, personal_or_plain, judge="openai:x")["win_rate"]
    assert (found["wins"], found["ties"], found["losses"], found["failed"]) == (3, 0, 0, 0)
    assert len(seen) == 6
    assert all("Wants short answers." in question for question in seen)
    assert found["rate"]["mean"] == 1.0
    assert len((tmp_path / "judgements.jsonl").read_text().splitlines()) == 3
    assert json.loads((tmp_path / "extras.json").read_text())["win_rate"] == found


def test_an_answer_that_failed_is_not_judged(tmp_path: Path, monkeypatch) -> None:
    judged(monkeypatch, lambda question: "B")

    def answer(messages: list[dict[str, str]], options: Any) -> str:
        if "Keep it short, 1." in last(messages):
            raise BackendError("out of order", backend="function")
        return personal_or_plain(messages)

    found = measure(tmp_path, answer, judge="openai:x")["win_rate"]
    assert (found["wins"], found["ties"], found["losses"]) == (0, 2, 0)


def test_without_descriptions_or_summaries_there_is_nothing_to_judge(tmp_path: Path, monkeypatch) -> None:
    judged(monkeypatch, lambda question: "A")
    with pytest.raises(ConfigurationError, match="no gold descriptions"):
        measure(tmp_path, personal_or_plain, judge="openai:x", users=users(gold=None))
    with pytest.raises(ConfigurationError, match="--method heuristic"):
        measure_answers(
            as_config(data="d", over_personalisation=True),
            tmp_path,
            FunctionGenerator(personal_or_plain),
            methods=methods_for(["raw", "gold"], gold=True),
            texts=TEXTS,
            users=users(),
            progress=lambda *_: None,
        )
