"""One evaluation: every row on the same pairs of the same users; a killed one goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import ConfigurationError, DataError
from ..models._lock import file_lock
from ..models.trained import load_part
from .answering import answering_row, check_answers, measure_answers
from .config import EvalConfig
from .donors import assign_donors
from .journal import Journal
from .manifest import ITEMS, MANIFEST, SUMMARIES, check_models, describe, write_manifest
from .methods import NONE, Method, methods_for
from .readers import Reader, Reading
from .writers import NO_HURRY, SummaryWriter, writers_for

if TYPE_CHECKING:
    from ..data.open import Dataset
    from ..data.record import UserRecord
    from ..models.causal_lm import CausalLM

__all__ = ["CHUNK", "Progress", "evaluate", "refuse_foreign"]

CHUNK = 16
"""Users that are computed together. It is fixed: what a batch holds may move a sum in its last digits."""

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
    check_answers(config, methods, gold=index.gold)
    weights = check_models(config, methods)
    progress("loading the model", 0, 0)
    model = load_causal_lm(config.model, dtype=config.dtype, device=config.device)
    described = _described(data, index, config.seed)
    write_manifest(folder, describe(config, described, model, methods, weights))
    run = _Run(config, data, index, methods, folder, progress)
    run.write_summaries(model)
    run.score_with(Reader(model, config.raw_budget))
    for name in config.readers:
        other = load_causal_lm(name, dtype=config.dtype, device=config.device)
        run.score_with(Reader(other, config.raw_budget), transfer=True)
    run.answer_with(model)
    if data.digest() != described["digest"]:
        raise DataError(
            f"{data.name} changed while it was measured: the rows are not about the same users. Start anew."
        )


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


def _index(data: Dataset) -> _Index:
    users, pairs, gold = [], 0, False
    for record in data:
        for place, pair in enumerate(record.pairs):
            if not pair.prompt.strip():
                raise DataError(
                    f"{data.name}: user {record.user_id!r}, pair {place}: the prompt is empty, and a model needs "
                    "something to answer. Give it one, or leave the pair out.",
                    field=f"pairs.{place}.prompt",
                )
        users.append((record.user_id, record.groups))
        pairs += len(record.pairs)
        gold = gold or record.gold is not None
    if not users:
        raise DataError(f"{data.name} has no users in the split {data.split!r}.")
    return _Index(users, pairs, gold)


def _described(data: Dataset, index: _Index, seed: int) -> dict[str, Any]:
    return {
        "name": data.name,
        "split": data.split,
        "note": data.note,
        "digest": data.digest(),
        "users": len(index.users),
        "pairs": index.pairs,
        "left_out": dict(data.left_out),
        "donors_outside": assign_donors(index.users, seed=seed).outside,
    }


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
        donors = self._donors(texts)
        methods = [method for method in self.methods if not (transfer and method.trained)]
        step, done, total = f"{reader.name}: scoring", 0, self.index.pairs * len(methods)
        for number, records in self._chunks():
            reference = self._reference(reader, number)
            for method in methods:
                self.progress(step, done, total)
                unit = f"{reader.name}/{number}/{method.name}"
                if unit not in self.items:
                    users = [(record, _reading(reader, method, record, texts, donors)) for record in records]
                    self.items.append(unit, reader.score(method, users, reference))
                done += sum(len(record.pairs) for record in records)
        self.progress(step, done, total)

    def answer_with(self, model: CausalLM) -> None:
        """What is asked for beside the accuracies."""
        if not (self.config.over_personalisation or self.config.judge):
            return
        from ..generators.hf import HfGenerator

        trained = answering_row(self.methods).trained
        if trained is not None and trained.generator_path is not None:
            model = load_part(trained, trained.generator_path, model)
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

    def _donors(self, texts: Mapping[tuple[str, str], str]) -> dict[str, Mapping[str, str]]:
        """For each writer, who lends to whom, among the users for whom it wrote something."""
        writers = {method.writer for method in self.methods if method.writer is not None}
        users = {name: [user for user in self.index.users if (name, user[0]) in texts] for name in writers}
        return {name: assign_donors(known, seed=self.config.seed).of for name, known in users.items()}

    def _reference(self, reader: Reader, number: int) -> dict[tuple[str, int], tuple[float, float]]:
        """The reference's figures for a chunk that a killed run left half done; else to be filled by the first row."""
        rows = self.items.unit(f"{reader.name}/{number}/{NONE}")
        return {(row["user_id"], row["pair"]): (row["chosen"], row["rejected"]) for row in rows}


def _reading(
    reader: Reader,
    method: Method,
    record: UserRecord,
    texts: Mapping[tuple[str, str], str],
    donors: Mapping[str, Mapping[str, str]],
) -> Reading:
    writer = method.writer or ""
    user = donors[writer].get(record.user_id, "") if method.shuffled else record.user_id
    return reader.reading(method, record, texts.get((writer, user)))
