"""Does a model follow what it is told of a user? Of StyleWorld's users we can tell it the truth, and the opposite.

    python -m benchmarks.followed [--generator DIR] [--users N] [--pairs K] [--split dev]

Two descriptions: `gold`, in wordings of the split, and `shown`, a few words with a specimen (popi_sdk.data.styleworld.
shown). The control is the mirrored user, who wants the opposite wherever the user cares.

- own, mirrored: share of held-out pairs on which the note moves the model towards what the user chose, compared with
  the reference, the base model without a note: accuracy as in METHOD and `popi eval`.
- own above mirrored: share of pairs whose margin is larger with the user's note than with the mirrored user's: whether
  the model reads at all. What any note does to an answer cancels out in it.

Read by the base model, or by the generator of a trained directory. Intervals are 95 % over users.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from popi_sdk.data import UserRecord
from popi_sdk.data.styleworld import generate
from popi_sdk.data.styleworld.shown import shown
from popi_sdk.evals.metrics import ratio_over_users
from popi_sdk.models.causal_lm import CausalLM, load_causal_lm
from popi_sdk.models.trained import load_part, read_trained, trained_folder
from popi_sdk.prompts import render_plain, render_with_summary
from popi_sdk.scoring import Query, credit, score_queries

from .report import machine, table


def margins(model: CausalLM, users: Sequence[UserRecord], notes: Sequence[str | None], pairs: int) -> list[list[float]]:
    """Margin log p(chosen) - log p(rejected) of each user's first pairs, behind the user's note or none."""
    queries = []
    for user, note in zip(users, notes, strict=True):
        for pair in user.pairs[:pairs]:
            request = render_plain(pair.prompt) if note is None else render_with_summary(pair.prompt, note)
            answers = (model.encode_response(text) for text in (pair.chosen, pair.rejected))
            queries.append(Query(tuple(model.encode_prompt(request)), tuple(map(tuple, answers))))
    scores = [float(chosen) - float(rejected) for chosen, rejected in score_queries(model.model, queries)]
    return [scores[start : start + pairs] for start in range(0, len(scores), pairs)]


def above(first: Sequence[Sequence[float]], second: Sequence[Sequence[float]]) -> str:
    """Share of pairs on which the first margin is the larger one."""
    wins = [sum(credit(a - b) for a, b in zip(*both, strict=True)) for both in zip(first, second, strict=True)]
    return ratio_over_users(wins, [len(one) for one in first]).percent()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generator", help="a trained directory, or popi-135m; without it the base model reads")
    parser.add_argument("--users", type=int, default=100, help="an even number")
    parser.add_argument("--pairs", type=int, default=2, help="of each user")
    parser.add_argument("--split", default="dev", choices=("train", "dev", "test"))
    parser.add_argument("--dtype", default="bfloat16")
    given = parser.parse_args()
    if given.users < 2 or given.users % 2:
        parser.error(f"--users {given.users}: give an even number, as each user is held against the mirrored one")
    users = list(generate(given.split, given.users))
    mirrored = [users[at ^ 1] for at in range(len(users))]  # they come in pairs
    base = load_causal_lm(dtype=given.dtype)
    plain = margins(base, users, [None] * len(users), given.pairs)
    reader: Any = base
    if given.generator is not None:
        trained = read_trained("followed", trained_folder(given.generator))
        reader = load_part(trained, trained.generator_path, base)
    rows = []
    for name, describe in {"gold": lambda one: one.gold, "shown": lambda one: shown(one.meta["point"])}.items():
        own, other = (margins(reader, users, [describe(one) for one in who], given.pairs) for who in (users, mirrored))
        rows.append((f"`{name}`", above(own, plain), above(other, plain), above(own, other)))
    print(machine(), given.dtype)
    title = (
        f"Followed by {given.generator or 'the base model'}: {len(users)} users of {given.split}, {given.pairs} pairs"
    )
    table(title, ("description", "own, %", "mirrored, %", "own above mirrored, %"), rows)


if __name__ == "__main__":
    main()
