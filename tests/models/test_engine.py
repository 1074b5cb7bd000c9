"""The embedded engine and the pool that shares it."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest

from popi_sdk.errors import BackendConnectionError, BackendError, BackendTimeoutError, ConfigurationError
from popi_sdk.models.engine import Engine, EnginePool, engines, load_library

LONG = "word " * 800


@pytest.fixture(scope="module")
def engine(gguf):
    engine = Engine(gguf, 1024, 1)
    yield engine
    assert engine.close()


@pytest.fixture
def pool():
    pool = EnginePool()
    yield pool
    pool.close_all()


def request(text: str, tokens: int = 4) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": text}], "max_tokens": tokens, "temperature": 0}


def chat(engine: Engine, text: str = "Say hello.", tokens: int = 4, timeout: float = 60) -> str:
    """A chat; its text."""
    texts: list[str] = []

    def deliver(event):
        choices = event["choices"]
        texts.append((choices[0]["delta"].get("content") or "") if choices else "")
        return True

    engine.chat(request(text, tokens), deliver, timeout=timeout)
    return "".join(texts)


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def port_of(engine: Engine) -> int:
    return int(engine._address.port or 0)


# One engine per model and process.


def test_holders_share_an_engine_and_the_last_one_closes_it(pool, gguf):
    key, engine = pool.acquire(gguf, 512, 1)
    same_key, same = pool.acquire(gguf.parent / ".." / gguf.parent.name / gguf.name, 512, 1)
    assert same is engine
    assert same_key == key
    assert pool.running() == [gguf]
    pool.release(key)
    assert chat(engine)
    port = port_of(engine)
    assert accepts(port)
    pool.release(key)
    assert pool.running() == []
    assert not accepts(port)
    pool.release(key)  # once too often
    with pytest.raises(BackendError, match="was closed"):
        chat(engine)
    with pytest.raises(BackendError, match="was closed"):
        engine.count_tokens("a")


def test_other_settings_are_another_engine(pool, gguf):
    key, engine = pool.acquire(gguf, 512, 1)
    other_key, other = pool.acquire(gguf, 256, 1)
    assert other is not engine
    pool.release(key)
    assert chat(other)
    pool.release(other_key)


def test_a_kept_engine_outlives_its_holders(pool, gguf):
    key, engine = pool.acquire(gguf, 512, 1)
    pool.keep(key)
    pool.keep(key)
    pool.release(key)
    assert pool.acquire(gguf, 512, 1)[1] is engine
    pool.release(key)
    assert accepts(port_of(engine))
    pool.keep(("nowhere", 1, 1))
    pool.close_all()
    assert not accepts(port_of(engine))
    assert pool.running() == []


def test_threads_that_start_at_once_get_one_engine(pool, gguf):
    barrier = threading.Barrier(6)

    def acquire(_):
        barrier.wait()
        return pool.acquire(gguf, 512, 1)

    with ThreadPoolExecutor(6) as threads:
        acquired = list(threads.map(acquire, range(6)))
    assert len({id(engine) for _, engine in acquired}) == 1
    for key, _ in acquired:
        pool.release(key)
    assert pool.running() == []


def test_acquiring_and_releasing_under_contention(pool, gguf):
    """Whoever holds an engine can use it, whatever the others do."""

    def churn(number):
        for _ in range(2):
            key, engine = pool.acquire(gguf, 512, 1)
            assert engine.count_tokens("one two") > 1
            time.sleep(0.01 * number)
            assert engine.count_tokens("one two") > 1
            pool.release(key)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(churn, range(4)))
    assert pool.running() == []


def test_an_engine_that_did_not_start_is_not_held(pool, tmp_path, gguf):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(gguf.read_bytes()[:1_000_000])
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=f"cannot load {broken}: .* complete GGUF of a supported model"):
            pool.acquire(broken, 512, 1)
    assert pool.running() == []


def test_the_pool_of_the_process_is_empty_between_tests():
    assert engines.running() == []


# The port.


def answer_of(engine: Engine, method: str, path: str, key: str | None = None) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", port_of(engine), timeout=5)
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    body = {"prompt": "a", "content": "a", "input": "a", "messages": [{"role": "user", "content": "a"}]}
    connection.request(method, path, json.dumps(body) if method == "POST" else None, headers)
    response = connection.getresponse()
    data = response.read()
    connection.close()
    return response.status, data


@pytest.mark.parametrize("key", [None, "wrong"])
def test_the_port_answers_nobody_without_the_key(engine, key):
    posts = (
        "completion completions v1/completions chat/completions v1/chat/completions v1/messages v1/responses tokenize"
    )
    posts += (
        " v1/messages/count_tokens detokenize apply-template embedding embeddings v1/embeddings rerank infill props"
    )
    posts += " lora-adapters slots/0 models/load models/unload api/chat"
    gets = "models v1/models api/tags props slots metrics lora-adapters tools nowhere"
    for method, paths in (("POST", posts), ("GET", gets)):
        for path in paths.split():
            status, data = answer_of(engine, method, f"/{path}", key)
            assert status == 401, path
            assert engine.path.name.encode() not in data
    for path in ("/health", "/v1/health"):
        assert answer_of(engine, "GET", path) == (200, b'{"status":"ok"}')
    for path in ("/", "/index.html"):
        assert answer_of(engine, "GET", path)[0] == 404
    assert answer_of(engine, "GET", "/v1/models", engine._key)[0] == 200


def test_nothing_but_loopback_listens(engine):
    mine = {os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}
    listening = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in mine:
                listening.append(fields[1])
    port = f"{port_of(engine):04X}"
    assert f"0100007F:{port}" in listening
    assert {address.rpartition(":")[0] for address in listening} == {"0100007F"}


# Chats.


def test_ten_times_the_same_with_others_in_between(engine):
    answers = set()
    for number in range(10):
        answers.add(chat(engine, "Name a colour.", 8))
        chat(engine, f"Count to {number}.", 2)
    assert len(answers) == 1
    assert answers != {""}


def test_eight_threads_take_turns(engine):
    alone = chat(engine)
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda _: chat(engine), range(8))) == [alone] * 8


def test_a_chat_that_takes_too_long_ends_within_a_batch(engine):
    started = time.monotonic()
    with pytest.raises(BackendTimeoutError, match=r"no complete answer within 0\.05 s"):
        chat(engine, LONG, timeout=0.05)
    assert time.monotonic() - started < 3
    assert chat(engine)


def test_waiting_callers_time_out_too(engine):
    hold = threading.Event()
    running = threading.Event()

    def deliver(event):
        running.set()
        return not hold.wait(10)

    holder = threading.Thread(target=engine.chat, args=(request("hi"), deliver), kwargs={"timeout": 60})
    holder.start()
    assert running.wait(10)
    started = time.monotonic()
    with pytest.raises(BackendTimeoutError):
        chat(engine, timeout=0.1)
    assert 0.1 <= time.monotonic() - started < 1
    assert engine.count_tokens("a b") == 2  # needs no turn
    hold.set()
    holder.join()
    assert chat(engine)


def test_what_the_reader_raises_is_raised(engine):
    def deliver(event):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        engine.chat(request("hi"), deliver, timeout=60)
    assert chat(engine)


def test_the_reader_may_stop(engine):
    events = []

    def deliver(event):
        events.append(event)
        return len(events) < 3

    engine.chat(request("hi", 50), deliver, timeout=60)
    assert len(events) == 3
    assert chat(engine)


@pytest.mark.parametrize("change", [{"messages": None}, {"messages": [{"role": "user"}]}, {"messages": "a\ud800"}])
def test_what_llama_cpp_refuses(engine, change):
    with pytest.raises(ConfigurationError, match="llamacpp, model"):
        engine.chat({**request("hi"), **change}, lambda event: True, timeout=60)
    assert chat(engine)


def test_closing_ends_the_chat_that_runs_and_those_that_wait(gguf):
    engine = Engine(gguf, 1024, 1)
    outcomes: list[object] = []
    running = threading.Event()

    def deliver(event):
        running.set()
        return True

    def talk():
        try:
            engine.chat(request(LONG, 200), deliver, timeout=60)
            outcomes.append("answered")
        except BackendError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=talk) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert running.wait(10)
    started = time.monotonic()
    assert engine.close()
    for thread in threads:
        thread.join(5)
    assert time.monotonic() - started < 5
    assert outcomes == [f"The engine of {gguf} was closed."] * 3
    assert not accepts(port_of(engine))
    assert engine.close()


# Tokens.


def test_prompt_tokens_are_what_the_model_reads(engine):
    turn = [{"role": "user", "content": "What is DNS?"}]
    talks = [
        turn,
        [{"role": "system", "content": "Be brief."}, *turn],
        [*turn, {"role": "assistant", "content": "A phone book."}, {"role": "user", "content": "And <|im_end|> é😀?"}],
        [{"role": "user", "content": "a\n\n b\t"}],
        [{"role": "user", "content": "x" * 300}],
    ]
    for messages in talks:
        usage = []

        def deliver(event, usage=usage):
            usage.append(event.get("usage"))
            return True

        body = {"messages": messages, "max_tokens": 1, "temperature": 0, "stream_options": {"include_usage": True}}
        engine.chat(body, deliver, timeout=60)
        assert usage[-1]["prompt_tokens"] == engine.count_prompt_tokens(messages)


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a b", 2), ("<|im_end|>", 1), ("a\0b", 3), ("a\ud800b", 3)])
def test_tokens_of_a_text(engine, text, tokens):
    assert engine.count_tokens(text) == tokens


def test_a_template_that_cannot_take_the_messages(engine):
    with pytest.raises(BackendError, match="/apply-template answered") as caught:
        engine.count_prompt_tokens([{"role": "user"}])
    assert caught.value.status_code in (400, 500)


def test_an_engine_that_is_gone(gguf):
    engine = Engine(gguf, 512, 1)
    engine._server = None  # as if its threads had died
    with pytest.raises(BackendConnectionError, match=f"engine of {gguf} is gone"):
        engine.count_tokens("a")
    assert engine.close()


# The library.


@pytest.mark.parametrize(
    ("environment", "seen"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_openmp_is_told_not_to_burn_cores_while_it_loads(environment, seen, monkeypatch):
    from popi_sdk.models import engine as module

    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    with module._environment(module._SPIN):
        assert os.environ.get("GOMP_SPINCOUNT") == seen
    assert dict(os.environ) == before
    load_library()
    assert dict(os.environ) == before
