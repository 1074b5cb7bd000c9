"""The authored topics fulfil their form, and what checks them finds each fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from popi_sdk.data.styleworld.check import faults, faults_of_files, main
from popi_sdk.data.styleworld.topics import Said, Topic, load_topics


def test_all_topics_are_well_formed(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(faults_of_files()) == []
    assert main() == 0
    assert capsys.readouterr().out == "All topics are well-formed.\n"


def test_there_are_enough_topics_of_many_fields() -> None:
    assert len(load_topics()) >= 150
    assert len({topic.domain for topic in load_topics()}) > 15


def changed(**fields: Any) -> Topic:
    topic = next(topic for topic in load_topics() if topic.id == "dns")
    return Topic.model_validate({**topic.model_dump(by_alias=True), **fields})


GOOD = "The old sea was calm and blue in the early light of that morning."


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"id": "Big Id"}, "the id is not small letters"),
        ({"name": "DNS?"}, "does not fit into a question"),
        ({"reason": "Too few words."}, "3 words"),
        ({"reason": " ".join(["Word", *["word"] * 26]) + "."}, "27 words"),
        ({"reason": GOOD[:-1]}, "no full stop last"),
        ({"reason": GOOD.lower()}, "no capital first"),
        ({"reason": GOOD.replace("was", "wasn't")}, "a contraction"),
        ({"reason": GOOD.replace("The old sea", "Our old sea")}, "first or second person"),
        ({"reason": GOOD.replace("calm", "calm for example")}, "'for example'"),
        ({"reason": GOOD.replace(" and", "; and")}, "a semicolon"),
        ({"reason": GOOD.replace("blue", "(blue)")}, "parenthesis"),
        ({"reason": GOOD.replace("sea", "s\u00e9a")}, "not ASCII"),
        ({"reason": GOOD.replace(" sea", "  sea")}, "two blanks"),
        ({"reason": GOOD.replace(" in", ". Then in").replace("Then", "It came")}, "more than one sentence"),
        ({"reason": GOOD.replace("The old sea", "It then")}, "points at another sentence"),
        ({"reason": GOOD.replace("was", "can not be")}, "one word"),
        ({"example": GOOD, "reason": GOOD}, "there twice"),
        ({"answer": {"plain": GOOD, "technical": GOOD.replace("sea", "lake")}}, "nearly the same"),
        ({"answer": {"plain": GOOD, "technical": f"{GOOD[:-1]}{' rather' * 60}."}}, "differ too much"),
    ],
)
def test_each_fault_is_found(fields: dict[str, Any], fault: str) -> None:
    assert any(
        fault in found and found.startswith(f"{fields.get('id', 'dns')}: ") for found in faults([changed(**fields)])
    )


def test_it_may_open_a_sentence_that_says_what_it_is() -> None:
    assert not list(faults([changed(reason="It is easy to forget how long the old sea was calm.")]))


def test_what_is_there_already_is_found() -> None:
    found = list(faults([changed(), changed(id="other", name="dns", reason=GOOD)]))
    assert len(found) == 12
    assert all(fault.startswith("other: it is there already: ") for fault in found)
    assert any("the name 'dns'" in fault for fault in found)
    assert any("the id 'dns'" in fault for fault in faults([changed(), changed()]))


def test_broken_files_are_named_with_their_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = changed().model_dump_json(by_alias=True)
    (tmp_path / "one.jsonl").write_text(f"{good}\n{{broken\n", encoding="utf-8")
    (tmp_path / "two.jsonl").write_text(good.replace('"is":"is"', '"is":"was"') + "\n", encoding="utf-8")
    found = list(faults_of_files(tmp_path))
    assert [fault.split(" ")[0] for fault in found] == ["one.jsonl:2:", "two.jsonl:1:"]


def test_the_command_fails_where_there_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("popi_sdk.data.styleworld.check.faults_of_files", lambda: iter(["dns: 3 words"]))
    assert main() == 1
    assert capsys.readouterr().out == "dns: 3 words\n"


def test_a_fact_has_two_wordings() -> None:
    said = Said(plain="a", technical="b")
    assert list(said) == ["a", "b"]
    assert (said.in_words("plain"), said.in_words("technical")) == ("a", "b")
