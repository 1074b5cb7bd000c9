from __future__ import annotations

import json

import pytest

import popi_sdk.cli.inputs
from popi_sdk import BackendConnectionError, Generation, MissingExtraError, PreferenceSummary, Usage
from popi_sdk.generators import GenerationStream
from popi_sdk.testing import EchoGenerator, ScriptedGenerator

SHORT = {"kind": "statement", "text": "Keep it short."}


class Pieces(EchoGenerator):
    """Streams the pieces it is given; a piece that is an exception is raised."""

    def __init__(self, *pieces):
        super().__init__()
        self.pieces = pieces

    def stream(self, messages, options=None, *, timeout=None, max_retries=None):
        self._note(messages, options)

        def source():
            for piece in self.pieces:
                if isinstance(piece, BaseException):
                    raise piece
                yield piece
            yield Generation(text="".join(self.pieces), model=self.model)

        return GenerationStream(source())


def test_say(popi, backend):
    echo = EchoGenerator()
    ended = popi("personalize", "What is DNS?", "--say", "Keep it short.", "--say", "No jargon.", "-g", backend(echo))
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("What is DNS?\n")
    assert "> No jargon. Keep it short.\n" in ended.out


def test_signals_from_a_file_and_from_stdin_are_the_same(popi, backend, jsonl):
    name, path = backend(EchoGenerator()), jsonl([SHORT])
    from_file = popi("personalize", "hi", "--signals", path, "-g", name)
    line = json.dumps(SHORT).encode()
    assert from_file.code == 0
    assert popi("personalize", "hi", "-s", "-", "-g", name, stdin=line) == from_file
    assert popi("personalize", "hi", "-g", name, stdin=line) == from_file


def test_say_goes_along_with_a_file(popi, backend, jsonl):
    ended = popi("personalize", "hi", "-s", jsonl([SHORT]), "--say", "No jargon.", "-g", backend(EchoGenerator()))
    assert "No jargon. Keep it short." in ended.out


def test_prompt_from_stdin(popi, backend, jsonl):
    args = ("personalize", "-", "--signals", jsonl([SHORT]), "-g", backend(EchoGenerator()))
    assert popi(*args, stdin="Was heißt DNS?".encode()).out.startswith("Was heißt DNS?\n")


@pytest.mark.parametrize("args", [(), ("-s", "-"), ("--summary", "-")])
def test_stdin_is_read_once(popi, args):
    ended = popi("personalize", "-", *args)
    assert ended.code == 2
    assert ended.err.startswith("Error: The prompt '-' is read from stdin")


def test_prompt_that_is_not_utf8(popi, backend):
    ended = popi("personalize", "-", "--say", "x", "-g", backend(EchoGenerator()), stdin=b"caf\xe9")
    assert (ended.code, ended.err) == (2, "Error: The prompt is not UTF-8 (byte 3 of it). Save it as UTF-8.\n")


def test_a_person_who_pipes_nothing_in_is_told_how(popi):
    ended = popi("personalize", "hi", typing=True)
    assert ended.code == 2
    assert "--signals FILE" in ended.err
    assert "--say TEXT" in ended.err


def test_empty_prompt_and_empty_say(popi, backend):
    name = backend(EchoGenerator())
    assert "The prompt is empty" in popi("personalize", " ", "--say", "x", "-g", name).err
    assert "--say is empty" in popi("personalize", "hi", "--say", " ", "-g", name).err


def test_saved_summary(popi, backend, tmp_path):
    name, saved = backend(EchoGenerator()), tmp_path / "alice.json"
    saved.write_text(popi("infer", "--say", "Keep it short.", "--json", "-g", name).out)
    from_file = popi("personalize", "hi", "--summary", str(saved), "-g", name)
    assert "> Keep it short." in from_file.out
    assert popi("personalize", "hi", "--summary", "-", "-g", name, stdin=saved.read_bytes()) == from_file


@pytest.mark.parametrize("content", [b"{}", b"no json", b"\xff\xfe", b"", json.dumps(SHORT).encode()])
def test_a_file_that_is_no_summary(popi, tmp_path, content):
    path = tmp_path / "not.json"
    path.write_bytes(content)
    ended = popi("personalize", "hi", "--summary", str(path))
    assert ended.code == 2
    assert "not a summary" in ended.err
    assert ended.err.count("\n") == 1


def test_summary_that_is_not_there_or_stands_beside_signals(popi, tmp_path):
    assert popi("personalize", "hi", "--summary", str(tmp_path)).err.startswith("Error: Cannot read")
    ended = popi("personalize", "hi", "--summary", "a", "--say", "x")
    assert (ended.code, "leave out --signals and --say" in ended.err) == (2, True)


def test_options_reach_the_backend(popi, backend):
    echo = EchoGenerator()
    args = ("--max-tokens", "7", "--temperature", "0.5", "--seed", "3", "--system", "Be kind.")
    ended = popi("personalize", "hi", "--say", "x", "-g", backend(echo), *args)
    assert ended.code == 0
    [(messages, options)] = echo.calls
    assert messages[0] == {"role": "system", "content": "Be kind."}
    assert (options.max_tokens, options.temperature, options.seed) == (7, 0.5, 3)


@pytest.mark.parametrize(
    "args",
    [
        ("--temperature", "3"),
        ("--seed", "-1"),
        ("--max-tokens", "0"),
        ("--budget", "0"),
        ("--max-tokens", "many"),
        ("-g", "nobody"),
        ("-g", "no/backend"),
        ("-i", "nobody"),
        ("-g", "compatible:model"),
        ("-g", "llamacpp:/not/there.gguf"),
        ("--timeout", "-1"),
    ],
)
def test_wrong_options_are_refused(popi, args):
    ended = popi("personalize", "hi", "--say", "x", *args)
    assert ended.code == 2
    assert ended.out == ""
    assert "Traceback" not in ended.err


def test_a_huge_budget_is_no_problem(popi, backend):
    assert popi("personalize", "hi", "--say", "x", "-b", "9" * 18, "-g", backend(EchoGenerator())).code == 0


def test_json(popi, backend):
    ended = popi("personalize", "hi", "--say", "Kurz, bitte.", "--json", "-g", backend(EchoGenerator()))
    assert ended.out.count("\n") == 1
    assert "Kurz" in ended.out
    assert set(ended.json) == {
        "text", "summary", "usage", "context_tokens", "counted_by", "finish_reason", "model", "latency",
    }  # fmt: skip
    assert PreferenceSummary.model_validate(ended.json["summary"]).text == "Kurz, bitte."
    assert ended.json["usage"]["output_tokens"] == len(ended.json["text"].split())


def test_json_is_indented_for_a_person(popi, backend):
    ended = popi("personalize", "hi", "--say", "x", "--json", "-g", backend(EchoGenerator()), terminal=True)
    assert ended.out.startswith('{\n  "text": ')
    assert "Summary:" not in ended.err


def test_stream(popi, backend):
    name = backend(Pieces("\n", " DNS ", "is", " a\n\n", "phone book. ", "\n"))
    ended = popi("personalize", "hi", "--say", "x", "--stream", "-g", name)
    assert (ended.code, ended.out) == (0, "DNS is a\n\nphone book.\n")


def test_stream_as_json_is_one_object_a_line(popi, backend):
    ended = popi("personalize", "hi", "--say", "x", "--stream", "--json", "-g", backend(Pieces("DNS ", "is")))
    *pieces, result = map(json.loads, ended.out.splitlines())
    assert pieces == [{"piece": "DNS "}, {"piece": "is"}]
    assert result["text"] == "DNS is"
    terminal = popi("personalize", "hi", "--say", "x", "--stream", "--json", "-g", "mine", terminal=True)
    assert len(terminal.out.splitlines()) == 3


def test_a_stream_that_breaks(popi, backend):
    broken = Pieces("DNS is", BackendConnectionError("it broke", backend="mine"))
    ended = popi("personalize", "hi", "--say", "x", "--stream", "-g", backend(broken))
    assert (ended.code, ended.out, ended.err) == (3, "DNS is\n", "Error: it broke\n")


def test_a_person_sees_summary_and_cost_beside_the_answer(popi, backend):
    name = backend(EchoGenerator())
    ended = popi("personalize", "hi", "--say", "Keep it short.", "-g", name, terminal=True)
    assert "Summary: Keep it short." in ended.err
    assert "tokens to the prompt" in ended.err
    assert "Summary:" not in ended.out
    quiet = popi("personalize", "hi", "--say", "Keep it short.", "-g", name, "-q", terminal=True)
    assert (quiet.err, quiet.out) == ("", ended.out)


def test_without_a_tokenizer_the_cost_is_a_bound(popi, backend):
    class Bytes(EchoGenerator):
        tokenizer = "estimated"

        def _answer(self, text, messages):
            return Generation(text=text, model="m", usage=Usage())

    ended = popi("personalize", "hi", "--say", "x", "-g", backend(Bytes()), terminal=True)
    assert "bytes at most to the prompt. m," in ended.err


def test_a_cut_answer_is_announced(popi, backend):
    cut = Generation(text="DNS is", model="m", finish_reason="length")
    ended = popi("personalize", "hi", "--say", "x", "--max-tokens", "2", "-g", backend(ScriptedGenerator([cut] * 2)))
    assert (ended.out, ended.err) == ("DNS is\n", "Note: the answer was cut at 2 tokens. For more: --max-tokens 4\n")
    assert popi("personalize", "hi", "--say", "x", "-q", "-g", "mine").err == ""


def test_left_out_signals_are_announced(popi, backend, jsonl):
    signals = [{"kind": "writing", "text": f"note {number} " + "word " * 200} for number in range(40)]
    name = backend(ScriptedGenerator(["Keep it short.", "An answer."]))
    ended = popi("personalize", "hi", "-s", jsonl(signals), "-i", name, "-g", name)
    assert (ended.code, ended.out) == (0, "An answer.\n")
    assert "of 40 signals." in ended.err


HOSTILE = "\x1b[31mred\x1b]0;title\x07 [red]x[/red] [/] \x9b2J over\rwritten 漢字 👩‍🚒"


@pytest.mark.parametrize("stream", [(), ("--stream",)])
def test_what_a_model_writes_does_not_act_on_the_terminal(popi, backend, stream):
    name = backend(Pieces(HOSTILE) if stream else ScriptedGenerator([HOSTILE]))
    ended = popi("personalize", "hi", "--say", f"Short. {HOSTILE}", "-g", name, *stream, terminal=True)
    note = ended.err[ended.err.index("Summary:") :]  # before it stands rich's own spinner
    for text in (ended.out, note.replace("\x1b[2m", "").replace("\x1b[0m", "")):
        assert not set(text) & set("\x07\x9b\r")
        assert "\x1b]" not in text
        assert "\x1b[31m" not in text
        assert "[red]x[/red] [/]" in text
    assert "漢字 👩‍🚒" in ended.out


def test_json_shows_no_raw_control_character(popi, backend):
    ended = popi(
        "personalize", "hi", "--say", "x", "--json", "-g", backend(ScriptedGenerator([HOSTILE])), terminal=True
    )
    assert not set(ended.out) & set("\x1b\x07\x9b\r")
    assert ended.json["text"] == HOSTILE


def test_no_color(popi, backend, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    ended = popi("personalize", "hi", "--say", "x", "-g", backend(EchoGenerator()), terminal=True)
    assert "\x1b[2m" not in ended.err.replace("\x1b[2K", "")
    assert "Summary: x." in ended.err


def test_the_model_is_pulled_at_first_use(monkeypatch):
    pulled = []
    monkeypatch.setattr(popi_sdk.cli.inputs, "is_pulled", lambda: None)
    monkeypatch.setattr(popi_sdk.cli.inputs, "pull", lambda *, progress: pulled.append(progress))
    popi_sdk.cli.inputs.ensure_models("local")
    popi_sdk.cli.inputs.ensure_models("llamacpp")
    popi_sdk.cli.inputs.ensure_models("openai:gpt", "llamacpp")
    assert len(pulled) == 3
    popi_sdk.cli.inputs.ensure_models("openai:gpt", "local")
    popi_sdk.cli.inputs.ensure_models("llamacpp:/a/model.gguf", "heuristic")
    assert len(pulled) == 3


def test_nothing_is_pulled_for_an_engine_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(popi_sdk.cli.inputs, "is_pulled", lambda: pytest.fail("looked for the model"))
    monkeypatch.setattr(popi_sdk.cli.inputs, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'popi-sdk\[local\]'"):
        popi_sdk.cli.inputs.ensure_models("local")


def test_on_the_real_model(gguf, process):
    args = ("personalize", "What is a firewall?", "--say", "Keep answers short: one or two sentences.")
    plain = process(*args)
    assert (plain.code, plain.err) == (0, "")
    assert 3 < len(plain.out.split()) < 100
    streamed = process(*args, "--stream", "--json")
    assert json.loads(streamed.out.splitlines()[-1])["text"].strip() == plain.out.strip()


def test_on_a_real_server(popi, llama_server, monkeypatch):
    monkeypatch.setenv("POPI_COMPATIBLE_API_KEY", llama_server.key)
    args = ("-g", llama_server.spec("compatible"), "--max-tokens", "20", "--json")
    ended = popi("personalize", "What is DNS?", "--say", "Short.", *args)
    assert ended.code == 0
    assert ended.json["counted_by"] == "estimated"
    assert ended.json["usage"]["output_tokens"] == 20


def test_a_refused_key(popi, llama_server):
    ended = popi("personalize", "hi", "--say", "x", "-g", llama_server.spec("compatible"))
    assert (ended.code, ended.out) == (3, "")
    assert "401" in ended.err
