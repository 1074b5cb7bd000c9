"""A model of transformers at the edges of a process: its end, Ctrl-C, forks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from support.scripts import run
from support.tiny_models import save_tiny

START = """
import os, signal, sys, threading, time, warnings
from popi_sdk.errors import PopiError
from popi_sdk.generators import GenerationOptions
from popi_sdk.generators.hf import HfGenerator

ENDLESS, SHORT = GenerationOptions(max_tokens=200), GenerationOptions(max_tokens=2)

def quietly(call, *arguments):
    try:
        call(*arguments)
    except PopiError:
        pass

generator = HfGenerator(sys.argv[1])
generator.start()
generator._held.model().model.register_forward_pre_hook(lambda *_: time.sleep(0.05))
print("loaded", flush=True)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(save_tiny(tmp_path_factory.mktemp("models") / "tiny", eos_token_id=None))


ENDS = {
    "kept warm": "generator.generate('Hi', SHORT); generator.keep_warm(); generator.close()",
    "with a stream and a thread in flight": """
        threading.Thread(target=quietly, args=(generator.generate, 'Hi', ENDLESS), daemon=True).start()
        stream = generator.stream('Hi', ENDLESS); next(stream)
        sys.exit(7)
    """,
}


@pytest.mark.parametrize("end", ENDS)
def test_a_process_ends_cleanly(folder, end):
    started = time.monotonic()
    done = run(START + textwrap.dedent(ENDS[end]), folder)
    assert (done.returncode, done.stderr, done.stdout) == (7 if "7" in ENDS[end] else 0, "", "loaded\n")
    assert time.monotonic() - started < 55


def test_ctrl_c(folder):
    script = START + "generator.generate('Hi', ENDLESS); print('went on')"
    command = [sys.executable, "-c", script, folder]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "loaded\n"
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        out, errors = process.communicate(timeout=20)
        took = time.monotonic() - started
    assert process.returncode == -signal.SIGINT
    assert "went on" not in out
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert "Exception ignored" not in errors
    assert took < 5


FORKED = """
generator.generate('Hi', SHORT)
warnings.simplefilter("ignore")  # Python itself warns of a fork with threads
child = os.fork()
if child == 0:
    signal.alarm(10)
    for attempt in (
        lambda: generator.generate("Hi", SHORT),
        lambda: next(generator.stream("Hi", SHORT)),
        lambda: generator.count_tokens("Hi"),
        lambda: generator.generate_batch(["Hi"], SHORT),
        lambda: HfGenerator(sys.argv[1]).generate("Hi", SHORT),
        lambda: HfGenerator(sys.argv[1], dtype="float32").start(),
    ):
        try:
            attempt()
            print("worked")
        except PopiError as error:
            print(type(error).__name__, "spawn" in str(error))
    generator.close()
    sys.stdout.flush()
    os._exit(0)
_, status = os.waitpid(child, 0)
print("status", os.waitstatus_to_exitcode(status))
print("parent", bool(generator.generate("Hi", SHORT).text))
"""


def test_a_forked_child_is_refused_and_the_parent_goes_on(folder):
    done = run(START + FORKED, folder)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["loaded", *["ConfigurationError True"] * 6, "status 0", "parent True"]


@pytest.mark.parametrize("missing", ["torch", "transformers"])
def test_without_the_extra_the_first_use_says_what_to_install(folder, missing):
    script = """
    import sys
    from popi_sdk import MissingExtraError, create_generator
    generator = create_generator(f"hf:{sys.argv[1]}")
    assert not {"torch", "transformers", "peft", "numpy"} & set(sys.modules)
    sys.modules[sys.argv[2]] = None
    for attempt in (lambda: generator.generate("Hi"), lambda: generator.count_tokens("Hi")):
        try:
            attempt()
        except MissingExtraError as error:
            print(error)
    """
    done = run(script, folder, missing)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"'{missing}' is not installed. Run: pip install 'popi-sdk[hf]'\n" * 2


def test_what_the_user_set_for_openmp_holds_and_ours_does_not_stay():
    script = "import os; from popi_sdk.models._torch import torch; print(os.environ.get('GOMP_SPINCOUNT'))"
    for given, expected in (({"GOMP_SPINCOUNT": "7"}, "7"), ({}, "None")):
        environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"} | given
        assert run(script, env=environment).stdout.strip() == expected
