from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from popi_sdk import Generation, HeuristicInferrer, Personalizer, read_signals
from popi_sdk.cli.comparison import compare
from popi_sdk.cli.demo import PROMPT
from popi_sdk.cli.demo_screen import comparison_screen
from popi_sdk.testing import EchoGenerator, ScriptedGenerator

EXAMPLES = Path(__file__).parents[2] / "examples" / "data"
DATA = files("popi_sdk.cli") / "data"
TERSE, FULL = "Short one.", "A long answer with reasons, an example and a conclusion at its end."


@pytest.fixture
def scripted(backend):
    return backend(ScriptedGenerator(["A plain answer.", TERSE, FULL] * 2))


def draw(comparison, width):
    console = Console(width=width, color_system=None, markup=False, highlight=False, emoji=False)
    with console.capture() as capture:
        console.print(comparison_screen(comparison, width))
    return capture.get()


def comparison_of(answers, signals=({"kind": "statement", "text": "Short."},), names=("alice", "bob")):
    from popi_sdk.signals import as_signals

    with Personalizer(generator=ScriptedGenerator(answers)) as popi:
        return compare(popi, "What is DNS?", [(name, as_signals(list(signals))) for name in names], lambda text: None)


@pytest.mark.parametrize("name", ["short", "long"])
def test_the_example_users(name):
    packaged = (DATA / f"{name}.jsonl").read_bytes()
    assert (EXAMPLES / f"{name}.jsonl").read_bytes() == packaged, "examples/data/ shows what `popi demo` reads"
    signals = read_signals(EXAMPLES / f"{name}.jsonl")
    assert 8 <= len(signals) <= 10
    assert len({signal.kind for signal in signals}) >= 6
    assert sum(signal.kind == "statement" for signal in signals) == 1
    assert "gps" not in packaged.decode().lower()


def test_the_example_users_are_told_apart_by_what_they_did():
    """Without the one thing that each of them said outright the summaries still ask for the opposite length."""
    summaries = {
        name: HeuristicInferrer()
        .infer([signal for signal in read_signals(EXAMPLES / f"{name}.jsonl") if signal.kind != "statement"])
        .text
        for name in ("short", "long")
    }
    assert "short" in summaries["short"].lower()
    assert "detailed" in summaries["long"].lower()


def test_on_the_real_model(gguf, process):
    """The claim: same question, same limits, at least twice the words for the user who wants long answers."""
    ended = process("demo", "--json")
    assert (ended.code, ended.err) == (0, "")
    shown = ended.json
    short, long = shown["users"]
    assert (shown["prompt"], shown["max_tokens"]) == (PROMPT, 256)
    assert (short["name"], long["name"]) == ("short", "long")
    assert long["words"] >= 2 * short["words"] > 0
    assert shown["counted_by"].startswith("gguf:")
    for user in shown["users"]:
        assert user["signals_tokens"] > 5 * user["summary_tokens"]
        assert user["times_fewer"] == round(user["signals_tokens"] / user["summary_tokens"], 2)
        assert user["summary"]["tokens"] < user["summary_tokens"]


def test_the_same_every_time(gguf, popi):
    first = popi("demo", "--max-tokens", "24")
    assert first.code == 0
    assert "cut at 24 tokens" in first.out
    assert popi("demo", "--max-tokens", "24") == first


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_screen(popi, scripted, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    ended = popi("demo", "-g", scripted)
    assert (ended.code, ended.err) == (0, "")
    assert "\x1b" not in ended.out
    text = " ".join(ended.out.replace("│", " ").split())
    assert "A plain answer. 3 words" in text
    assert TERSE in text
    assert "long got 6.5 times the words of short: 13 against 2." in text
    assert "times fewer" in text
    assert all(cell_len(line) <= width for line in ended.out.splitlines())
    beside = any("User: short" in line and "User: long" in line for line in ended.out.splitlines())
    assert beside is (width >= 100)


def test_a_person_sees_colours_and_progress(popi, scripted, monkeypatch):
    ended = popi("demo", "-g", scripted, terminal=True)
    assert "\x1b[" in ended.out
    assert "Answering 3 of 3: for long ..." in ended.err
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in popi("demo", "-g", scripted, terminal=True).out


def test_json(popi, scripted):
    shown = popi("demo", "What is DNS?", "-g", scripted, "--max-tokens", "99", "--json").json
    assert (shown["prompt"], shown["model"], shown["max_tokens"]) == ("What is DNS?", "scripted", 99)
    assert shown["plain"] == {"text": "A plain answer.", "words": 3, "finish_reason": "stop"}
    assert [user["words"] for user in shown["users"]] == [2, 13]
    assert shown["words_ratio"] == 6.5
    assert sum(shown["users"][0]["kinds"].values()) == shown["users"][0]["signals"]


def test_own_users(popi, scripted, jsonl):
    alice = jsonl([{"kind": "statement", "text": "Short."}], "alice.jsonl")
    bob = jsonl([{"kind": "statement", "text": f"Wish {number}."} for number in range(12)], "bob.jsonl")
    ended = popi("demo", "-s", alice, "-s", bob, "-g", scripted)
    assert "User: alice" in ended.out
    assert "User: bob" in ended.out
    assert "... and 3 more" in ended.out
    line = json.dumps({"kind": "statement", "text": "Long."}).encode()
    assert "User: stdin" in popi("demo", "-s", alice, "-s", "-", "-g", scripted, stdin=line).out


def test_users_of_the_same_name_are_told_apart(popi, scripted, jsonl):
    alice = jsonl([{"kind": "statement", "text": "Short."}], "alice.jsonl")
    names = [user["name"] for user in popi("demo", "-s", alice, "-s", alice, "-g", scripted, "--json").json["users"]]
    assert names == ["alice (A)", "alice (B)"]


@pytest.mark.parametrize("sources", [["a"], ["a", "b", "c"], ["-", "-"]])
def test_two_users_are_needed(popi, sources):
    ended = popi("demo", *(part for source in sources for part in ("--signals", source)))
    assert ended.code == 2
    assert "give --signals twice" in ended.err


def test_a_cut_answer_is_marked():
    cut = Generation(text="one two three", model="m", finish_reason="length")
    assert "3 words, cut at 512 tokens" in draw(comparison_of(["plain", cut, "one"]), 80)


def test_equal_answers_and_summaries_that_save_nothing_claim_nothing():
    comparison = comparison_of(["plain", "one two", "one two"])
    shown = draw(comparison, 80)
    assert "Both answers have 2 words." in shown
    assert [side.times_fewer for side in comparison.sides] == [
        side.raw_tokens / side.response.context_tokens if side.raw_tokens > side.response.context_tokens else None
        for side in comparison.sides
    ]


def test_no_claim_where_the_summary_is_longer():
    class Costly(ScriptedGenerator):
        def count_prompt_tokens(self, messages):
            return 100 if "Notes on their preferences" in messages[-1]["content"] else 10

    from popi_sdk.signals import as_signals

    with Personalizer(generator=Costly(["plain", "one", "two words"])) as popi:
        users = [(name, as_signals([{"kind": "statement", "text": "Short."}])) for name in ("alice", "bob")]
        comparison = compare(popi, "What is DNS?", users, lambda text: None)
    assert [side.times_fewer for side in comparison.sides] == [None, None]
    assert "times fewer" not in draw(comparison, 80)


def test_an_answer_without_words():
    blank = Generation(text="\u200b", model="m")
    comparison = comparison_of(["plain", Generation(text=" ", model="m"), blank])
    assert comparison.words_ratio is None
    assert comparison.as_dict()["words_ratio"] is None
    assert "Both answers" in draw(comparison, 80)


def test_without_a_tokenizer_it_speaks_of_bytes():
    class Bytes(EchoGenerator):
        tokenizer = "estimated"

    from popi_sdk.signals import as_signals

    with Personalizer(generator=Bytes()) as popi:
        users = [(name, as_signals([{"kind": "statement", "text": "Short."}])) for name in ("alice", "bob")]
        shown = draw(compare(popi, "What is DNS?", users, lambda text: None), 100)
    assert "counted by UTF-8 bytes, a bound" in shown
    assert "Summary: 1 bytes" in shown


HOSTILE = "[red]x[/red] [/] \x1b]0;title\x07 :smile: 漢字かな交じり文の長い文章です 👩‍🚒🇩🇪 \x9b1m"


@pytest.mark.parametrize("width", [40, 80, 120])
def test_hostile_text_is_shown_as_it_is(width):
    signals = [{"kind": "statement", "text": HOSTILE}]
    shown = draw(comparison_of([HOSTILE] * 3, signals, names=(HOSTILE, "bob")), width)
    assert "[red]x[/red] [/]" in shown
    assert ":smile:" in shown
    assert not set(shown) & set("\x1b\x07\x9b")
    assert all(cell_len(line) <= width for line in shown.splitlines())


def test_picture(popi, scripted, tmp_path):
    path = tmp_path / "demo.svg"
    assert popi("demo", "-g", scripted, "--svg", str(path)).code == 0
    picture = path.read_text(encoding="utf-8")
    assert picture.startswith("<svg")
    assert "url(" not in picture.replace("url(#", "")
    assert "@font-face" not in picture
    assert "--svg" not in popi("demo", "--help").out
    assert popi("demo", "-g", scripted, "--svg", str(tmp_path / "no" / "demo.svg")).code == 2
