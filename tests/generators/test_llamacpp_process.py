"""The embedded engine at the edges of a process: its end, Ctrl-C, forks."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import textwrap
import time

import pytest
from support.scripts import run

START = """
import asyncio, atexit, os, signal, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from popi_sdk.errors import PopiError
from popi_sdk.generators import GenerationOptions
from popi_sdk.generators.llamacpp import LlamaCppGenerator
from popi_sdk.models.engine import engines

STORY, LONG = "Tell a very long story about a fox.", "word " * 900
OPTIONS, SHORT = GenerationOptions(max_tokens=400), GenerationOptions(max_tokens=2)

def start():
    generator = LlamaCppGenerator(context=1024, threads=1)
    generator.start()
    print(generator._engine()._address.port, flush=True)
    return generator

def read(stream):
    for piece in stream:
        pass

def quietly(call, *arguments):
    # Whoever waits when the process ends is told so; here nobody wants to read it.
    try:
        call(*arguments)
    except PopiError:
        pass

if __name__ == "__main__":
    generator = start()
"""


def script(body: str) -> str:
    return START + textwrap.indent(textwrap.dedent(body), "    ")


def refused(port: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(port))) != 0


ENDS = {
    "at once": "",
    "after an answer": "generator.generate('hi', SHORT)",
    "kept warm": "generator.keep_warm(); generator.close()",
    "with a thread in flight": """
        threading.Thread(target=quietly, args=(generator.generate, STORY, OPTIONS), daemon=True).start()
        time.sleep(0.3)
    """,
    "with a stream in flight": "stream = generator.stream(STORY, OPTIONS); next(stream)",
    "with a prompt in flight": """
        threading.Thread(target=quietly, args=(generator.generate, LONG, OPTIONS), daemon=True).start()
        time.sleep(0.3)
    """,
    "with several waiting": """
        for _ in range(4):
            threading.Thread(target=quietly, args=(generator.generate, STORY, OPTIONS), daemon=True).start()
        time.sleep(0.3)
    """,
    "with an executor": """
        pool = ThreadPoolExecutor(2)
        done = [pool.submit(generator.generate, "hi", SHORT) for _ in range(2)]
    """,
    "with a thread of asyncio": """
        async def main():
            await asyncio.gather(*(asyncio.to_thread(generator.generate, "hi", SHORT) for _ in range(2)))
        asyncio.run(main())
    """,
    "in the middle of a task": """
        async def main():
            task = asyncio.create_task(generator.agenerate(STORY, OPTIONS))
            await asyncio.sleep(0.3)
        asyncio.run(main())
    """,
    "while an engine starts": """
        other = LlamaCppGenerator(context=512, threads=1)
        threading.Thread(target=quietly, args=(other.start,), daemon=True).start()
    """,
}


@pytest.mark.parametrize("end", ENDS)
def test_a_process_ends_cleanly(gguf, end):
    done = run(script(ENDS[end]))
    assert (done.returncode, done.stderr) == (0, "")
    assert refused(done.stdout.strip())


def test_an_exception_keeps_its_traceback_and_status(gguf):
    done = run(script("next(generator.stream(STORY, OPTIONS)); raise ValueError('mine')"))
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("ValueError: mine")
    assert done.stderr.count("Traceback") == 1
    assert refused(done.stdout.strip())


def test_an_exit_status_is_kept(gguf):
    done = run(script("stream = generator.stream(STORY, OPTIONS); next(stream); sys.exit(7)"))
    assert (done.returncode, done.stderr) == (7, "")


def test_nothing_starts_once_the_process_ends(gguf):
    body = """
        def late():
            try:
                LlamaCppGenerator(context=512, threads=1).start()
            except Exception as error:
                print(type(error).__name__, error)
        """
    done = run(
        START.replace('if __name__ == "__main__":', f"{textwrap.dedent(body)}\natexit.register(late)\n\nif True:")
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "BackendError The process is ending: no engine is started any more." in done.stdout


INTERRUPTED = {
    "generate": "generator.generate(STORY, OPTIONS)",
    "stream": "read(generator.stream(STORY, OPTIONS))",
    "agenerate": "asyncio.run(generator.agenerate(STORY, OPTIONS))",
    "a prompt": "generator.generate(LONG, OPTIONS)",
}


@pytest.mark.parametrize("what", INTERRUPTED)
def test_ctrl_c(gguf, what):
    """In llama.cpp's callback it would be swallowed, and the call would go on."""
    command = [sys.executable, "-c", script(f"print('go', flush=True); {INTERRUPTED[what]}; print('went on')")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        port = process.stdout.readline().strip()
        assert process.stdout.readline() == "go\n"
        time.sleep(0.4)
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        out, errors = process.communicate(timeout=20)
        took = time.monotonic() - started
    assert process.returncode == -signal.SIGINT
    assert "went on" not in out
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert "Exception ignored" not in errors
    assert "terminate called" not in errors
    assert took < 5
    assert refused(port)


def test_ctrl_c_can_be_caught_and_the_engine_used_again(gguf):
    body = """
        threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            generator.generate(STORY, OPTIONS)
        except KeyboardInterrupt:
            print(bool(generator.generate("hi", SHORT).text))
    """
    done = run(script(body))
    assert (done.returncode, done.stderr, done.stdout.split()[1]) == (0, "", "True")


FORKED = """
    {before}
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # a child that hangs is killed, and its status says so
        started = time.monotonic()
        for attempt in (
            lambda: generator.generate("hi", SHORT),
            lambda: next(generator.stream("hi", SHORT)),
            lambda: asyncio.run(generator.agenerate("hi", SHORT)),
            lambda: generator.count_tokens("hi"),
            lambda: generator.keep_warm(),
            lambda: LlamaCppGenerator(context=1024, threads=1).start(),
            lambda: LlamaCppGenerator(context=512, threads=1).start(),
        ):
            try:
                attempt()
                print("worked")
            except Exception as error:
                print(type(error).__name__, "spawn" in str(error))
        generator.close()
        print("prompt" if time.monotonic() - started < 2 else "slow", flush=True)
        {leave}
    _, status = os.waitpid(child, 0)
    print("status", os.waitstatus_to_exitcode(status))
    print("parent", bool(generator.generate("hi", SHORT, timeout=60).text))
"""
BEFORE = {
    "idle": "",
    "in a chat": "stream = generator.stream(STORY, OPTIONS); next(stream)",
    "while another engine starts": """
    other = LlamaCppGenerator(context=700, threads=1)
    threading.Thread(target=other.start, daemon=True).start()
    time.sleep(0.05)
""",
    "while another thread holds the lock": """
generator._lock.acquire()
threading.Timer(0.5, generator._lock.release).start()
""",
    "after it was closed": "generator.close()",
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("before", BEFORE)
def test_a_forked_child_is_told_to_spawn(gguf, before):
    body = textwrap.dedent(FORKED).format(before=textwrap.dedent(BEFORE[before]).strip(), leave="sys.exit(7)")
    done = run(script(body))
    lines = done.stdout.splitlines()[1:]
    assert lines == [*["ConfigurationError True"] * 7, "prompt", "status 7", "parent True"], done.stderr
    assert (done.returncode, done.stderr) == (0, "")


def test_a_child_that_ends_by_an_exception_keeps_its_status(gguf):
    done = run(script(textwrap.dedent(FORKED).format(before="", leave="raise ValueError('mine')")))
    assert "status 1" in done.stdout
    assert "ValueError: mine" in done.stderr
    assert done.returncode == 0


def test_a_child_forked_before_any_engine_may_start_its_own(gguf):
    body = """
        if os.fork() == 0:
            signal.alarm(30)
            print(bool(start().generate("hi", SHORT).text), flush=True)
            sys.exit(7)
        print(os.waitstatus_to_exitcode(os.wait()[1]))
        print(bool(start().generate("hi", SHORT).text))
    """
    text = START.replace("    generator = start()\n", textwrap.indent(textwrap.dedent(body), "    "))
    done = run(text)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line for line in done.stdout.split() if not line.isdecimal() or line == "7"] == ["True", "7", "True"]


def test_spawned_workers_each_have_their_engine(gguf, tmp_path):
    main = tmp_path / "main.py"
    main.write_text(
        START.replace(
            'if __name__ == "__main__":\n    generator = start()\n',
            """
def work(number):
    with LlamaCppGenerator(context=512, threads=1) as generator:
        return generator.generate("Name a colour.", SHORT).text

if __name__ == "__main__":
    import multiprocessing
    generator = start()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        texts = pool.map(work, range(2))
        pool.close()
        pool.join()
    print(texts == [generator.generate("Name a colour.", SHORT).text] * 2)
""",
        )
    )
    done = subprocess.run([sys.executable, str(main)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split()[1] == "True"
