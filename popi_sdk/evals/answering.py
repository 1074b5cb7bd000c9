"""What only whole answers can show: harm to tasks that need no personalisation, and wins before a judge."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from ..generators import Generation, GenerationOptions, Generator, create_generator
from ..prompts import render_plain, render_with_summary
from .attempts import attempt_batch
from .config import EvalConfig
from .files import write_atomically
from .methods import Method
from .overpersonalisation import OverPersonalisation, measure
from .winrate import WinRate, win_rate

if TYPE_CHECKING:
    from ..data.record import UserRecord
    from .run import Progress

__all__ = ["EXTRAS", "answering_row", "check_answers", "measure_answers", "read_extras"]

EXTRAS, TASKS, JUDGEMENTS = "extras.json", "tasks.jsonl", "judgements.jsonl"

_NO_GOLD = "The judge is told what each user wants, and this data has no gold descriptions. Leave out --judge."
_MOST_USERS = 100  # whose answers are judged
_ANSWER = GenerationOptions(max_tokens=256, temperature=0)


def measure_answers(
    config: EvalConfig,
    folder: Path,
    generator: Generator,
    *,
    methods: Sequence[Method],
    texts: Mapping[tuple[str, str], str],
    users: Iterable[UserRecord],
    progress: Progress,
) -> None:
    """Measure what the configuration asks for beside the accuracies, and keep it in `extras.json`.

    Args:
        config: `over_personalisation` and `judge` say what is wanted.
        folder: That of the run; what is there already is not measured again.
        generator: Who answers.
        methods: The rows; see `answering_row`.
        texts: Summaries by writer and user.
        users: The users, for the judge.
        progress: Called now and then.

    Raises:
        ConfigurationError: If no row infers summaries, or no user has a gold description for the judge.
        BackendError: If the generator or the judge does not work at all.
    """
    done = read_extras(folder)
    if config.over_personalisation and "over_personalisation" not in done:
        writer = str(answering_row(methods).writer)
        summaries = [text for (name, _), text in texts.items() if name == writer]
        outcome = measure(generator, summaries, seed=config.seed, progress=progress)
        _write_lines(folder / TASKS, [asdict(one) for one in outcome.outcomes])
        done["over_personalisation"] = _of_tasks(outcome, writer)
        write_atomically(folder / EXTRAS, json.dumps(done, indent=1, ensure_ascii=False) + "\n")
    if config.judge is not None and done.get("win_rate", {}).get("backend") != config.judge:
        writer = str(answering_row(methods).writer)
        with create_generator(config.judge) as judge:
            wins = _judge(config, generator, judge, _judged_users(users, writer, texts), progress)
        _write_lines(folder / JUDGEMENTS, [asdict(one) for one in wins.judgements])
        done["win_rate"] = _of_wins(wins, writer) | {"backend": config.judge}
        write_atomically(folder / EXTRAS, json.dumps(done, indent=1, ensure_ascii=False) + "\n")


def check_answers(config: EvalConfig, methods: Sequence[Method], *, gold: bool) -> None:
    """Find out before the long work whether what is asked for can be measured.

    Raises:
        ConfigurationError: If no row infers summaries, the judge cannot be built, or no user has a gold description.
    """
    if config.over_personalisation or config.judge is not None:
        answering_row(methods)
    if config.judge is not None:
        create_generator(config.judge).close()
        if not gold:
            raise ConfigurationError(_NO_GOLD)


def read_extras(folder: Path) -> dict[str, Any]:
    """What `measure_answers` kept; nothing if it was not asked for anything."""
    path = folder / EXTRAS
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def answering_row(methods: Sequence[Method]) -> Method:
    """The row whose summaries and whose generator answer: a trained one if there is one, else the first that infers.

    Raises:
        ConfigurationError: If no row infers summaries.
    """
    rows = [method for method in methods if method.writer not in (None, "gold") and not method.shuffled]
    if not rows:
        raise ConfigurationError("No row infers summaries to answer with. Add --method heuristic.")
    return next((method for method in rows if method.source is not None), rows[0])


def _judged_users(
    users: Iterable[UserRecord], writer: str, texts: Mapping[tuple[str, str], str]
) -> list[tuple[UserRecord, str]]:
    wanted = ((record, texts.get((writer, record.user_id))) for record in users if record.gold)
    judged = list(islice(((record, text) for record, text in wanted if text), _MOST_USERS))
    if not judged:
        raise ConfigurationError(_NO_GOLD)
    return judged


def _judge(
    config: EvalConfig,
    generator: Generator,
    judge: Generator,
    users: Sequence[tuple[UserRecord, str]],
    progress: Progress,
) -> WinRate:
    """One prompt a user: the first that a pair of theirs answers. An answer that failed is not judged."""
    prompts = [record.pairs[0].prompt for record, _ in users]
    requests = [render_plain(prompt) for prompt in prompts]
    requests += [render_with_summary(prompt, text) for prompt, (_, text) in zip(prompts, users, strict=True)]
    answers = attempt_batch(
        generator, requests, _ANSWER, progress=lambda done, total: progress("answering", done, total)
    )
    answered = [
        (record, prompt, plain.text, personalised.text)
        for (record, _), prompt, plain, personalised in zip(
            users, prompts, answers[: len(prompts)], answers[len(prompts) :], strict=True
        )
        if isinstance(plain, Generation) and isinstance(personalised, Generation)
    ]
    return win_rate(
        [personalised for *_, personalised in answered],
        [plain for _, _, plain, _ in answered],
        [prompt for _, prompt, *_ in answered],
        [record.gold or "" for record, *_ in answered],
        judge,
        users=[record.user_id for record, *_ in answered],
        seed=config.seed,
        progress=progress,
    )


def _of_tasks(outcome: OverPersonalisation, writer: str) -> dict[str, Any]:
    harm = outcome.difference
    said = "" if harm.excludes(0.0) else ", which is not significant"
    replies = [reply for one in outcome.outcomes for reply in (one.plain, one.personalised) if reply.text is not None]
    cut_off = sum(reply.cut_off for reply in replies)
    failed = f" {cut_off} of {len(replies)} answers were cut off at their limit." if cut_off else ""
    failed += f" {outcome.failed} tasks could not be answered, and count for nothing." if outcome.failed else ""
    return {
        "sentence": (
            f"On {outcome.plain.items} tasks with one right answer, {outcome.plain.percent()} % are right without a "
            f"summary and {outcome.personalised.percent()} % with somebody's summary by `{writer}`: {harm.points()} "
            f"points{said}.{failed}"
        ),
        "plain": asdict(outcome.plain),
        "personalised": asdict(outcome.personalised),
        "difference": asdict(harm),
        "by_kind": outcome.by_kind,
        "failed": outcome.failed,
        "model": outcome.model,
        "writer": writer,
    }


def _worth(wins: WinRate) -> str:
    """What a judge is worth whose verdict depends on the order."""
    judged = wins.wins + wins.losses + wins.inconsistent
    if not judged or wins.inconsistent * 3 <= judged:
        return ""
    return " This judge is no evidence: for more than a third of the pairs its verdict changed with the order."


def _of_wins(wins: WinRate, writer: str) -> dict[str, Any]:
    rate = "none could be judged" if wins.rate is None else f"{wins.rate.percent()} %"
    return {
        "sentence": (
            f"Before `{wins.judge}`, which is told what each user wants, answers with the summaries of `{writer}` win "
            f"against the same model's plain answers: {rate}, ties counting half (both orders; {wins.wins} wins, "
            f"{wins.ties} ties, of which {wins.inconsistent} because the verdict changed with the order, {wins.losses} "
            f"losses, {wins.failed} not judged).{_worth(wins)}"
        ),
        "rate": None if wins.rate is None else asdict(wins.rate),
        "wins": wins.wins,
        "ties": wins.ties,
        "losses": wins.losses,
        "failed": wins.failed,
        "judge": wins.judge,
        "writer": writer,
    }


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    write_atomically(path, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))
