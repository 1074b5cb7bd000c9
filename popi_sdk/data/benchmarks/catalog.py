"""What each benchmark is: where it lies, which columns it has, what one of its users is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["BENCHMARKS", "Benchmark"]

_KINDS = (
    "Its users are made of rows of a few kinds of users ({column}), and those of the test split are of the same kinds "
    "as those of the train split: the figure says nothing about new kinds. A shuffled summary may come from a user of "
    "the same kind."
)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One of the paper's benchmarks.

    Attributes:
        name: What `open_data` calls it.
        description: One line for people.
        repo: Data set on the hub with the train split, and with the test split if there is no `test_repo`.
        test_repo: Data set on the hub with the test split.
        columns: What a row has.
        optional: Those of them that may be missing.
        kind: The column that tells kinds of users apart; None where each row is a user.
        shots: Pairs that become signals, before the one that is held out.
        new_kinds: Whether dev and train are divided by kinds of users, not only by users.
        note: What has to be said beside every figure.
    """

    name: str
    description: str
    repo: str
    columns: tuple[str, ...]
    optional: tuple[str, ...] = ()
    test_repo: str | None = None
    kind: str | None = None
    shots: int = 0
    new_kinds: bool = False
    note: str | None = None


_LABELLED = ("prompt", "response_x", "response_y", "label", "level_x", "level_y", "scorer_level")
_PROFILE = (
    "Demographic Information",
    "User-Generated Content",
    "Pair-wise Comparative Feedback",
    "Preference Direction",
)

BENCHMARKS: Mapping[str, Benchmark] = MappingProxyType(
    {
        "elix": Benchmark(
            name="elix",
            description="explanations for readers of different levels; the labels are a model's",
            repo="Asap7772/elix_generations_autolabel",
            columns=_LABELLED,
            kind="scorer_level",
            shots=4,
            note=_KINDS.format(column="levels of knowledge"),
        ),
        "review": Benchmark(
            name="review",
            description="reviews, positive or negative, concise or verbose; the labels are a model's",
            repo="Asap7772/steered_reviews_full_autolabel_gpt4o_pref",
            columns=_LABELLED,
            kind="scorer_level",
            shots=4,
            note=_KINDS.format(column="positive, negative, concise, verbose"),
        ),
        "roleplay": Benchmark(
            name="roleplay",
            description="answers for described persons; the labels are a model's",
            repo="sher222/persona-iterative-responses",
            columns=("x", "yw", "yl", "level", "score_persona"),
            kind="level",
            shots=8,
            new_kinds=True,
        ),
        "alignx": Benchmark(
            name="alignx",
            description="comments that people of a profile would prefer under a post",
            repo="JinaLeejnl/AlignX",
            test_repo="JinaLeejnl/AlignX-test",
            columns=("prompt", "chosen", "rejected", *_PROFILE),
            optional=_PROFILE,
        ),
    }
)
