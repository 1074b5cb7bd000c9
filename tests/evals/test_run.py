"""A whole evaluation on tiny models: what is computed, that a killed run ends the same, what is refused."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from popi_sdk import ConfigurationError, DataError, GenerationOptions, PreferencePair, ScoringError
from popi_sdk.data import HeldOutPair, UserRecord, open_data, write_users
from popi_sdk.data.tinyworld import save_tiny_model
from popi_sdk.evals import as_config, evaluate, read_results, write_report
from popi_sdk.evals.journal import Journal, read_rows
from popi_sdk.evals.manifest import ITEMS, MANIFEST, SUMMARIES
from popi_sdk.evals.run import CHUNK
from popi_sdk.models._lock import file_lock
from popi_sdk.models.causal_lm import load_causal_lm
from popi_sdk.prompts import render_plain, render_with_summary
from popi_sdk.scoring import Query, score_naive

USERS = CHUNK + 4  # two chunks


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_model(tmp_path_factory.mktemp("models") / "first", seed=1))


@pytest.fixture(scope="module")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_model(tmp_path_factory.mktemp("models") / "second", seed=2))


@pytest.fixture
def config(model: str) -> Callable[..., Any]:
    def build(**changes: Any) -> Any:
        values = {"data": "tinyworld", "limit": USERS, "methods": ("raw", "heuristic", "gold"), "model": model}
        return as_config(**values | changes)

    return build


def items(folder: Path) -> list[dict[str, Any]]:
    return list(read_rows(folder / ITEMS))


def test_every_row_has_every_pair_and_delta_is_what_the_method_says(tmp_path: Path, config, model: str) -> None:
    folder = evaluate(config(), tmp_path / "run")
    rows = items(folder)
    users = {record.user_id: record for record in open_data("tinyworld", limit=USERS)}
    pairs = sum(len(record.pairs) for record in users.values())
    by_row: dict[str, list[dict]] = {}
    for row in rows:
        by_row.setdefault(row["row"], []).append(row)
    assert {name: len(found) for name, found in by_row.items()} == dict.fromkeys(
        ["none", "raw", "heuristic", "heuristic:shuffled", "gold", "gold:shuffled"], pairs
    )
    assert {row["delta"] for row in by_row["none"]} == {0.0}
    assert {row["credit"] for row in by_row["none"]} == {0.5}
    texts = {(row["writer"], row["user_id"]): row["text"] for row in read_rows(folder / SUMMARIES)}
    lm = load_causal_lm(model, dtype="float32")
    for row in by_row["gold"][::17]:
        record = users[row["user_id"]]
        pair = record.pairs[row["pair"]]
        summary = texts["gold", record.user_id]
        assert summary == record.gold

        def margin(messages: list, pair: HeldOutPair = pair) -> float:
            responses = tuple(tuple(lm.encode_response(text)) for text in (pair.chosen, pair.rejected))
            chosen, rejected = score_naive(lm.model, [Query(tuple(lm.encode_prompt(messages)), responses)])[0]
            return (chosen - rejected).item()

        expected = margin(render_with_summary(pair.prompt, summary)) - margin(render_plain(pair.prompt))
        assert row["delta"] == pytest.approx(expected, rel=1e-6, abs=2e-4)
    assert all(row["context_tokens"] > 0 for row in by_row["heuristic"])
    assert all(row["signals_used"] == row["signals_total"] for row in by_row["raw"])


def test_the_model_is_asked_for_summaries_and_what_it_cannot_say_counts_half(tmp_path: Path, config) -> None:
    folder = evaluate(config(methods=("prompted",), limit=6, budget=12), tmp_path / "run")
    written = list(read_rows(folder / SUMMARIES))
    assert [row["writer"] for row in written] == ["prompted"] * 6
    assert all(row["tokens"] <= 12 for row in written if "text" in row)
    failed = {row["user_id"] for row in written if "error" in row}
    for row in items(folder):
        if row["row"] == "prompted" and row["user_id"] in failed:
            assert (row["credit"], row["context_tokens"]) == (0.5, 0)
    facts = read_results(folder).row("prompted").summaries
    assert facts is not None
    assert (facts.users, facts.failed) == (6, len(failed))


def test_a_trained_inferrer_writes_for_its_own_and_for_the_frozen_generator(tmp_path: Path, config) -> None:
    for part, seed in {"inferrer": 5, "generator": 6}.items():
        save_tiny_model(tmp_path / "popi" / part, seed=seed)
    manifest = {"format": 1, "base_model": "x", "inferrer": "inferrer", "generator": "generator", "budget": 16}
    (tmp_path / "popi" / "popi.json").write_text(json.dumps(manifest))
    folder = evaluate(config(methods=(f"joint={tmp_path / 'popi'}", "gold"), limit=4), tmp_path / "run")
    results = read_results(folder)
    own = ["joint", "joint:frozen", "joint:gold", "gold"]
    assert [row.row for row in results.rows] == ["none", *(row for name in own for row in (name, f"{name}:shuffled"))]
    assert results.row("joint:frozen").summaries == results.row("joint").summaries
    assert results.row("joint:gold").summaries == results.row("gold").summaries
    deltas = {name: [row["delta"] for row in items(folder) if row["row"] == name] for name in own}
    assert deltas["joint"] != deltas["joint:frozen"]
    assert deltas["joint:gold"] != deltas["gold"]


def test_tasks_are_answered_by_the_trained_generator_with_its_inferrers_summaries(
    tmp_path, config, monkeypatch
) -> None:
    few = GenerationOptions(max_tokens=2, temperature=0)
    monkeypatch.setattr("popi_sdk.evals.overpersonalisation.OPTIONS", few)
    for part, seed in {"inferrer": 5, "generator": 6}.items():
        save_tiny_model(tmp_path / "popi" / part, seed=seed)
    manifest = {"format": 1, "base_model": "x", "inferrer": "inferrer", "generator": "generator", "budget": 16}
    (tmp_path / "popi" / "popi.json").write_text(json.dumps(manifest))
    methods = ("heuristic", f"joint={tmp_path / 'popi'}")
    folder = evaluate(config(methods=methods, limit=2, over_personalisation=True), tmp_path / "run")
    found = json.loads((folder / "extras.json").read_text())["over_personalisation"]
    assert found["writer"] == "joint"
    assert str(tmp_path / "popi" / "generator") in found["model"]


def test_the_control_reads_the_summary_of_somebody_else(tmp_path: Path, config, monkeypatch) -> None:
    from popi_sdk.evals import readers

    shown: list[str | None] = []
    original = readers.Reader.reading

    def watch(self, method, record, summary):
        if method.shuffled:
            assert summary is not None
            assert record.gold is not None
            shown.append(summary)
        return original(self, method, record, summary)

    monkeypatch.setattr(readers.Reader, "reading", watch)
    folder = evaluate(config(methods=("gold",)), tmp_path / "run")
    own = {row["user_id"]: row["text"] for row in read_rows(folder / SUMMARIES)}
    assert len(shown) == USERS
    assert shown != list(own.values())
    assert set(shown) <= set(own.values())


class Killed(BaseException):
    pass


def test_wherever_a_run_is_killed_it_resumes_to_the_same_bytes(tmp_path: Path, config, monkeypatch) -> None:
    whole = evaluate(config(), tmp_path / "whole")
    append = Journal.append
    left = 0

    def until_killed(self: Journal, unit: str, rows: Any) -> None:
        nonlocal left
        if left == 0:
            with self.path.open("ab") as file:
                file.write(b'{"unit": "' + unit.encode() + b'", "half a li')  # what a kill in a write leaves
            raise Killed
        left -= 1
        append(self, unit, rows)

    monkeypatch.setattr(Journal, "append", until_killed)
    kills = 0
    while True:
        left = 2
        try:
            folder = evaluate(config(), tmp_path / "killed", resume=True)
            break
        except Killed:
            kills += 1
    assert kills >= 7  # 16 units, two a life
    for name in (ITEMS, SUMMARIES):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    write_report(whole)
    write_report(folder)
    for name in ("results.json", "report.md", "report.html"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()


def test_rows_and_readers_can_be_added_to_a_run(tmp_path: Path, config, other_model: str) -> None:
    at_once = config(methods=("raw", "gold"), readers=(other_model,))
    evaluate(config(methods=("gold",)), tmp_path / "run")
    folder = evaluate(at_once, tmp_path / "run", resume=True)
    once = evaluate(at_once, tmp_path / "once")

    def key(row: dict) -> tuple:
        return (row["reader"], row["row"], row["user_id"], row["pair"])

    assert sorted(items(folder), key=key) == sorted(items(once), key=key)
    assert read_results(folder).rows == read_results(once).rows
    with pytest.raises(ConfigurationError, match=r"methods that are not asked for now: gold"):
        evaluate(config(methods=("raw",), readers=(other_model,)), folder, resume=True)


def test_another_reader_reads_the_same_summaries(tmp_path: Path, config, model: str, other_model: str) -> None:
    folder = evaluate(config(methods=("gold",), readers=(other_model,)), tmp_path / "run")
    results = read_results(folder)
    assert [(row.reader, row.row) for row in results.rows] == [
        (reader, row) for reader in (model, other_model) for row in ("none", "gold", "gold:shuffled")
    ]
    deltas = {
        reader: [row["delta"] for row in items(folder) if row["reader"] == reader] for reader in (model, other_model)
    }
    assert deltas[model] != deltas[other_model]


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # peft asks transformers for it
def test_trained_generators_are_read_from_their_directories(tmp_path: Path, config, model: str) -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    lm = load_causal_lm(model, dtype="float32")
    torch.manual_seed(0)
    adapted = get_peft_model(lm.model, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    for name, context in (("population", "none"), ("raw", "signals")):
        adapted.save_pretrained(tmp_path / name / "generator")
        manifest = {"format": 1, "base_model": model, "context": context, "generator": "generator"}
        (tmp_path / name / "popi.json").write_text(json.dumps(manifest))
    save_tiny_model(tmp_path / "whole" / "generator", seed=3)
    (tmp_path / "whole" / "popi.json").write_text(json.dumps(manifest | {"context": "none"}))
    methods = (
        f"population={tmp_path / 'population'}",
        f"raw-trained={tmp_path / 'raw'}",
        f"whole={tmp_path / 'whole'}",
    )
    folder = evaluate(config(methods=methods, limit=3), tmp_path / "run")
    by_row: dict[str, list[float]] = {}
    for row in items(folder):
        by_row.setdefault(row["row"], []).append(row["delta"])
    assert list(by_row) == ["none", "population", "raw-trained", "whole"]
    assert set(by_row["none"]) == {0.0}
    assert all(any(abs(delta) > 1e-3 for delta in by_row[row]) for row in ("population", "raw-trained", "whole"))
    again = evaluate(config(methods=("raw",), limit=3), tmp_path / "plain")
    plain = [row["chosen"] for row in items(again) if row["row"] == "none"]
    assert plain == [row["chosen"] for row in items(folder) if row["row"] == "none"]  # the base is untouched


def test_a_folder_that_holds_something_else_is_refused_before_any_work(tmp_path: Path, config) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match=r"not empty \(notes.txt"):
        evaluate(config(), tmp_path)
    with pytest.raises(ConfigurationError, match="Cannot use"):
        evaluate(config(), tmp_path / "notes.txt")
    folder = evaluate(config(methods=("gold",), limit=2), tmp_path / "run")
    before = (folder / MANIFEST).read_bytes()
    with pytest.raises(ConfigurationError, match=r"holds a run already.*--resume"):
        evaluate(config(methods=("gold",), limit=2), folder)
    with pytest.raises(ConfigurationError, match=r"another run: seed was 0, and is 1"):
        evaluate(config(methods=("gold",), limit=2, seed=1), folder, resume=True)
    with pytest.raises(ConfigurationError, match="A reader is there twice"):
        evaluate(config(readers=("x", "x")), tmp_path / "new")
    with pytest.raises(ConfigurationError, match="is the model itself"):
        evaluate(config(readers=(f"{config().model}/",)), tmp_path / "new")
    assert (folder / MANIFEST).read_bytes() == before
    assert not (tmp_path / "new" / MANIFEST).exists()


def test_weights_that_changed_are_another_run_and_a_wrong_base_is_refused(tmp_path: Path, config, other_model) -> None:
    folder = tmp_path / "mine"
    save_tiny_model(folder / "generator", seed=7)
    manifest = {"format": 1, "base_model": "x", "context": "none", "generator": "generator"}
    (folder / "popi.json").write_text(json.dumps(manifest))
    asked = config(methods=(f"mine={folder}",), limit=2)
    run = evaluate(asked, tmp_path / "run")
    evaluate(asked, run, resume=True)
    save_tiny_model(folder / "generator", seed=8)
    with pytest.raises(ConfigurationError, match="the weights of mine was"):
        evaluate(asked, run, resume=True)
    (folder / "generator" / "adapter_config.json").write_text("{}")
    (folder / "popi.json").write_text(json.dumps(manifest | {"base_model": other_model}))
    with pytest.raises(ConfigurationError, match=r"trained from .*second, which is not the model"):
        evaluate(asked, tmp_path / "new")


def test_what_cannot_be_had_is_found_out_before_the_work(tmp_path: Path, config) -> None:
    gone = str(tmp_path / "gone")
    with pytest.raises(ConfigurationError, match="gone"):
        evaluate(config(readers=(gone,), limit=2), tmp_path / "run")
    with pytest.raises(ConfigurationError, match="unknown"):
        evaluate(config(judge="nobody:x", limit=2), tmp_path / "run")
    with pytest.raises(ConfigurationError, match="--method heuristic"):
        evaluate(config(over_personalisation=True, methods=("raw",), limit=2), tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]


def test_a_reader_of_which_nothing_was_computed_can_be_left_out_again(tmp_path: Path, config, other_model) -> None:
    folder = evaluate(config(methods=("gold",), limit=2), tmp_path / "run")
    path = folder / MANIFEST
    said = json.loads(path.read_text())
    path.write_text(
        json.dumps(said | {"config": said["config"] | {"readers": [other_model], "methods": ["gold", "raw"]}})
    )
    evaluate(config(methods=("gold",), limit=2), folder, resume=True)
    assert read_results(folder).row("gold").accuracy.items == 8


def test_versions_of_a_resumed_run_are_all_named(tmp_path: Path, config) -> None:
    folder = evaluate(config(methods=("gold",), limit=2), tmp_path / "run")
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"commit": "the first"}))
    evaluate(config(methods=("gold", "raw"), limit=2), folder, resume=True)
    manifest = json.loads(path.read_text())
    assert manifest["commit"] == "the first"
    assert len(manifest["resumed"]) == 1
    write_report(folder)
    assert "A part was computed later, with commit" in (folder / "report.md").read_text()


def test_two_processes_do_not_write_one_run(tmp_path: Path, config) -> None:
    (tmp_path / "run").mkdir()
    with (
        file_lock(tmp_path / "run" / ".lock", lambda: None),
        pytest.raises(ConfigurationError, match="Another process is writing"),
    ):
        evaluate(config(limit=2), tmp_path / "run")
    evaluate(config(methods=("gold",), limit=2), tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"limit": 0}, "limit: "),
        ({"seed": -1}, "seed: "),
        ({"budget": 0}, "budget: "),
        ({"colour": 1}, "colour: "),
        ({"data": 5}, "data: "),
    ],
)
def test_a_wrong_value_is_named(config, changes: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        config(**changes)


def user(number: int, *, signal: str = "calm", chosen: str = "tiny calm river", **fields: Any) -> UserRecord:
    return UserRecord(
        user_id=f"user {number}",
        signals=(PreferencePair(prompt="describe the river", chosen=f"{signal} {number}", rejected="huge"),),
        pairs=(HeldOutPair(prompt="describe the river", chosen=chosen, rejected="huge icy river"),),
        **fields,
    )


def test_one_user_alone_has_no_control(tmp_path: Path, config) -> None:
    write_users(tmp_path / "users.jsonl", [user(0)])
    folder = evaluate(config(data=str(tmp_path / "users.jsonl"), methods=("heuristic", "gold")), tmp_path / "run")
    results = write_report(folder)
    assert [row.row for row in results.rows] == ["none", "heuristic"]
    assert results.few_users
    assert "Only 1 user" in (folder / "report.md").read_text()


def test_a_response_that_does_not_fit_is_an_error_and_nothing_half_done_stays(tmp_path: Path, config) -> None:
    users = [user(number) for number in range(CHUNK)]
    users.append(user(99, chosen="calm " * 50_000))
    write_users(tmp_path / "users.jsonl", users)
    asked = config(data=str(tmp_path / "users.jsonl"), methods=("heuristic",), limit=None)
    with pytest.raises(ScoringError, match=r"user 'user 99', pair 0: .*does not fit"):
        evaluate(asked, tmp_path / "run")
    assert {row["user_id"] for row in items(tmp_path / "run")} == {f"user {number}" for number in range(CHUNK)}


def test_data_that_changes_while_it_is_measured_is_no_result(tmp_path: Path, config) -> None:
    path = tmp_path / "users.jsonl"
    write_users(path, [user(number) for number in range(3)])
    asked = config(data=str(path), methods=("heuristic",), limit=None)

    def meddle(step: str, done: int, total: int) -> None:
        if step.endswith("scoring") and done == total:
            write_users(path, [user(number, signal="other") for number in range(3)])

    with pytest.raises(DataError, match="changed while it was measured"):
        evaluate(asked, tmp_path / "run", progress=meddle)


def test_an_empty_prompt_is_named(tmp_path: Path, config) -> None:
    pair = HeldOutPair(prompt="", chosen="tiny", rejected="huge")
    write_users(tmp_path / "users.jsonl", [user(0).model_copy(update={"pairs": (pair,)})])
    with pytest.raises(DataError, match=r"user 0.*pair 0.*prompt is empty"):
        evaluate(config(data=str(tmp_path / "users.jsonl"), limit=None), tmp_path / "run")


def test_data_that_measures_nothing_is_refused(tmp_path: Path, config) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(DataError):
        evaluate(config(data=str(tmp_path / "empty.jsonl")), tmp_path / "run")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b"{}\n" * 1_000)[:-9])
    with pytest.raises(DataError):
        evaluate(config(data=str(tmp_path / "cut.jsonl.gz")), tmp_path / "run")
    with pytest.raises(DataError, match="nowhere"):
        evaluate(config(data=str(tmp_path / "nowhere")), tmp_path / "run")


def test_users_that_cannot_be_measured_are_left_out_only_where_that_is_asked_for(tmp_path: Path, config) -> None:
    path = tmp_path / "users.jsonl"
    write_users(path, [user(number, split="dev") for number in range(3)])
    with path.open("a") as file:
        file.write(
            json.dumps({"user_id": "no pairs", "signals": ["Keep it short."], "pairs": [], "split": "dev"}) + "\n"
        )
    asked = config(data=str(path), methods=("heuristic",), limit=None)
    with pytest.raises(DataError, match="line 4"):
        evaluate(asked, tmp_path / "strict")
    folder = evaluate(asked.model_copy(update={"skip_faults": True}), tmp_path / "run")
    assert json.loads((folder / MANIFEST).read_text())["data"]["left_out"] == {"faults": 1}
    write_report(folder)
    assert "Left out of the data: 1 faults" in (folder / "report.md").read_text()


def test_memory_does_not_grow_with_what_users_left_behind(tmp_path: Path, config) -> None:
    """Thirty-two times the data of the same users: what is held at a time is one chunk, and that is the same."""

    def peak(chunks: int) -> int:
        path = tmp_path / f"{chunks}.jsonl"
        long = "calm " * 2_000
        write_users(path, (user(number, signal=long) for number in range(chunks * CHUNK)))
        asked = config(data=str(path), methods=("raw",), limit=None, raw_budget=64)
        tracemalloc.start()
        evaluate(asked, tmp_path / f"run {chunks}")
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    first, second = peak(2), peak(16)
    size = (tmp_path / "16.jsonl").stat().st_size - (tmp_path / "2.jsonl").stat().st_size
    assert second - first < size / 10


def test_progress_says_what_is_done_and_reaches_the_end(tmp_path: Path, config) -> None:
    said: list[tuple[str, int, int]] = []
    evaluate(config(methods=("heuristic",), limit=5), tmp_path / "run", progress=lambda *step: said.append(step))
    assert [step for step, _, _ in said][:2] == ["reading the data", "loading the model"]
    for step in dict.fromkeys(step for step, _, total in said if total):
        done = [(at, total) for name, at, total in said if name == step]
        assert done == sorted(done)
        assert done[-1][0] == done[-1][1]
