"""The model card: README.md of a trained directory, written from its `popi.json` and, where there is one, a report."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, needs_extra
from ..evals.metrics import Interval
from ..evals.report import RESULTS
from ..models import _hub  # noqa: F401 - before the hub's client is loaded
from ..models.catalog import CATALOG
from ..models.trained import MANIFEST

__all__ = ["CARD", "FRESH", "card", "write_card"]

CARD = "README.md"
FRESH = ".new-"
"""How what is being written is called, until it is put in its place."""

_HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_ROWS = (
    ("own", "its own generator", "the user's own"),
    ("shuffled", "its own generator", "another user's: the control"),
    ("frozen", "the untouched base model", "the user's own: does it transfer?"),
    ("frozen_shuffled", "the untouched base model", "another user's: the control"),
)
_LIMITS = """- A summary is a model's guess at what somebody prefers: it can be wrong.
- Nothing here was measured on data that the tables above do not name, nor on people who were asked.
- Signals and summaries are about a person: do not infer what that person would not want to be inferred.
- It was trained with the prompt templates whose digests stand in `popi.json`; with others no
  figure holds, and popi_sdk warns.
- The adapters mean nothing on another base than the one whose digest stands there; popi_sdk refuses it."""


def write_card(
    directory: str | Path, *, name: str | None = None, report: str | Path | Sequence[str | Path] | None = None
) -> Path:
    """Write README.md anew, for example after an evaluation.

    Args:
        directory: What `PopiTrainer.save_pretrained` wrote.
        name: What the model is called in it; None for the directory's name.
        report: The folder of a `popi eval` run, or its results.json, whose rows are added; or several, on other data.

    Returns:
        The file.

    Raises:
        ConfigurationError: If the directory or the report cannot be read, or the card not be written.
        MissingExtraError: If the hub's client is not installed.
    """
    folder = Path(directory).expanduser()
    try:
        facts = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        text = card(facts, name or folder.resolve().name, [_results(one) for one in _several(report)])
        fresh = folder / f"{FRESH}{CARD}.{os.getpid()}"
        fresh.write_text(text, encoding="utf-8")
        os.replace(fresh, folder / CARD)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"Cannot write the card of {folder}: {error}.") from error
    return folder / CARD


def card(facts: Mapping[str, Any], name: str, results: Sequence[Mapping[str, Any]] = ()) -> str:
    """The card's text.

    Args:
        facts: What `popi.json` says.
        name: What the model is called.
        results: What results.json of each `popi eval` run says.

    Raises:
        MissingExtraError: If the hub's client is not installed.
    """
    with needs_extra("train"):
        from huggingface_hub import ModelCard, ModelCardData

    about = facts.get("about") or {}
    base = _on_hub(facts["base_model"])
    adapters = (facts.get("config") or {}).get("adapters") is not None
    data = ModelCardData(
        base_model=base,
        library_name="popi-sdk",
        license=about.get("licence"),
        language=about.get("language"),
        pipeline_tag="text-generation",
        tags=["popi", "personalization", "preference-summary", *(["lora"] if adapters else [])],
        base_model_relation=(("adapter" if adapters else "finetune") if base else None),
    )
    parts = [f"# {name}", _what(facts), "## Use", _use(facts, name), *_data(facts), *_training(facts)]
    parts += [*_measured(facts), *_evaluated(results), *_samples(facts), "## Limits", _LIMITS]
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n"))


def _several(report: str | Path | Sequence[str | Path] | None) -> Sequence[str | Path]:
    if report is None:
        return ()
    return [report] if isinstance(report, str | Path) else report


def _results(report: str | Path) -> dict[str, Any]:
    path = Path(report).expanduser()
    path = path / RESULTS if path.is_dir() else path
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] != 1 or not found["rows"]:
            raise ValueError("it has another form")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{path} is no report of popi eval that can be read ({error}).") from error
    return dict(found)


def _what(facts: Mapping[str, Any]) -> str:
    config = facts.get("config") or {}
    schedule = config.get("schedule")
    base = facts["base_model"]
    base = f"`{Path(base).name if Path(base).is_absolute() else base}`"
    begins = f"Trained with popi_sdk {facts.get('popi_sdk')} from {base}, schedule `{schedule}`"
    if facts["context"] != "summary":
        reads = "bare prompts" if facts["context"] == "none" else "a user's clipped signals with the prompt"
        return f"{begins}: a rival without summaries, for comparisons. `generator/` reads {reads}."
    if supervised := [
        f"{config[name]} of the {who}"
        for name, who in (("warm_start", "inferrer"), ("warm_start_generator", "generator"))
        if config.get(name)
    ]:
        idle = config["steps"] == 1 and config.get("warmup")  # the rate of a schedule's first step is 0 then
        steps = (
            "1 step at a rate of 0, so nothing was reinforced"
            if idle
            else f"{config['steps']} step{'s' * (config['steps'] > 1)}"
        )
        begins += f" ({steps}) after supervised steps: {', '.join(supervised)}"
    if start := config.get("start"):
        begins += f", going on from `{Path(start).name if Path(start).is_absolute() else start}`"
    return (
        f"{begins} (arXiv 2510.17881). `inferrer/` reads what a user left behind (feedback, ratings, edits, chats) and "
        f"writes a short text about how to write for this user, at most {facts['budget']} tokens; `generator/` reads "
        "it with a prompt. It is plain text, so other models can be given it."
    )


def _use(facts: Mapping[str, Any], name: str) -> str:
    if facts["context"] != "summary":
        return f"As a row of an evaluation: `popi eval DATA --method {facts['config']['schedule']}={name}`."
    return f"""```python
from popi_sdk import Personalizer

with Personalizer.from_pretrained("{name}") as popi:
    print(popi.personalize(["Shorter, please."], "What is a firewall?").text)
```

The inferrer alone works with any generator: `Personalizer("trained:{name}", "openai:MODEL")`."""


def _data(facts: Mapping[str, Any]) -> Iterable[str]:
    if not facts.get("data"):
        return []
    rows = [
        (
            one["side"],
            one["name"] or "not stated",
            f"{one['users']:,}",
            f"{one['pairs']:,}",
            one["licence"],
            one["digest"],
        )
        for one in facts["data"]
    ]
    return [
        "## Data",
        _table(("side", "data", "users", "pairs", "licence", "SHA-256 of its users"), rows),
        *(["The users of both sides are different people."] if len(rows) > 1 else []),
    ]


def _training(facts: Mapping[str, Any]) -> Iterable[str]:
    config = dict(facts.get("config") or {})
    config.pop("base_model", None)
    adapters = config.pop("adapters", None)
    config["start"] = _bare(config["start"]) if config.get("start") else None
    config |= {f"adapters.{key}": value for key, value in adapters.items()} if adapters else {"adapters": None}
    base = f"The base's weights: `{facts.get('base_digest') or 'not kept'}`{_base_licence(facts['base_model'])}."
    return ["## Training", base, _table(("option", "value"), [(f"`{key}`", value) for key, value in config.items()])]


def _measured(facts: Mapping[str, Any]) -> Iterable[str]:
    found = facts.get("dev")
    if not found or facts["context"] != "summary":
        return []
    rows = [(reader, summary, f"{100 * found[f'dev/{key}']:.1f}") for key, reader, summary in _ROWS]
    users = next((one["users"] for one in facts.get("data", ()) if one["side"] == "dev"), 0)
    looked = min(users, facts["config"]["eval_users"])
    return [
        "## Measured",
        f"These weights at step {found['step']}, on {looked:,} dev users that nothing was learnt from: share of "
        "held-out pairs of which the preferred response became more likely, ties counted half. Whoever chose this run "
        "by these users flatters it: an evaluation on others is what counts.",
        _table(("who reads", "which summary", "preference accuracy %"), rows),
        f"A summary has {found['dev/tokens']:.0f} tokens on average; {100 * found['dev/distinct']:.0f} % of them are "
        f"no other user's; {100 * found['dev/quoted']:.0f} % of their 4-grams stand in the signals.",
    ]


def _evaluated(results: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    if results:
        yield "## Evaluated with popi eval"
    for one in results:
        yield from _rows_of(one)


def _rows_of(results: Mapping[str, Any]) -> Iterable[str]:
    data = results["manifest"]["data"]
    rows = []
    for row in results["rows"]:
        personal = Interval(**row["personal"]).points() if row["personal"] else ""
        context = f"{row['context_tokens']['mean']:.0f}"
        accuracy = Interval(**row["accuracy"]).percent()
        rows.append((_bare(row["reader"]), f"`{row['row']}`", accuracy, personal, context, _quoted(row)))
    share, gap = "accuracy % (95 % interval over users)", "own minus shuffled, points"
    head = ("read by", "row", share, gap, "context tokens", "quoted % (longest, words)")
    said = f"On {_bare(data['name'])}, {data['split']}: {data['users']:,} users, {data['pairs']:,} pairs."
    more = (_line(one["sentence"]) for one in results.get("extras", {}).values())  # tasks with one right answer, ...
    return [said, _table(head, rows), *more]


def _quoted(row: Mapping[str, Any]) -> str:
    """How much of the summaries stands in the signals; empty where nobody knows, and of another user's."""
    said = row.get("summaries") or {}
    if said.get("quoted") is None or row["row"].endswith(":shuffled"):
        return ""
    return f"{100 * said['quoted']:.0f} ({said['longest_quote']})"


def _samples(facts: Mapping[str, Any]) -> Iterable[str]:
    said = [_line(text) for text in facts.get("samples") or ()]
    if not said:
        return []
    listed = "\n".join(f"{number}. {text or '(nothing)'}" for number, text in enumerate(said, 1))
    return ["## What it writes", "Of dev users, one each, the most likely summary:", f"```text\n{listed}\n```"]


def _on_hub(base: str) -> str | None:
    """The base's id on the hub; None for a folder or a file, which are on one machine only."""
    if base in CATALOG:
        return CATALOG[base].hub_repo
    return base if _HUB_ID.fullmatch(base) and not Path(base).exists() else None


def _base_licence(base: str) -> str:
    return f", licence {CATALOG[base].licence}" if base in CATALOG else ""


def _bare(name: str) -> str:
    return Path(name).name if os.sep in name and Path(name).is_absolute() else name


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_line(str(cell)).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _line(text: str) -> str:
    """On one line, and unable to end a block of code."""
    return " ".join(text.split()).replace("```", "'''")
