"""A whole run: what moves, what is written, what is refused."""

from __future__ import annotations

import inspect
import json
import math
import re
from pathlib import Path

import pytest
import torch
from pydantic import BaseModel

from popi_sdk import ConfigurationError, Message, Personalizer, TrainingError
from popi_sdk.data import HeldOutPair, UserRecord, tinyworld
from popi_sdk.evals import as_config, evaluate, write_report
from popi_sdk.models.causal_lm import load_causal_lm
from popi_sdk.models.trained import read_trained
from popi_sdk.train import LoraSettings, PopiTrainer, StopSettings, TrainConfig, as_train_config, rollout
from popi_sdk.train.examples import batches
from popi_sdk.train.learner import GeneratorLearner


def weights(built) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in built.networks.inferrer.named_parameters()}


def test_two_joint_steps_move_both_adapters_and_no_base_weight(trainer) -> None:
    built = trainer()
    before = weights(built)
    built.train()
    after = weights(built)
    adapters = {name for name in before if "lora_" in name}
    assert {name.split(".")[-2] for name in adapters} == {"default", "generator"}
    assert {name for name in before if not torch.equal(before[name], after[name])} == adapters
    assert [entry["step"] for entry in built.history] == [1, 2]
    assert built.history[0]["inferrer/kl"] == pytest.approx(0, abs=1e-5)
    assert built.history[1]["inferrer/kl"] > 1e-3


def test_two_whole_networks(trainer) -> None:
    built = trainer(adapters=None)
    before, base = weights(built), [one.clone() for one in built.networks.anchor().parameters()]
    built.train()
    assert all(not torch.equal(value, before[name]) for name, value in weights(built).items() if "norm" not in name)
    assert all(torch.equal(one, two) for one, two in zip(base, built.networks.anchor().parameters(), strict=True))
    assert built.history[1]["inferrer/kl"] > 1e-3


def test_a_sequential_round_trains_one_after_the_other(trainer) -> None:
    built = trainer(schedule="sequential", rounds=2)
    built.train()
    assert [entry["phase"] for entry in built.history] == [
        *("inferrer 1", "inferrer 1", "generator 1", "generator 1"),
        *("inferrer 2", "inferrer 2", "generator 2", "generator 2"),
    ]
    assert "generator/loss" not in built.history[0]
    assert "reward/mean" not in built.history[2]


def test_summaries_are_written_for_those_alone_who_are_drawn(trainer, monkeypatch) -> None:
    built = trainer(schedule="sequential", steps=2, rounds=2)
    written, read, most = {}, [], set()
    sample, learn = rollout.sample_summaries, GeneratorLearner.learn

    def noting(networks, encoder, examples, *, count, **options):
        found = sample(networks, encoder, examples, count=count, **options)
        if count == 1 and options["temperature"]:
            texts = {one.user_id: row[0].text for one, row in zip(examples, found, strict=True)}
            written[options["seed"]] = texts
            most.add(options["at_once"])
        return found

    monkeypatch.setattr("popi_sdk.train.trainer.sample_summaries", noting)
    monkeypatch.setattr(GeneratorLearner, "learn", lambda self, judged: read.extend(judged) or learn(self, judged))
    built.train()
    order = batches(len(built.train_examples), built.config)
    drawn = [built.train_examples[at].user_id for at in [*next(order), *next(order)]]
    assert len(drawn) == 4 < len(built.train_examples)
    assert list(written) == ["0/generator 1", "0/generator 2"]
    assert most == {built.config.users_per_step * built.config.group_size}
    assert all(texts.keys() == set(drawn) for texts in written.values())
    assert [one.context for one in read] == [texts[user] for texts in written.values() for user in drawn]
    assert all(one.context for one in read)


@pytest.mark.parametrize(("schedule", "context"), [("population", "none"), ("raw-trained", "signals")])
def test_rivals_train_the_generator_alone(trainer, schedule: str, context: str, tmp_path: Path) -> None:
    built = trainer(schedule=schedule)
    before = weights(built)
    built.train()
    moved = {name for name, value in weights(built).items() if not torch.equal(before[name], value)}
    assert moved == {name for name in before if ".generator." in name}
    saved = read_trained(schedule, built.save_pretrained(tmp_path / "rival"))
    assert (saved.context, saved.inferrer, saved.generator) == (context, None, "generator")
    with pytest.raises(ConfigurationError, match="no inferrer"):
        Personalizer(f"trained:{tmp_path / 'rival'}", "local")


@pytest.mark.parametrize("adapters", [True, False])
def test_what_is_saved_is_what_was_trained(trainer, adapters: bool, tmp_path: Path, tiny_folder: Path) -> None:
    built = trainer(**({} if adapters else {"adapters": None}), inferrer_lr=0.001, generator_lr=0.001).train()
    folder = built.save_pretrained(tmp_path / "mine")
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "generator", "inferrer", "popi.json"]
    facts = json.loads((folder / "popi.json").read_text())
    assert (facts["base_model"], facts["budget"], facts["config"]["steps"]) == (str(tiny_folder), 4, 2)

    records = list(tinyworld.generate("dev", 4))
    expected = built.summaries(built.dev_examples)
    with Personalizer.from_pretrained(folder, options={"max_tokens": 5}) as popi:
        assert popi.budget == 4
        assert [popi.infer(record.signals).text for record in records] == expected
        assert popi.personalize(records[0].signals, records[0].pairs[0].prompt).text
    with Personalizer(f"trained:{folder}", f"hf:{tiny_folder}", budget=4) as popi:
        assert popi.infer(records[0].signals).text == expected[0]

    own = built.evaluate()
    config = as_config(
        data="tinyworld", limit=4, methods=(f"mine={folder}",), model=str(tiny_folder), dtype="float32", budget=4
    )
    results = write_report(evaluate(config, tmp_path / "run"))
    assert {"none", "mine", "mine:shuffled", "mine:frozen"} <= {row.row for row in results.rows}
    # The looks on the way and `popi eval` are one measurement.
    assert results.row("mine").accuracy.mean == pytest.approx(own.own, abs=1e-6)
    assert results.row("mine:frozen").accuracy.mean == pytest.approx(own.frozen, abs=1e-6)


def test_a_directory_of_something_else_is_left_alone(trainer, tmp_path: Path) -> None:
    built = trainer()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "todo.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="no trained model"):
        built.save_pretrained(tmp_path / "notes")
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]
    first = built.save_pretrained(tmp_path / "model")
    assert built.save_pretrained(first) == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "notes"]


def test_the_same_seed_gives_the_same_run(trainer) -> None:
    first, second, other = (trainer(seed=seed).train().history for seed in (0, 0, 1))
    assert first == second
    assert first != other


def user(name: str, **fields) -> UserRecord:
    pair = HeldOutPair(prompt="show the river at dusk", chosen="tiny river dusk", rejected="big river dusk")
    return UserRecord(**{"user_id": name, "signals": ["small please"], "pairs": [pair], **fields})


def test_users_with_one_pair_and_what_is_too_long(lm, small) -> None:
    long = HeldOutPair(prompt="show the river", chosen="tiny " * 3_000, rejected="big")
    users = [user("one"), user("two", pairs=[long]), user("three", pairs=[long, *user("x").pairs])]
    built = PopiTrainer(small(), users, model=lm)
    assert [(one.user_id, len(one.pairs)) for one in built.train_examples] == [("one", 1), ("three", 1)]
    assert built.encoder.left_out == {
        "pairs that do not fit the model": 2,
        "users without a pair that fits the model": 1,
    }
    built.train()
    assert len(built.history) == 2


def test_what_is_too_long_behind_the_signals(lm, small) -> None:
    """It fits behind a summary, and with the signals themselves it does not."""
    spare = lm.max_length - len(lm.encode_prompt([Message(role="user", content="show the river at dusk")])) - 90
    long = HeldOutPair(prompt="show the river at dusk", chosen="tiny " * spare, rejected="big")
    said = [f"small please {number}" for number in range(40)]
    users = [user("one", signals=said), user("two", signals=said, pairs=[long, *user("x").pairs])]
    assert PopiTrainer(small(schedule="population"), users, model=lm).encoder.left_out == {}
    lm = load_causal_lm(lm.name, dtype="float32")
    built = PopiTrainer(small(schedule="raw-trained"), users, model=lm)
    assert built.encoder.left_out == {"pairs that do not fit the model behind the signals": 1}
    assert [len(one.pairs) for one in built.train_examples] == [1, 1]
    built.train()
    assert len(built.history) == 2


@pytest.mark.parametrize("who", ["inferrer", "generator"])
def test_weights_that_are_no_numbers_end_the_run(trainer, who: str) -> None:
    built = trainer(steps=3)
    built.train_examples = built.train_examples[:2]
    before = weights(built)
    with torch.no_grad():
        name = next(name for name in before if f".{'default' if who == 'inferrer' else who}." in name)
        dict(built.networks.inferrer.named_parameters())[name].fill_(math.nan)
        built.networks.untouched = False
    with pytest.raises(TrainingError, match="nan"):
        built.train()
    assert built.history == []
    after = weights(built)
    kept = [one for one in before if f".{'default' if who == 'inferrer' else who}." in one and one != name]
    assert kept
    assert all(torch.equal(before[one], after[one]) for one in kept), "it learnt nothing"


def test_nothing_to_train_with(lm, small) -> None:
    with pytest.raises(TrainingError, match="there are no users"):
        PopiTrainer(small(), [], model=lm)
    with pytest.raises(TrainingError, match="1 users whose signals do not fit input_budget"):
        PopiTrainer(small(input_budget=1), [user("one")], model=lm)
    with pytest.raises(ConfigurationError, match="'one' is in train and in dev"):
        PopiTrainer(small(), [user("one")], [user("one"), user("two")], model=lm)
    with pytest.raises(ConfigurationError, match="one user alone is looked at, 'two', and nobody's summary"):
        PopiTrainer(small(), [user("one")], [user("two")], model=lm)
    with pytest.raises(TrainingError, match="gold description"):
        PopiTrainer(small(warm_start=1), [user("one"), user("two")], model=lm).train()
    with pytest.raises(ConfigurationError, match="carries adapters already"):
        PopiTrainer(small(), [user("one")], model=lm)
    with pytest.raises(ConfigurationError, match="no dev users"):
        PopiTrainer(small(adapters=None), [user("one")], model=lm).evaluate()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps"),
        ({"schedule": "both"}, "schedule"),
        ({"group_size": 1}, "group_size"),
        ({"summaries_for_generator": 9}, "more than group_size=8"),
        ({"rounds": 2}, "rounds belongs to"),
        ({"schedule": "population", "warm_start": 1}, "schedule='population' reads none"),
        ({"schedule": "raw-trained", "warm_start_generator": 1}, "schedule='raw-trained' reads none"),
        ({"betta": 1}, "betta"),
    ],
)
def test_a_wrong_option_is_named(options: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        as_train_config(**options)


def test_the_papers_recipe() -> None:
    recipe = TrainConfig.paper(steps=10)
    assert (recipe.schedule, recipe.adapters, recipe.beta, recipe.kl) == ("sequential", None, 0.01, 0.002)
    assert (recipe.group_size, recipe.temperature, recipe.pairs_per_summary, recipe.steps) == (8, 0.6, 1, 10)
    assert (recipe.objective, recipe.users_per_step, recipe.summaries_for_generator) == ("dpo", 8, 1)
    assert recipe.inferrer_lr == recipe.generator_lr == 1e-6
    assert recipe.reward_frozen == recipe.entropy_bonus == recipe.overlap_penalty == recipe.length_penalty == 0
    assert recipe.generator_contrast == recipe.generator_likelihood == 0
    assert recipe.warm_start == recipe.warm_start_generator == 0
    assert recipe.length_normalised is recipe.reward_over_empty is recipe.keep_best is False
    assert recipe.stop is None
    theirs = {"dtype", "device", "token_budget", "base_model", "start", "seed", "save_every"}  # of no recipe
    free = {name for name in TrainConfig.model_fields if name.startswith(("eval_", "warm_start_"))} - {
        "warm_start_generator"
    }
    sizes = {"budget", "input_budget", "entropy_floor", "max_grad_norm"}  # said nowhere, or without a part in it
    said = TrainConfig.paper().model_fields_set
    assert set(TrainConfig.model_fields) - said == theirs | free | sizes, "what it leaves to our defaults"
    assert (TrainConfig.paper().steps, TrainConfig.paper().warmup * TrainConfig.paper().steps) == (2500, 150)
    assert as_train_config(preset="paper", steps=10) == recipe
    with pytest.raises(ConfigurationError, match="no preset 'popi'"):
        as_train_config(preset="popi")


@pytest.mark.parametrize("settings", [TrainConfig, LoraSettings, StopSettings])
def test_every_option_is_explained(settings: type[BaseModel]) -> None:
    explained = re.findall(r"^    {0,4}(\w+): ", inspect.getdoc(settings) or "", re.MULTILINE)
    assert explained == list(settings.model_fields), "in the order of the class"


def test_the_history_has_the_warm_start_and_some_summaries(tiny_folder: Path, small, tmp_path: Path) -> None:
    seen = []
    built = PopiTrainer(
        small(base_model=str(tiny_folder), dtype="float32", warm_start=3),
        tinyworld.generate("train", 8),
        tinyworld.generate("dev", 4),
        output=tmp_path / "mine",
        progress=seen.append,
    )
    built.train()
    assert [(entry["phase"], entry["step"]) for entry in seen] == [
        *(("warm start", 1), ("warm start", 2), ("warm start", 3)),
        *(("joint", 1), ("joint", 2)),
    ]
    assert seen[2]["warm/loss"] < seen[0]["warm/loss"]
    assert seen[-1]["dev/samples"] == built.summaries(built.dev_examples[:3])
    lines = (tmp_path / "mine" / "run" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == seen == built.history
    facts = json.loads((built.save_pretrained(tmp_path / "mine") / "popi.json").read_text())
    assert facts["dev"]["dev/own"] == seen[-1]["dev/own"]
    assert "dev/samples" not in facts["dev"]  # nobody asked to publish what is said of users


def test_the_generator_learns_to_follow_gold_descriptions(trainer, monkeypatch) -> None:
    from popi_sdk.train.learner import GeneratorLearner

    seen: list[tuple[str, int]] = []
    learn = GeneratorLearner.learn
    monkeypatch.setattr(
        GeneratorLearner, "learn", lambda self, judged: seen.extend((one.context, len(one.pairs)) for one in judged)
        or learn(self, judged)
    )  # fmt: skip
    built = trainer(warm_start_generator=12, warm_start_users=4, steps=1, generator_lr=0.02)
    inferrer = [one.detach().clone() for one in built.networks.inferrer.parameters() if one.requires_grad]
    before = [one.detach().clone() for one in built.networks.generator_parameters()]
    built._phase("generator warm start", built._follow_gold)
    assert seen[:4] != seen[4:8]
    assert {context for context, _ in seen} == {one.gold for one in built.train_examples}
    assert {pairs for _, pairs in seen} == {built.config.pairs_per_summary}
    after = [one for one in built.networks.inferrer.parameters() if one.requires_grad]
    assert all(torch.equal(one, two) for one, two in zip(inferrer, after, strict=True))
    assert not any(
        torch.equal(one, two) for one, two in zip(before, built.networks.generator_parameters(), strict=True)
    )
    losses = [entry["generator/loss"] for entry in built.history]
    assert [entry["step"] for entry in built.history] == list(range(1, 13))
    assert sum(losses[-3:]) < sum(losses[:3])
    assert "dev/own" in built.history[-1]


@pytest.mark.parametrize("phase", ["warm_start", "warm_start_generator"])
def test_a_warm_start_needs_descriptions_that_fit(phase: str, lm, small) -> None:
    users = [user("one"), user("two", gold="The user likes small things, and says so at every turn.")]
    with pytest.raises(TrainingError, match="gold description of at most 4 tokens"):
        PopiTrainer(small(**{phase: 1}), users, model=lm).train()


def test_phases_are_announced_before_their_first_step(tiny_folder: Path, small, tmp_path: Path) -> None:
    """A step may take a minute: who watches knows at once what is being done, and where a resumed run goes on."""

    class Killed(BaseException):
        pass

    def built(kill: int | None = None) -> PopiTrainer:
        def progress(entry: dict) -> None:
            seen.append((entry["phase"], entry["step"], "done"))
            if entry["phase"] == "joint" and entry["step"] == kill:
                raise Killed

        return PopiTrainer(
            small(steps=4, save_every=2, warm_start=1, dtype="float32"),
            tinyworld.generate("train", 8),
            model=load_causal_lm(tiny_folder, dtype="float32"),
            output=tmp_path / "mine",
            progress=progress,
            began=lambda phase, done: seen.append((phase, done, "begins")),
        )

    seen: list[tuple[str, int, str]] = []
    with pytest.raises(Killed):
        built(kill=3).train()
    assert seen[:3] == [("warm start", 0, "begins"), ("warm start", 1, "done"), ("joint", 0, "begins")]
    seen.clear()
    built().train(resume=True)
    assert seen == [("joint", 2, "begins"), ("joint", 3, "done"), ("joint", 4, "done")]
