"""The model card says what was done and what came out, and nothing that nobody knows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from popi_sdk import ConfigurationError
from popi_sdk.data import open_data, tinyworld
from popi_sdk.evals import as_config, evaluate, write_report
from popi_sdk.evals.report.markdown import quoted
from popi_sdk.models.catalog import DEFAULT_MODEL
from popi_sdk.models.causal_lm import load_causal_lm
from popi_sdk.train import About, PopiTrainer, write_card
from popi_sdk.train.card import card


def front(text: str) -> dict:
    from huggingface_hub import ModelCard

    return ModelCard(text).data.to_dict()


def rows(text: str, heading: str) -> list[list[str]]:
    part = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_what_a_run_leaves_to_read(trainer, tmp_path: Path, tiny_folder: Path) -> None:
    built = trainer().train()
    folder = built.save_pretrained(tmp_path / "mine", about={"data": "tinyworld", "samples": 3})
    text = (folder / "README.md").read_text()
    assert front(text) == {
        "library_name": "popi-sdk",
        "pipeline_tag": "text-generation",
        "tags": ["popi", "personalization", "preference-summary", "lora"],
    }  # the base is a folder here, and neither licence nor language is guessed
    assert str(tiny_folder.parent) not in text
    assert "`tiny`" in text
    assert 'Personalizer.from_pretrained("mine")' in text
    facts = json.loads((folder / "popi.json").read_text())
    data = rows(text, "Data")
    assert [line[:5] for line in data] == [
        ["train", "tinyworld", "8", str(facts["data"][0]["pairs"]), "generated here by popi_sdk, nobody's data"],
        ["dev", "tinyworld", "4", str(facts["data"][1]["pairs"]), "generated here by popi_sdk, nobody's data"],
    ]
    assert data[0][5] == open_data("tinyworld", split="train", limit=8).digest()
    assert ["`group_size`", "3"] in rows(text, "Training")
    assert ["`adapters.rank`", "8"] in rows(text, "Training")
    scores = built.evaluate()
    assert [line[2] for line in rows(text, "Measured")] == [
        f"{100 * value:.1f}" for value in (scores.own, scores.shuffled, scores.frozen, scores.frozen_shuffled)
    ]
    assert f"A summary has {scores.tokens:.0f} tokens" in text
    samples = [" ".join(one.split()) for one in built.summaries(built.dev_examples[:3])]
    assert "\n".join(f"{number}. {one}" for number, one in enumerate(samples, 1)) in text
    assert "## Limits" in text
    assert "## Evaluated" not in text


def test_the_rows_of_an_evaluation(trainer, tmp_path: Path, tiny_folder: Path) -> None:
    folder = trainer().train().save_pretrained(tmp_path / "mine")
    config = as_config(
        data="tinyworld", limit=4, methods=(f"mine={folder}",), model=str(tiny_folder), dtype="float32", budget=4
    )
    results = write_report(evaluate(config, tmp_path / "run"))
    for report in (tmp_path / "run", tmp_path / "run" / "results.json"):
        text = write_card(folder, name="me/mine", report=report).read_text()
        found = {line[1]: line for line in rows(text, "Evaluated with popi eval")}
        assert set(found) == {f"`{row.row}`" for row in results.rows}
        assert found["`mine`"][2] == results.row("mine").accuracy.percent()
        assert found["`mine`"][3] == results.row("mine").personal.points()
        assert found["`mine`"][5] == quoted(results.row("mine")) != ""
        assert found["`mine:shuffled`"][5] == found["`none`"][5] == ""
        assert str(tmp_path) not in text
        assert text.startswith("---\n")
        assert "# me/mine\n" in text
    other = tmp_path / "other"
    other.mkdir()
    kept = json.loads((tmp_path / "run" / "results.json").read_text())
    kept["manifest"]["data"] |= {"name": "elsewhere", "users": 7}
    kept["extras"] = {"over_personalisation": {"sentence": "Of 9 tasks\n3 are right."}}
    (other / "results.json").write_text(json.dumps(kept))
    text = write_card(folder, report=[tmp_path / "run", other]).read_text()
    assert text.count("## Evaluated with popi eval") == 1
    assert text.index("On tinyworld, dev: 4 users") < text.index("On elsewhere, dev: 7 users")
    assert text.count("| `mine` |") == 2
    assert text.count("\nOf 9 tasks 3 are right.\n") == 1
    with pytest.raises(ConfigurationError, match=r"results\.json is no report of popi eval"):
        write_card(folder, report=[tmp_path / "run", tmp_path / "results.json"])
    with pytest.raises(ConfigurationError, match="Cannot write the card"):
        write_card(tmp_path / "nothing")


def test_what_is_told_and_what_the_data_says(small, tiny_folder: Path, tmp_path: Path) -> None:
    users = [one.model_copy(update={"meta": {"licence": "CC0-1.0"}}) for one in tinyworld.generate("train", 4)]
    built = PopiTrainer(small(steps=1), users, model=load_causal_lm(tiny_folder, dtype="float32")).train()
    about = About(data="own.jsonl", licence="apache-2.0", language="en")
    text = (built.save_pretrained(tmp_path / "mine", about=about) / "README.md").read_text()
    assert {"license": "apache-2.0", "language": "en"}.items() <= front(text).items()
    assert rows(text, "Data")[0][1] == "own.jsonl"
    assert rows(text, "Data")[0][4] == "CC0-1.0"
    assert "## Measured" not in text  # nobody was looked at
    assert "## What it writes" not in text
    with pytest.raises(ConfigurationError, match=r"about: license: Extra"):
        built.save_pretrained(tmp_path / "mine", about={"license": "mit"})


def test_several_data_sets(small, tiny_folder: Path, tmp_path: Path) -> None:
    users = [one.model_copy(update={"meta": {"licence": "CC0-1.0"}}) for one in tinyworld.generate("train", 4)]
    built = PopiTrainer(small(base_model=str(tiny_folder), steps=1), users)
    about = About(data=("tinyworld", "/home/me/own.jsonl"))
    text = (built.save_pretrained(tmp_path / "mine", about=about) / "README.md").read_text()
    assert "tinyworld, own.jsonl" in text
    assert "CC0-1.0; generated here" in text
    assert "/home/me" not in text


def test_a_file_of_ones_own_has_no_licence_that_anybody_knows(small, tiny_folder: Path, tmp_path: Path) -> None:
    users = list(tinyworld.generate("train", 4))
    built = PopiTrainer(small(steps=1), users, model=load_causal_lm(tiny_folder, dtype="float32")).train()
    text = (built.save_pretrained(tmp_path / "mine", about={"data": "users.jsonl"}) / "README.md").read_text()
    assert rows(text, "Data")[0][4] == "not stated"
    text = (built.save_pretrained(tmp_path / "mine") / "README.md").read_text()
    assert rows(text, "Data")[0][1] == "not stated"
    text = (built.save_pretrained(tmp_path / "mine", about={"data": "/home/me/tinyworld"}) / "README.md").read_text()
    assert rows(text, "Data")[0][1:5:3] == ["tinyworld", "not stated"]  # a path is no generated world
    assert "/home/me" not in text + (tmp_path / "mine" / "popi.json").read_text()


@pytest.mark.parametrize(("schedule", "reads"), [("population", "bare prompts"), ("raw-trained", "clipped signals")])
def test_a_rival_says_that_it_is_one(trainer, schedule: str, reads: str, tmp_path: Path) -> None:
    folder = trainer(schedule=schedule, adapters=None).train().save_pretrained(tmp_path / "rival")
    text = (folder / "README.md").read_text()
    assert reads in text
    assert f"--method {schedule}=rival" in text
    assert "from_pretrained" not in text
    assert "lora" not in front(text)["tags"]


def test_bases_that_the_hub_knows() -> None:
    facts = {"context": "summary", "budget": 64, "config": {"adapters": {"rank": 8}, "eval_users": 4}, "popi_sdk": "1"}
    text = card(facts | {"base_model": DEFAULT_MODEL.name}, "mine")
    assert front(text)["base_model"] == DEFAULT_MODEL.hub_repo
    assert "licence Apache-2.0" in text
    assert front(card(facts | {"base_model": "Org/Base-1B"}, "mine"))["base_model"] == "Org/Base-1B"
    whole = facts | {"base_model": "Org/Base-1B", "config": {"adapters": None}}
    assert front(card(whole, "mine"))["base_model_relation"] == "finetune"


def test_text_of_users_stays_text() -> None:
    facts = {"base_model": "a/b", "context": "summary", "budget": 64, "config": {"adapters": None}}
    table = {"side": "train", "name": "a|b", "users": 1, "pairs": 1, "licence": "", "digest": ""}
    nasty = "Short.\n```\n# Not a heading\n| a | b |"
    text = card(facts | {"samples": [nasty], "data": [table]}, "mine")
    assert "1. Short. ''' # Not a heading | a | b |\n```" in text
    assert "a\\|b" in text


def test_where_it_began_and_what_was_reinforced() -> None:
    config = {"schedule": "joint", "steps": 20, "warmup": 0.05, "warm_start": 8, "start": "me/first"}
    facts = {"base_model": "m", "context": "summary", "budget": 64, "popi_sdk": "0", "config": config}

    def first(**changes) -> str:
        return card(facts | {"config": config | changes}, "x").partition("\n# x\n\n")[2].partition(" (arXiv")[0]

    said = "Trained with popi_sdk 0 from `m`, schedule `joint`"
    assert first() == f"{said} (20 steps) after supervised steps: 8 of the inferrer, going on from `me/first`"
    assert first(start="/home/me/first", warm_start=0) == f"{said}, going on from `first`"
    idle = f"{said} (1 step at a rate of 0, so nothing was reinforced) after supervised steps: 8 of the inferrer"
    assert first(steps=1, start=None) == idle
    assert first(steps=1, start=None, warmup=0) == f"{said} (1 step) after supervised steps: 8 of the inferrer"
