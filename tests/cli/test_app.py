from __future__ import annotations

import io
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from popi_sdk import BackendConnectionError, SignalError, UsageError, __version__
from popi_sdk.cli import main
from popi_sdk.cli.output import on_terminal, prepare_streams, silence_stdout
from popi_sdk.testing import EchoGenerator, ScriptedGenerator

COMMANDS = ["personalize", "infer", "demo", "pull", "doctor"]
POPI = str(Path(sys.executable).with_name("popi"))


def test_version(popi):
    assert popi("--version").out == f"popi-sdk {__version__}\n"


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_has_examples_and_explains_every_option(popi, command, flag):
    shown = popi(command, flag)
    assert shown.code == 0
    assert "Examples:" in shown.out
    assert f"popi {command}" in shown.out
    assert "\x1b" not in shown.out
    assert "[bold]" not in shown.out
    assert "[not dim]" not in shown.out


def test_help_shows_brackets_of_json(popi):
    assert '"scale": [1, 5]}' in popi("infer", "--help").out


def test_help_names_all_commands_and_a_worked_example(popi):
    shown = popi("--help").out
    assert all(command in shown for command in COMMANDS)
    assert 'popi personalize "What is DNS?" --say' in shown
    assert "Exit codes:" in shown


def test_no_command_shows_the_help(popi):
    shown = popi()
    assert shown.code == 2
    assert "popi demo" in shown.out + shown.err


def test_help_is_coloured_for_a_person_only(popi):
    assert "\x1b[" in popi("--help", terminal=True).out


def test_unknown_command_suggests_the_right_one(popi):
    ended = popi("personalise", "hi")
    assert ended.code == 2
    assert "personalize" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("change this"), 2),
        (SignalError("change this"), 2),
        (BackendConnectionError("it broke", backend="mine"), 3),
    ],
)
def test_errors_end_in_one_line_and_their_exit_code(popi, backend, error, code):
    ended = popi("personalize", "hi", "--say", "x", "-g", backend(ScriptedGenerator([error])))
    assert (ended.code, ended.out, ended.err) == (code, "", f"Error: {error}\n")


def test_an_error_shows_no_escape_sequence(popi, backend):
    error = BackendConnectionError("\x1b]0;title\x07 [red]x[/red]\r", backend="mine")
    ended = popi("personalize", "hi", "--say", "x", "-g", backend(ScriptedGenerator([error])), terminal=True)
    assert "]0;title [red]x[/red]" in ended.err
    assert "\x1b]" not in ended.err
    assert "\x07" not in ended.err


def test_a_bug_keeps_its_traceback(monkeypatch, backend):
    name = backend(ScriptedGenerator([RuntimeError("a bug")]))
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(RuntimeError, match="a bug"):
        main(["personalize", "hi", "--say", "x", "-g", name])


def test_interrupt(popi, backend):
    class Interrupted(EchoGenerator):
        def generate(self, *args, **kwargs):
            raise KeyboardInterrupt

    ended = popi("personalize", "hi", "--say", "x", "-g", backend(Interrupted()))
    assert (ended.code, ended.out, ended.err) == (130, "", "")


def test_without_the_extra_it_says_how_to_install_it():
    program = "import sys; sys.modules['typer'] = None\nimport popi_sdk.cli\npopi_sdk.cli.main(['demo'])\n"
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.strip() == "popi: 'typer' is not installed. Run: pip install 'popi-sdk[cli]'"
    assert done.stdout == ""


def test_without_the_extra_in_this_process(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "popi_sdk.cli.app", raising=False)
    monkeypatch.setitem(sys.modules, "typer", None)
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 2
    assert "pip install 'popi-sdk[cli]'" in capsys.readouterr().err


def test_the_package_loads_none_of_it():
    program = "import sys, popi_sdk.cli; print([m for m in ('typer', 'rich', 'xllamacpp') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("command", ["popi infer --say x --explain -g compatible:m@http://127.0.0.1:9", "popi --help"])
def test_a_closed_pipe_is_quiet(command):
    """The reader is gone before the first byte."""
    process = subprocess.Popen(
        [POPI, *command.split()[1:]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) != 0


def test_a_closed_pipe_in_the_middle(gguf):
    process = subprocess.Popen(
        [POPI, "personalize", "Write a long story.", "--say", "Long, please.", "--stream"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )
    assert process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == 141


class Failing(io.StringIO):
    """A stream that nobody reads any more, or that has no room."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def write(self, text):
        raise self.error


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (BrokenPipeError(), 141, ""),
        (OSError(28, "No space left on device"), 2, "Error: Cannot write the result: No space left on device.\n"),
    ],
)
def test_a_result_that_cannot_be_written(monkeypatch, capsys, error, code, message):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(sys, "stdout", Failing(error))
    with pytest.raises(SystemExit) as ended:
        main(["infer", "--say", "x", "-g", "compatible:m@http://127.0.0.1:9"])
    assert (ended.value.code, capsys.readouterr().err) == (code, message)


def test_a_closed_pipe_in_the_midst_of_a_screen(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(sys, "stdout", Failing(BrokenPipeError()))
    with pytest.raises(SystemExit) as ended:
        main(["infer", "--say", "x", "--explain", "-g", "compatible:m@http://127.0.0.1:9"])
    assert (ended.value.code, capsys.readouterr().err) == (141, "")


def test_a_message_that_nobody_reads(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(sys, "stderr", Failing(BrokenPipeError()))
    with pytest.raises(SystemExit) as ended:
        main(["infer", "-s", "/not/there.jsonl"])
    assert ended.value.code == 2


def test_after_a_closed_pipe_nothing_more_is_written(monkeypatch, tmp_path):
    path = tmp_path / "out"
    with path.open("w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        silence_stdout()
        stream.write("too late")
    assert path.read_text() == ""


def test_a_closed_stream_is_no_terminal():
    stream = io.StringIO()
    stream.close()
    assert on_terminal(stream) is False


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for a child there")
def test_ctrl_c_ends_a_running_answer(gguf):
    process = subprocess.Popen(
        [POPI, "personalize", "Write a long story.", "--say", "Long, please.", "--stream", "--max-tokens", "3000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )
    assert process.stdout.read(10)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, b"")
    assert out.endswith(b"\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_no_bug():
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [POPI, "infer", "--say", "x", "-g", "compatible:m@http://127.0.0.1:9"],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            text=True,
        )
    assert (done.returncode, done.stderr) == (2, "Error: Cannot write the result: No space left on device.\n")


def test_streams_that_the_caller_closed(monkeypatch):
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    prepare_streams()
    opened = (sys.stdin, sys.stdout, sys.stderr)
    assert sys.stdin.read() == ""
    assert sys.stdout.write("x") == sys.stderr.write("x") == 1
    for stream in opened:
        stream.close()


def test_a_letter_that_the_encoding_lacks(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    prepare_streams()
    assert stream.write("日本\ud800") == 3
