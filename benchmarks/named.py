"""How right are descriptions? Of StyleWorld's users we know what they want, so that a summary can be held against it.

    python -m benchmarks.named heuristic prompted trained:DIR ... [--users N] [--split dev]

No reader is asked: which axes does a summary name, and which way? Counted are phrasings of the world, of all splits, so
that a writer who has words of its own is counted too low. `right` is the share of what users care for that is named as
they want it, `wrong` that named the other way round; `spurious` counts axes that the user does not care for, as a share
of those. Beside them: of all that is named, the share that is right, spurious axes left out and counted. The control is
each summary held against another user: the mirrored one is left out, chance is what is left.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from popi_sdk.data import UserRecord, open_data
from popi_sdk.data.styleworld.naming import Naming, naming
from popi_sdk.errors import PopiError
from popi_sdk.evals.metrics import ratio_over_users
from popi_sdk.generators.hf import HfGenerator
from popi_sdk.inferrers.prompted import PromptedInferrer
from popi_sdk.inferrers.registry import create_inferrer
from popi_sdk.models.causal_lm import load_causal_lm

from .report import machine, table

BUDGET = 64  # tokens of the default model


def summaries(spec: str, users: Sequence[UserRecord]) -> list[str]:
    """By user; empty where there is none."""
    if spec == "gold":
        return [one.gold or "" for one in users]
    reader = HfGenerator.from_model(load_causal_lm(dtype="bfloat16"))
    options: dict[str, Any] = {"dtype": "bfloat16"} if spec.startswith("trained:") else {}
    inferrer = PromptedInferrer(reader, input_budget=400) if spec == "prompted" else create_inferrer(spec, **options)
    with inferrer:
        found = inferrer.infer_batch([one.signals for one in users], budget=BUDGET, counter=reader)
    return ["" if isinstance(one, PopiError) else one.text for one in found]


def row(spec: str, texts: Sequence[str], users: Sequence[UserRecord]) -> tuple[str, ...]:
    points = [one.meta["point"] for one in users]
    own = [naming(text, point) for text, point in zip(texts, points, strict=True)]
    other = [naming(text, points[(at + 2) % len(points)]) for at, text in enumerate(texts)]
    cared = [one.right + one.wrong + one.missing for one in own]
    free = [len(point) - count for point, count in zip(points, cared, strict=True)]

    def share(rows: Sequence[Naming], what: str, of: Sequence[int]) -> str:
        found = ratio_over_users([getattr(one, what) for one in rows], of)
        return f"{100 * found.mean:.0f} ({100 * found.low:.0f}-{100 * found.high:.0f})"

    cared_other = [one.right + one.wrong + one.missing for one in other]
    right, wrong, spurious = (sum(getattr(one, what) for one in own) for what in ("right", "wrong", "spurious"))
    return (
        f"`{spec}`",
        share(own, "right", cared),
        share(own, "wrong", cared),
        share(own, "spurious", free),
        f"{100 * right / (right + wrong):.0f}" if right + wrong else "-",
        f"{100 * right / (right + wrong + spurious):.0f}" if right + wrong + spurious else "-",
        share(other, "right", cared_other),
        share(other, "wrong", cared_other),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("writers", nargs="+", help="specs of inferrers, or `prompted`, or `gold`")
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--split", default="dev", choices=("dev", "test"))
    parser.add_argument("--keep", type=Path, help="a file for the summaries, JSON lines")
    given = parser.parse_args()
    users = list(open_data("styleworld", split=given.split))[: given.users]
    texts = {spec: summaries(spec, users) for spec in given.writers}
    if given.keep is not None:
        lines = [
            {"user_id": one.user_id, "writer": spec, "point": one.meta["point"], "text": text}
            for spec, written in texts.items()
            for one, text in zip(users, written, strict=True)
        ]
        given.keep.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    print(machine())
    head = (
        "writer",
        "right, %",
        "wrong, %",
        "spurious, %",
        "right of right and wrong, %",
        "right of all named, %",
        "other user: right, %",
        "wrong, %",
    )
    title = f"What summaries name: {len(users)} users of StyleWorld, {given.split}"
    table(title, head, [row(spec, written, users) for spec, written in texts.items()])


if __name__ == "__main__":
    main()
