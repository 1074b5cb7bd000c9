"""A whole evaluation on tiny models: what is computed, who writes and who reads, what it takes."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest
from support.evaluations import USERS, items, user

from popi_sdk import GenerationOptions
from popi_sdk.data import HeldOutPair, open_data, write_users
from popi_sdk.data.tinyworld import save_tiny_model
from popi_sdk.evals import evaluate, read_results, write_report
from popi_sdk.evals.journal import read_rows
from popi_sdk.evals.manifest import SUMMARIES
from popi_sdk.evals.run import CHUNK
from popi_sdk.models.causal_lm import load_causal_lm
from popi_sdk.prompts import render_plain, render_with_summary
from popi_sdk.scoring import Query, score_naive


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
        manifest = {"format": 1, "base_model": model, "context": context, "generator": "generator", "input_budget": 24}
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
    again = evaluate(config(methods=("raw",), limit=3, raw_budget=1_024), tmp_path / "plain")
    read = {row["row"]: row["signals_used"] for at in (folder, again) for row in items(at) if "signals_used" in row}
    assert read["raw-trained"] < read["raw"]  # as few as in training, whatever the untrained model is shown
    plain = [row["chosen"] for row in items(again) if row["row"] == "none"]
    assert plain == [row["chosen"] for row in items(folder) if row["row"] == "none"]  # the base is untouched


def test_one_user_alone_has_no_control(tmp_path: Path, config) -> None:
    write_users(tmp_path / "users.jsonl", [user(0)])
    folder = evaluate(config(data=str(tmp_path / "users.jsonl"), methods=("heuristic", "gold")), tmp_path / "run")
    results = write_report(folder)
    assert [row.row for row in results.rows] == ["none", "heuristic"]
    assert results.few_users
    assert "Only 1 user" in (folder / "report.md").read_text()


def test_memory_does_not_grow_with_what_users_left_behind(tmp_path: Path, config) -> None:
    """Eight times the data of such users: what is held at a time is one chunk, and that is the same."""

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
