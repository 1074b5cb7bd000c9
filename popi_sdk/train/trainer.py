"""`PopiTrainer`: both models of POPI, trained under one preference objective."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError, TrainingError, needs_extra
from ..evals.config import machine_facts
from ..models.fingerprint import base_digest
from ..prompts import Selection
from ..summary import digest
from .board import board_for
from .checkpoint import Checkpoints, alone_in
from .config import TrainConfig
from .dev import DevScores, look_at_dev
from .examples import Encoder, Example
from .export import RUN, write_trained
from .facts import About, as_about, data_facts, named
from .hub import push_to_hub
from .learner import GeneratorLearner, scored
from .networks import Networks, build_networks
from .processes import join
from .reference import References
from .reinforce import reinforce
from .rollout import sample_summaries
from .start import as_it_was, start_from
from .stopping import Watch
from .teach import drawn_in, teach
from .warmstart import described, warm_start

if TYPE_CHECKING:
    from ..data.record import UserRecord
    from ..models.causal_lm import CausalLM

__all__ = ["PopiTrainer"]


class PopiTrainer:
    """Trains an inferrer and a generator on users with held-out pairs (arXiv 2510.17881).

    Args:
        config: What to do.
        train: Users to learn from.
        dev: Other users, to look at on the way; none for none.
        model: A base model that is loaded, instead of `config.base_model`; it is trained in place.
        output: Where the trained model will go: history and references are kept in `run/` there; None for nowhere.
        progress: Called with every entry of the history, by the main process.
        began: Called when a phase begins, with its name and the steps that an earlier run has done; by the main
            process.
        tensorboard: Whether the figures are written as TensorBoard events too, into `run/tensorboard/` of the output;
            or the folder they go to.

    Attributes:
        history: What was measured, by step.
        kept: The entry of the look at dev that belongs to the weights; None if there was none.

    Raises:
        TrainingError: If no user is left to train with.
        ConfigurationError: If users of train and dev are the same, dev has one user alone, or a step's users cannot be
            shared out among the processes that were started, or `tensorboard` has no folder to write to.
        MissingExtraError: If `tensorboard` is asked for and not installed.
    """

    def __init__(
        self,
        config: TrainConfig,
        train: Iterable[UserRecord],
        dev: Iterable[UserRecord] = (),
        *,
        model: CausalLM | None = None,
        output: str | Path | None = None,
        progress: Callable[[dict[str, Any]], object] = lambda _: None,
        began: Callable[[str, int], object] = lambda *_: None,
        tensorboard: bool | str | Path = False,
    ) -> None:
        with needs_extra("train"):
            import trl  # noqa: F401
        from ..models.causal_lm import load_causal_lm

        self.config = config = as_it_was(config)
        self.output = None if output is None else Path(output).expanduser()
        run = None if self.output is None else self.output / RUN
        self.progress = progress
        self.began = began
        self._board = board_for(tensorboard, run)
        self.history: list[dict[str, Any]] = []
        self.checkpoints = Checkpoints(None, every=config.save_every, settings={}, resume=False)
        self.kept: dict[str, Any] | None = None
        self._recorded: list[dict[str, Any]] = []
        self.processes = join(config.device)
        for users in {config.users_per_step, config.warm_start_users or config.users_per_step}:
            self.processes.share(range(users))
        device = self.processes.device(config.device)
        lm = model or self.processes.main_first(
            lambda: load_causal_lm(config.base_model, dtype=config.dtype, device=device)
        )
        self.identity = lm.identity
        self._base = config.base_model or lm.name
        self.base_digest = base_digest(self._base) if lm.folder else None  # before training, which may be in place
        sizes = {"budget": config.budget, "input_budget": config.input_budget}
        self.encoder = Encoder(lm, **sizes, signals=config.reads == "signals")
        train_records, dev_records = list(train), list(dev)
        self.data = [data_facts("train", train, train_records), data_facts("dev", dev, dev_records)]
        self.train_examples = self.encoder.examples(train_records)
        self.dev_examples = self._looked_at(dev_records)
        self._watch = self._watching()
        shared = {one.user_id for one in self.train_examples} & {one.user_id for one in dev_records}
        if shared:
            raise ConfigurationError(
                f"User {min(shared)!r} is in train and in dev: what is measured must be new users."
            )
        self.references = References(self.identity, run, self.processes)
        self.networks: Networks = build_networks(lm, config)
        if config.start is not None:
            start_from(self.networks, config.start, config, base=self._base if self.base_digest else None)

    def train(self, *, resume: bool = False) -> PopiTrainer:
        """Run the whole schedule.

        Args:
            resume: Go on from the last checkpoint in the output directory; at most `save_every` steps were lost.

        Raises:
            TrainingError: If a log-probability, reward, loss or gradient is not finite, `warm_start` finds no
                descriptions, a checkpoint is that of another run or cannot be read or written, or another process
                trains into the same directory.
        """
        run = None if self.output is None else self.output / RUN
        with ExitStack() as held:
            if run is not None:
                self.processes.from_main(lambda: held.enter_context(alone_in(run)))
            self.checkpoints = Checkpoints(
                run, every=self.config.save_every, settings=self._settings(), resume=resume, processes=self.processes
            )
            self._recorded = self.checkpoints.history()
            held.enter_context(closing(self._board))
            held.enter_context(scored())
            self._run()
        return self

    def _run(self) -> None:
        work: dict[str, Callable[[str], None]] = {
            "warm start": self._start_warm,
            "generator warm start": self._follow_gold,
            "joint": lambda phase: self._reinforce(phase, learn=True),
            "inferrer": lambda phase: self._reinforce(phase, learn=False),
            "generator": lambda phase: self._teach(phase, self._sampled(phase)),
            "population": lambda phase: self._teach(phase, [""] * len(self.train_examples)),
            "raw-trained": lambda phase: self._teach(phase, [one.selection for one in self.train_examples]),
        }
        for phase in self.config.phases:
            self._phase(phase, work[phase.rstrip(" 0123456789")])  # of several rounds the names are numbered
            if phase == "warm start" and self.config.kl:
                self.networks.keep_anchor()  # the base writes no descriptions: a divergence from it would lead back

    def evaluate(self) -> DevScores:
        """Accuracy on the dev users as it is now: own, another user's, and the frozen base's.

        Raises:
            ConfigurationError: If there are no dev users.
        """
        if not self.dev_examples:
            raise ConfigurationError("There are no dev users to look at: give dev=.")
        return look_at_dev(self.networks, self._learner(1), self.dev_examples, self.config)

    def summaries(self, examples: Sequence[Example]) -> list[str]:
        """The most likely summary of each user, as the inferrer is now; empty where it says nothing."""
        if not examples:
            return []
        rows = sample_summaries(self.networks, self.encoder, examples, count=1, temperature=0.0, seed="greedy")
        return [row[0].text for row in rows]

    def save_pretrained(self, directory: str | Path, *, about: About | dict[str, Any] | None = None) -> Path:
        """Write `inferrer/`, `generator/`, `popi.json` and the model card.

        Args:
            directory: Where.
            about: What only you know, for the card: names and licences, see `About`.

        Returns:
            The directory: for `Personalizer.from_pretrained`, and as a row of `popi eval`: `--method NAME=DIR`.

        Raises:
            ConfigurationError: If it holds something else, or cannot be written.
            TrainingError: If there are weights that are no numbers.
        """
        said = as_about(about)
        context = self.config.reads
        parts = {"generator": self.networks.save_generator}
        if context == "summary":
            parts["inferrer"] = self.networks.save_inferrer
        facts = {
            "base_model": str(Path(self._base).resolve()) if Path(self._base).exists() else self._base,
            "base_digest": self.base_digest,
            "context": context,
            "budget": self.config.budget,
            "input_budget": self.config.input_budget,
            "config": self.config.model_dump(mode="json"),
            "about": said.model_dump(include={"licence", "language"}),
            "data": [named(one, said) for one in self.data if one["users"]],
            "dev": self._kept_look(),
            "samples": self.summaries(self.dev_examples[: said.samples]) if context == "summary" else [],
            **machine_facts(),
        }
        self._refuse_what_is_no_number()
        return self.processes.from_main(lambda: write_trained(Path(directory).expanduser(), parts, facts))

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | None = None,
        about: About | dict[str, Any] | None = None,
    ) -> str:
        """Write the model into the output directory, or a temporary one, and upload it: see `push_to_hub`.

        Args:
            repo_id: `owner/name`; made if it is not there.
            private: Whether others may not see it, where it is made; None for the owner's default.
            token: With write access; None for HF_TOKEN, or what `hf auth login` kept.
            about: As for `save_pretrained`.

        Returns:
            Where it is.

        Raises:
            PopiError: As `save_pretrained` and `push_to_hub`.
        """
        with tempfile.TemporaryDirectory() as temp:
            folder = self.save_pretrained(self.output or Path(temp) / repo_id.rpartition("/")[2], about=about)
            return self.processes.from_main(lambda: push_to_hub(folder, repo_id, private=private, token=token))

    def _phase(self, name: str, work: Callable[[str], None]) -> None:
        """Do it, unless an earlier run did; what is recorded of it begins where its checkpoint is."""
        earlier = [entry for entry in self._recorded if entry["phase"] == name]
        self._watch = self._watching()
        if self.checkpoints.restore(name, self.networks):
            self.history += earlier
            self._watch.replay(earlier)
            self._keep(self._watch.best if self.config.keep_best else None)
            return
        found = self.checkpoints.latest(name)
        done = int(found[0].name.rpartition("-")[2]) if found else 0
        earlier = [entry for entry in earlier if entry["step"] <= done]
        self.history += earlier
        self._watch.replay(earlier)
        self.checkpoints.keep_history(self.history)
        with self.processes.together():
            if self.processes.main:
                self.began(name, done)
        if found and earlier and "stopped" in earlier[-1] and earlier[-1]["step"] == done:
            self.networks.load_state_dict(found[1]["networks"])  # it had ended, and was killed before that was kept
        else:
            work(name)
        best = self._watch.best if self.config.keep_best else None
        kept = best is not None and self.checkpoints.restore_best(name, best["step"], self.networks)
        self._keep(best if kept else None)
        self.checkpoints.finish(name, self.networks)

    def _watching(self) -> Watch:
        share = self.config.reward_frozen if self.config.reads == "summary" else 0.0
        return Watch(self.config.stop, share, pairs=sum(len(one.pairs) for one in self.dev_examples))

    def _keep(self, best: Mapping[str, Any] | None) -> None:
        """Say which look the weights are those of: the best one, or that of the last step, if it had one."""
        entry = best or (self.history[-1] if self.history else {})
        self.kept = dict(entry) if "dev/own" in entry else None

    def _refuse_what_is_no_number(self) -> None:
        import torch

        parts = [part for name, part in self.networks.state_dict().items() if name != "untouched"]
        if not all(torch.isfinite(value).all() for part in parts for value in part):
            raise TrainingError("There are weights that are no numbers, and nothing is written. Lower the rates.")

    def _looked_at(self, records: Sequence[UserRecord]) -> list[Example]:
        """The dev users that fit, up to `eval_users`, with their first `eval_pairs` pairs."""
        if not records:
            return []
        users, pairs = self.config.eval_users, self.config.eval_pairs
        cut = [one.model_copy(update={"pairs": one.pairs[:pairs]}) for one in records[:users]]
        found = self.encoder.examples(cut)
        if len(found) == 1:
            raise ConfigurationError(
                f"Of dev one user alone is looked at, {found[0].user_id!r}, and nobody's summary could be the control. "
                "Give two or more that fit, and eval_users=2 or more; or no dev users."
            )
        return found

    def _kept_look(self) -> dict[str, Any] | None:
        """Its figures alone: how many summaries of users are published, `About.samples` says."""
        return self.kept and {name: value for name, value in self.kept.items() if name != "dev/samples"}

    def _settings(self) -> dict[str, Any]:
        """What has to be the same for a run to go on."""
        users = digest(*(one.user_id for one in self.train_examples))
        data = [one["digest"] for one in self.data]  # of all that the users said, on both sides
        return {"model": self.identity, "users": users, "data": data, "config": self.config.model_dump(mode="json")}

    def _learner(self, steps: int) -> GeneratorLearner:
        return GeneratorLearner(
            self.networks,
            self.config,
            self.encoder,
            self.references,
            steps=steps,
            processes=self.processes,
            token_budget=self.config.token_budget,
        )

    def _start_warm(self, phase: str) -> None:
        warm_start(
            self.networks,
            self.encoder,
            self.train_examples,
            self.config,
            lambda step, figures: self._note({"phase": phase, "step": step, **figures}),
            phase=phase,
            checkpoints=self.checkpoints,
            processes=self.processes,
        )

    def _follow_gold(self, phase: str) -> None:
        examples = described(self.encoder, self.train_examples)
        self._teach(phase, [one.gold or "" for one in examples], examples, users=self.config.warm_start_users)

    def _reinforce(self, phase: str, *, learn: bool) -> None:
        learner = self._learner(self.config.phases[phase])
        reinforce(
            self.networks,
            learner,
            self.train_examples,
            self.config,
            lambda step, figures: self._record(phase, step, figures, learner),
            learn=learn,
            phase=phase,
            checkpoints=self.checkpoints,
        )

    def _teach(
        self,
        phase: str,
        contexts: Sequence[str | Selection],
        examples: Sequence[Example] | None = None,
        users: int | None = None,
    ) -> None:
        learner = self._learner(self.config.phases[phase])
        teach(
            learner,
            examples or self.train_examples,
            contexts,
            self.config,
            lambda step, figures: self._record(phase, step, figures, learner),
            phase=phase,
            users=users,
            checkpoints=self.checkpoints,
        )

    def _sampled(self, phase: str) -> list[str]:
        """For each user whom the phase draws a summary by the inferrer as it is; empty for the others.

        Sampled again, they are the same.
        """
        config = self.config
        drawn = drawn_in(phase, len(self.train_examples), config)
        said: dict[str, Any] = {"count": 1, "temperature": config.temperature, "seed": f"{config.seed}/{phase}"}
        said["at_once"] = config.users_per_step * config.group_size  # as many as a step of the inferrer
        users = [self.train_examples[at] for at in drawn]
        rows = self.processes.spread(users, lambda some: sample_summaries(self.networks, self.encoder, some, **said))
        written = {at: row[0].text for at, row in zip(drawn, rows, strict=True)}
        return [written.get(at, "") for at in range(len(self.train_examples))]

    def _record(self, phase: str, step: int, figures: dict[str, Any], learner: GeneratorLearner) -> bool:
        """Note a step; whether the phase ends with it."""
        entry: dict[str, Any] = {"phase": phase, "step": step, **figures}
        every = self.config.eval_every
        last = step == self.config.phases[phase]
        if self.dev_examples and (last or (every and step % every == 0)):
            entry |= look_at_dev(self.networks, learner, self.dev_examples, self.config).as_metrics()
        reason = self._watch.see(entry)
        if self._watch.best is entry and self.config.keep_best:
            self.checkpoints.keep_best(phase, step, self.networks)
        if reason is not None:
            entry["stopped"] = reason
        self._note(entry)
        return reason is not None

    def _note(self, entry: dict[str, Any]) -> None:
        """Into the history, onto the disk, to whoever follows."""
        self.history.append(entry)
        self.checkpoints.record(entry)
        with self.processes.together():
            if self.processes.main:
                self._board.add(self.history)
                self.progress(entry)
