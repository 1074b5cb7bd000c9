from __future__ import annotations

import json

import pytest
from rich.cells import cell_len

from popi_sdk import HeuristicInferrer, PreferenceSummary, read_signals
from popi_sdk.cli.screens import excerpt
from popi_sdk.signals import as_signals
from popi_sdk.testing import EchoGenerator, ScriptedGenerator

KINDS = [
    {"kind": "preference", "prompt": "Is DNS hard?", "chosen": "No.", "rejected": "That depends on many things."},
    {"kind": "edit", "before": "It is not advisable to wait.", "after": "Don't wait."},
    {"kind": "rating", "text": "Doesn't matter.", "score": 5, "scale": [1, 5]},
    {"kind": "rating", "text": "Cats are better.", "score": "agree"},
    {"kind": "rating", "text": "Dogs are better.", "score": "disagree"},
    {"kind": "rating", "text": "Fish are better.", "score": "pass"},
    {"kind": "dialogue", "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]},
    {"kind": "writing", "text": "hey, running late"},
    {"kind": "survey", "question": "Which tone?", "answer": "Casual."},
    {"kind": "profile", "attributes": {"occupation": "nurse", "age": 30}},
    {"kind": "statement", "text": "No jargon, please."},
]


def lines(signals):
    return "".join(f"{json.dumps(signal)}\n" for signal in signals).encode()


def test_summary_is_all_there_is_on_stdout(popi, backend):
    ended = popi("infer", "-g", backend(EchoGenerator()), stdin=lines(KINDS))
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("No jargon, please. ")
    assert ended.out.count("\n") == 1


def test_json_is_the_summary(popi, backend):
    echo = EchoGenerator()
    ended = popi("infer", "--json", "-b", "20", "-g", backend(echo), stdin=lines(KINDS))
    summary = PreferenceSummary.from_json(ended.out)
    assert summary == HeuristicInferrer().infer(as_signals(KINDS), budget=20, counter=echo)
    assert summary.tokens <= 20


def test_explain_shows_every_kind_with_id_and_excerpt(popi, backend):
    ended = popi("infer", "--explain", "-b", "500", "-g", backend(EchoGenerator()), stdin=lines(KINDS))
    assert (ended.code, ended.err) == (0, "")
    assert "No jargon, please." in ended.out
    statement = as_signals(KINDS)[-1]
    assert f"{statement.id[:8]} statement said “No jargon, please.”" in " ".join(ended.out.split())
    for kind in ("profile", "rating"):
        assert kind in ended.out
    assert all(cell_len(line) <= 100 for line in ended.out.splitlines())


@pytest.mark.parametrize(
    ("number", "told"),
    list(enumerate([
        "chose “No.” over “That depends on many things.”",
        "turned “It is not advis…” into “Don't wait.”",
        "5 on 1..5 for “Doesn't matter.”",
        "agreed with “Cats are better.”",
        "disagreed with “Dogs are better.”",
        "passed on “Fish are better.”",
        "said “Hi”",
        "wrote “hey, running late”",
        "answered “Casual.”",
        "occupation: nurse; age: 30",
        "said “No jargon, please.”",
    ])),
)  # fmt: skip
def test_excerpts(number, told):
    assert excerpt(as_signals(KINDS)[number]).plain == told


def test_explain_where_the_inferrer_names_no_signals(popi, backend):
    name = backend(ScriptedGenerator(["Keep it short."]))
    assert "This inferrer names no signals." in popi("infer", "--say", "x", "--explain", "-i", name, "-g", name).out


def test_explain_and_json_exclude_each_other(popi):
    ended = popi("infer", "--say", "x", "--explain", "--json")
    assert (ended.code, ended.out) == (2, "")


def test_a_person_sees_what_was_counted(popi, backend):
    ended = popi("infer", "--say", "No jargon.", "-g", backend(EchoGenerator()), terminal=True)
    assert ended.out == "No jargon.\n"
    assert "2 tokens of 128, from 1 signal, by heuristic." in ended.err
    assert popi("infer", "--say", "No jargon.", "-g", "mine", "-q", terminal=True).err == ""


def test_shortened_signals_are_announced(popi, backend):
    long = [{"kind": "writing", "text": "word " * 30_000, "context": "a novel"}]
    name = backend(ScriptedGenerator(["Keep it short."] * 2))
    ended = popi("infer", "-i", name, "-g", name, stdin=lines(long))
    assert (ended.code, ended.out) == (0, "Keep it short.\n")
    assert ended.err == "Note: of 1 long signals a part was read.\n"
    assert popi("infer", "-i", name, "-g", name, "-q", stdin=lines(long)).err == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no signals"),
        (b"\n\n", "holds no signals"),
        (b'{"kind": "statement", "text": "a"}\n{"kind": "statement"}\n', "line 2, field 'text': it is missing"),
        (b'{"kind": "rating", "text": "a", "score": 9, "scale": [1, 5]}', "line 1: the score 9 is not on the scale"),
        (b'{"kind": "statement", "text": "a"', "line 1 is not JSON"),
        (b'{"kind": "mood", "text": "a"}', "line 1, field 'kind': the kind is unknown"),
        (b"\xff\xfe", "line 1 is not UTF-8"),
    ],
)
def test_malformed_signals(popi, tmp_path, content, message):
    path = tmp_path / "user.jsonl"
    path.write_bytes(content)
    ended = popi("infer", "-s", str(path))
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"Error: {path}: ")
    assert message in ended.err
    assert "stdin: " in popi("infer", stdin=content).err


def test_files_that_cannot_be_read(popi, tmp_path):
    for path in (tmp_path, tmp_path / "missing.jsonl"):
        ended = popi("infer", "-s", str(path))
        assert (ended.code, ended.err.startswith(f"Error: Cannot read {path}: ")) == (2, True)


HOSTILE = "[red]x[/red] [/] \x1b]0;title\x07\x1b[2J :smile: 漢字かな交じり文 👩‍🚒🇩🇪 \x9b1m"


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("terminal", [False, True])
def test_hostile_text_is_shown_as_it_is(popi, backend, monkeypatch, width, terminal):
    monkeypatch.setenv("COLUMNS", str(width))
    signals = [{"kind": "statement", "text": HOSTILE}, {"kind": "profile", "attributes": {HOSTILE: HOSTILE}}]
    ended = popi("infer", "--explain", "-g", backend(EchoGenerator()), stdin=lines(signals), terminal=terminal)
    assert ended.code == 0
    assert "[red]" in ended.out
    assert ":smile:" in ended.out
    assert "漢" in ended.out
    assert not set(ended.out) & set("\x07\x9b")
    assert "\x1b]" not in ended.out
    assert "\x1b[2J" not in ended.out
    if not terminal:
        assert all(cell_len(line) <= width for line in ended.out.splitlines())


def test_help_says_how_signals_look(popi, tmp_path):
    """The lines in the help are signals that popi reads."""
    shown = [line.strip() for line in popi("infer", "--help").out.splitlines() if line.strip().startswith("{")]
    path = tmp_path / "user.jsonl"
    path.write_text("\n".join(shown))
    assert len({signal.kind for signal in read_signals(path)}) == 8
