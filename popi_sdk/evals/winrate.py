"""Win rate: does a judge who knows the user prefer the personalised answer to the plain one of the same model?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..errors import UsageError
from ..generators import Generation, GenerationOptions, Generator
from ..messages import Prompt
from ..prompts import render_judge
from .attempts import Attempt, attempt_batch
from .metrics import Interval, ratio_over_users

if TYPE_CHECKING:
    from .run import Progress

__all__ = ["OPTIONS", "Judgement", "WinRate", "read_verdict", "win_rate"]

OPTIONS = GenerationOptions(max_tokens=512, temperature=0)
"""How the judge answers unless the caller says otherwise: greedy, with room for a reason before the letter."""

Side = Literal["personalised", "plain"]

_THINKING = re.compile(r"<(think|thinking|thought|reasoning)>.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_DRESS = re.compile(r"[*_`\"'\u2018\u2019\u201c\u201d#>]")
_NAME = r"(?:answer|response|option)"
_CHOICE = rf"(?:verdict|choice|pick|winner|preference|{_NAME})\s*(?:is|:|=)+\s*"
_LETTER = rf"(?:the\s+)?(?:{_NAME}\s+)?[(\[]*(?-i:\b([AB])\b)"
_BETTER = r"(?:better|best|closer|preferred|wins|winner)"
_BARE = re.compile(rf"\W*(?:(?:my |the |final )*{_CHOICE})?(?:{_NAME}\s+)?([AB])\W*", re.IGNORECASE)
_SAID = tuple(
    re.compile(rf"(?<!not )(?<!nt )(?<!not the )\b(?:{pattern})", re.IGNORECASE)  # without its apostrophe: nt
    for pattern in (
        rf"{_CHOICE}{_LETTER}",
        rf"(?:prefers?|choose|pick)\s+{_LETTER}",
        rf"{_NAME}\s+(?-i:([AB])\b)(?:(?!\b(?:not|nt|less|worse|than|[AB])\b)[^.\n]){{0,80}}\b{_BETTER}\b",
        rf"(?-i:([AB])) is (?:the )?{_BETTER}\b",
    )
)
_SHORT = (
    re.compile(r"\A\W*([AB])\s*(?:[.:,;)\u2013\u2014-]|\n)(?!\W*(?:or\b|and\b)?\W*[AB]\b)"),
    re.compile(r"\n\W*([AB])\W*\Z"),
)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the judge said of one pair of answers.

    Attributes:
        item: Its position in what was passed.
        user: Whose it is.
        outcome: What it counts as; None if it counts for nothing, because a judgement failed or could not be read.
        verdicts: Which answer was preferred when the personalised one came first, and when it came second.
        replies: What the judge wrote, or how it failed; nothing where the answers are the same text.
    """

    item: int
    user: str
    outcome: Literal["win", "tie", "loss"] | None
    verdicts: tuple[Side | None, Side | None] = (None, None)
    replies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WinRate:
    """How often the personalised answer won.

    Attributes:
        judgements: One a pair of answers, in their order.
        rate: Wins and half of the ties among those that could be judged, with an interval over users; None if none
            could.
        judge: Who judged.
    """

    judgements: tuple[Judgement, ...]
    rate: Interval | None
    judge: str

    @property
    def wins(self) -> int:
        """Pairs of which the personalised answer was preferred in both orders."""
        return self._count("win")

    @property
    def losses(self) -> int:
        """Pairs of which the plain answer was preferred in both orders."""
        return self._count("loss")

    @property
    def ties(self) -> int:
        """Pairs of the same text, and pairs whose verdict changed with the order."""
        return self._count("tie")

    @property
    def failed(self) -> int:
        """Pairs without two verdicts; they are not in the rate."""
        return self._count(None)

    @property
    def inconsistent(self) -> int:
        """Ties because the verdict changed with the order: where these are many, the judge is too weak."""
        return sum(judgement.outcome == "tie" and None not in judgement.verdicts for judgement in self.judgements)

    def _count(self, outcome: str | None) -> int:
        return sum(judgement.outcome == outcome for judgement in self.judgements)


def win_rate(
    personalised: Sequence[str],
    plain: Sequence[str],
    prompts: Sequence[Prompt],
    golds: Sequence[str],
    judge: Generator,
    *,
    users: Sequence[str] | None = None,
    seed: int = 0,
    options: GenerationOptions | None = None,
    progress: Progress = lambda *_: None,
) -> WinRate:
    """Ask the judge about every pair of answers, in both orders (METHOD.md, section 4).

    Args:
        personalised: Answers written with a summary.
        plain: Answers of the same model to the same prompts, without it.
        prompts: What was asked.
        golds: What each user wants: the gold description, or a summary.
        judge: Who compares; it sees neither which is which nor the summary that was used.
        users: Whose each pair is, for the interval; None if each is another user's.
        seed: Of the bootstrap.
        options: How the judge answers; None for `OPTIONS`.
        progress: Called with what is done, how many verdicts there are, and how many there will be.

    Raises:
        UsageError: If the lists are empty or of different lengths, or a gold description is.
        BackendError: If the judge does not work at all.
    """
    owners = [str(at) for at in range(len(prompts))] if users is None else users
    if len({len(part) for part in (personalised, plain, prompts, golds, owners)}) != 1 or not prompts:
        raise UsageError("A win rate wants one personalised answer, plain answer, gold and user for every prompt.")
    if not all(gold.strip() for gold in golds):
        raise UsageError("A gold description is empty: the judge would not know the user. Leave that user out.")
    open_ = [at for at in range(len(prompts)) if personalised[at].strip() != plain[at].strip()]
    attempts = attempt_batch(
        judge,
        [request for at in open_ for request in _both_orders(golds[at], prompts[at], personalised[at], plain[at])],
        OPTIONS if options is None else options,
        progress=lambda done, total: progress("judging", done, total),
    )
    judged = {at: _judged(at, owners[at], *attempts[2 * n : 2 * n + 2]) for n, at in enumerate(open_)}
    judgements = [judged.get(at) or Judgement(at, owners[at], "tie") for at in range(len(prompts))]
    return WinRate(tuple(judgements), _rate(judgements, seed), judge.identity)


def read_verdict(reply: str) -> Literal["A", "B"] | None:
    """Which answer a judge's reply prefers; None if it prefers none, both, or says nothing that can be read."""
    text = _DRESS.sub("", _THINKING.sub("", reply)).strip()
    bare = _BARE.fullmatch(text)
    if bare:
        return "A" if bare[1].upper() == "A" else "B"
    said = {match[1] for pattern in (*_SAID, *_SHORT) for match in pattern.finditer(text)}
    if said == {"A"}:
        return "A"
    return "B" if said == {"B"} else None


def _both_orders(gold: str, prompt: Prompt, personalised: str, plain: str) -> tuple[Prompt, Prompt]:
    return render_judge(gold, prompt, personalised, plain), render_judge(gold, prompt, plain, personalised)


def _judged(item: int, user: str, first: Attempt, second: Attempt) -> Judgement:
    verdicts = _side(first, "personalised", "plain"), _side(second, "plain", "personalised")
    replies = tuple(
        attempt.text if isinstance(attempt, Generation) else f"{type(attempt).__name__}: {attempt}"
        for attempt in (first, second)
    )
    return Judgement(item, user, _outcome(verdicts), verdicts, replies)


def _side(attempt: Attempt, if_a: Side, if_b: Side) -> Side | None:
    verdict = read_verdict(attempt.text) if isinstance(attempt, Generation) else None
    return None if verdict is None else if_a if verdict == "A" else if_b


def _outcome(verdicts: tuple[Side | None, Side | None]) -> Literal["win", "tie", "loss"] | None:
    if None in verdicts:
        return None
    if verdicts[0] != verdicts[1]:
        return "tie"
    return "win" if verdicts[0] == "personalised" else "loss"


def _rate(judgements: Sequence[Judgement], seed: int) -> Interval | None:
    by_user: dict[str, list[float]] = {}
    for judgement in judgements:
        if judgement.outcome is not None:
            by_user.setdefault(judgement.user, []).append({"win": 1.0, "tie": 0.5, "loss": 0.0}[judgement.outcome])
    if not by_user:
        return None
    sums = [sum(values) for values in by_user.values()]
    return ratio_over_users(sums, [len(values) for values in by_user.values()], seed=seed)
