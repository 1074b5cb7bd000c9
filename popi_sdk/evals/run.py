"""One evaluation: every row on the same pairs of the same users; a killed one goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import ConfigurationError, DataError, UsageError
from ..models._lock import file_lock
from .answering import measure_answers
from .config import EvalConfig, machine_facts
from .donors import assign_donors
from .files import write_atomically
from .journal import Journal
from .methods import NONE, Method, methods_for
from .readers import Reader, Reading
from .writers import NO_HURRY, SummaryWriter, writers_for

if TYPE_CHECKING:
    from ..data.open import Dataset
    from ..data.record import UserRecord
    from ..models.causal_lm import CausalLM

__all__ = ["CHUNK", "ITEMS", "MANIFEST", "SUMMARIES", "Progress", "evaluate", "read_manifest", "refuse_foreign"]

CHUNK = 16
"""Users that are computed together. It is fixed: what a batch holds may move a sum in its last digits."""

MANIFEST, SUMMARIES, ITEMS = "run.json", "summaries.jsonl", "items.jsonl"

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class _Index:
    """What is kept in memory of all users: who they are, not what they said."""

    users: list[tuple[str, tuple[str, ...]]]
    pairs: int
    gold: bool


def evaluate(
    config: EvalConfig, output: str | Path, *, resume: bool = False, progress: Progress = lambda *_: None
) -> Path:
    """Compute every item of an evaluation; `popi_sdk.evals.report` makes the results of them.

    The folder then holds `run.json` (configuration, data digest, versions, commit), `summaries.jsonl` and
    `items.jsonl` (one line a pair and row). Users are read in chunks; memory does not grow with the data file.

    Args:
        config: What to measure.
        output: The folder; new or empty, or with `resume` that of a killed run of the same configuration.
        resume: Go on from what is there.
        progress: Called now and then.

    Returns:
        The folder.

    Raises:
        ConfigurationError: If a name is unknown, the folder holds another run, or another process writes there.
        DataError: If the data cannot be read or measures nothing.
        ScoringError: If a prompt with a response does not fit a model.
    """
    _refuse_same_readers(config)
    folder = Path(output)
    refuse_foreign(folder, resume=resume)

    def taken() -> NoReturn:
        raise ConfigurationError(
            f"Another process is writing the run in {folder}. Wait for it, or give another folder."
        )

    with file_lock(folder / ".lock", taken):
        _evaluate(config, folder, progress)
    return folder


def _evaluate(config: EvalConfig, folder: Path, progress: Progress) -> None:
    from ..data import open_data
    from ..models.causal_lm import load_causal_lm

    data = open_data(
        config.data,
        split=config.split,
        limit=config.limit,
        seed=config.seed,
        on_fault="skip" if config.skip_faults else "raise",
    )
    progress("reading the data", 0, 0)
    index = _index(data)
    methods = methods_for(config.methods, gold=index.gold)
    if len(index.users) < 2:
        methods = [method for method in methods if not method.shuffled]
    progress("loading the model", 0, 0)
    model = load_causal_lm(config.model, dtype=config.dtype, device=config.device)
    _write_manifest(folder, _manifest(config, data, index, model, methods))
    run = _Run(config, data, index, methods, folder, progress)
    run.write_summaries(model)
    run.score_with(Reader(model, config.raw_budget))
    run.answer_with(model)
    del model
    for name in config.readers:
        other = load_causal_lm(name, dtype=config.dtype, device=config.device)
        run.score_with(Reader(other, config.raw_budget), transfer=True)


def refuse_foreign(folder: Path, *, resume: bool) -> None:
    """Refuse to write into a folder with anything else in it, before the long work.

    Raises:
        ConfigurationError: If the folder is not empty and `resume` is not given, or it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise ConfigurationError(f"Cannot use {folder} for the results: {error.strerror or error}.") from error
    if held and MANIFEST not in held:
        raise ConfigurationError(f"{folder} is not empty ({held[0]} ...). Give a new folder for the results.")
    if held and not resume:
        raise ConfigurationError(f"{folder} holds a run already. Give --resume to go on with it, or another folder.")


def _refuse_same_readers(config: EvalConfig) -> None:
    names = [config.model, *config.readers]
    if len(set(names)) < len(names):
        raise ConfigurationError("A reader is there twice, or is the model itself. Name each model once.")


def _index(data: Dataset) -> _Index:
    users, pairs, gold = [], 0, False
    for record in data:
        users.append((record.user_id, record.groups))
        pairs += len(record.pairs)
        gold = gold or record.gold is not None
    if not users:
        raise DataError(f"{data.name} has no users in the split {data.split!r}.")
    return _Index(users, pairs, gold)


def _manifest(
    config: EvalConfig, data: Dataset, index: _Index, model: CausalLM, methods: Sequence[Method]
) -> dict[str, Any]:
    return {
        "format": 1,
        "config": config.model_dump(mode="json"),
        "data": {
            "name": data.name,
            "split": data.split,
            "note": data.note,
            "digest": data.digest(),
            "users": len(index.users),
            "pairs": index.pairs,
            "left_out": dict(data.left_out),
            "donors_outside": assign_donors(index.users, seed=config.seed).outside,
        },
        "model": {"name": model.name, "dtype": str(model.dtype).removeprefix("torch."), "device": str(model.device)},
        "rows": {method.name: method.about for method in methods},
        "trained": [method.name for method in methods if method.trained],
        **machine_facts(),
    }


def _write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Say what the run is; where the folder says it already, they must agree, but for rows and readers that are new."""
    path = folder / MANIFEST
    if path.exists():
        before = read_manifest(folder)
        for part, was in _decisive(before).items():
            if was != (now := _decisive(manifest)[part]):
                raise ConfigurationError(
                    f"{folder} holds another run: {part} was {_short(was)}, and is {_short(now)}. "
                    "Give the same options and data, or another folder."
                )
        for part in ("methods", "readers"):
            if gone := set(before["config"][part]) - set(manifest["config"][part]):
                raise ConfigurationError(
                    f"{folder} has {part} that are not asked for now: {', '.join(sorted(gone))}. Name them too (more "
                    "can be added), or give another folder."
                )
    write_atomically(path, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")


def _decisive(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What cannot change within a run."""
    config = {name: value for name, value in manifest["config"].items() if name not in _MAY_GROW}
    return config | {"the users": manifest["data"], "the model": manifest["model"]}


_MAY_GROW = ("methods", "readers", "over_personalisation", "judge")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 300 else f"{text[:300]} ..."


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a run in a folder says of itself.

    Raises:
        UsageError: If there is none, or it cannot be read.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{folder} holds no run that can be read ({error}). Give a folder that `popi eval` wrote."
        ) from (error)
    if not isinstance(manifest, dict) or manifest.get("format") != 1:
        raise UsageError(f"{folder / MANIFEST} has another form than this version reads. Run the evaluation again.")
    return manifest


class _Run:
    """The long work: summaries first, then all rows of one chunk of users after the other."""

    def __init__(  # noqa: PLR0917 - all of a run, put together in one place
        self,
        config: EvalConfig,
        data: Dataset,
        index: _Index,
        methods: Sequence[Method],
        folder: Path,
        progress: Progress,
    ) -> None:
        self.config = config
        self.data = data
        self.index = index
        self.methods = methods
        self.folder = folder
        self.summaries = Journal(folder / SUMMARIES)
        self.items = Journal(folder / ITEMS)
        self.progress = progress
        self.donors = assign_donors(index.users, seed=config.seed).of

    def write_summaries(self, model: CausalLM) -> None:
        """All of them before any is read: a shuffled row needs those of users who come later."""
        for writer in writers_for(self.methods, model, budget=self.config.budget, raw_budget=self.config.raw_budget):
            with closing(writer):
                self._write(writer)

    def _write(self, writer: SummaryWriter) -> None:
        step, done, users = f"{writer.name}: writing summaries", 0, len(self.index.users)
        for number, records in self._chunks():
            self.progress(step, done, users)
            unit = f"{writer.name}/{number}"
            if unit not in self.summaries:
                self.summaries.append(unit, writer.write(records))
            done += len(records)
        self.progress(step, done, users)

    def score_with(self, reader: Reader, *, transfer: bool = False) -> None:
        """Score with one model; another reader than the summaries' own takes the rows that need no trained one."""
        texts = self._texts()
        methods = [method for method in self.methods if not (transfer and method.trained)]
        step, done, total = f"{reader.name}: scoring", 0, self.index.pairs * len(methods)
        for number, records in self._chunks():
            reference = self._reference(reader, number)
            for method in methods:
                self.progress(step, done, total)
                unit = f"{reader.name}/{number}/{method.name}"
                if unit not in self.items:
                    users = [(record, self._reading(reader, method, record, texts)) for record in records]
                    self.items.append(unit, reader.score(method, users, reference))
                done += sum(len(record.pairs) for record in records)
        self.progress(step, done, total)

    def answer_with(self, model: CausalLM) -> None:
        """What is asked for beside the accuracies."""
        if not (self.config.over_personalisation or self.config.judge):
            return
        from ..generators.hf import HfGenerator

        with HfGenerator.from_model(model, timeout=NO_HURRY) as generator:
            measure_answers(
                self.config,
                self.folder,
                generator,
                methods=self.methods,
                texts=self._texts(),
                users=self.data,
                progress=self.progress,
            )

    def _texts(self) -> dict[tuple[str, str], str]:
        return {(row["writer"], row["user_id"]): row["text"] for row in self.summaries.rows() if "text" in row}

    def _chunks(self) -> Iterator[tuple[int, tuple[UserRecord, ...]]]:
        users = iter(self.data)
        return enumerate(iter(lambda: tuple(islice(users, CHUNK)), ()))

    def _reading(
        self, reader: Reader, method: Method, record: UserRecord, texts: Mapping[tuple[str, str], str]
    ) -> Reading:
        user = self.donors[record.user_id] if method.shuffled else record.user_id
        return reader.reading(method, record, texts.get((method.writer or "", user)))

    def _reference(self, reader: Reader, number: int) -> dict[tuple[str, int], tuple[float, float]]:
        """The reference's figures for a chunk that a killed run left half done; else to be filled by the first row."""
        rows = self.items.unit(f"{reader.name}/{number}/{NONE}")
        return {(row["user_id"], row["pair"]): (row["chosen"], row["rejected"]) for row in rows}
