"""What is really sent: messages, options, model, to which path, with which headers."""

from __future__ import annotations

import anthropic
import httpx
import openai
import pytest
from support.fault_server import BACKENDS, KEY, succeed
from support.modes import MODES, STREAMED, ask

from popi_sdk.errors import ConfigurationError, UsageError
from popi_sdk.generators import GenerationOptions, create_generator
from popi_sdk.generators.anthropic import AnthropicGenerator
from popi_sdk.generators.openai import OpenAIGenerator

CHAT = ("openai", "compatible")
CONVERSATION = [
    {"role": "system", "content": "Be brief."},
    {"role": "developer", "content": "Be kind."},
    {"role": "user", "content": "What is DNS?"},
    {"role": "assistant", "content": "A phone book."},
    {"role": "tool", "content": "found: DNS"},
    {"role": "user", "content": [{"type": "text", "text": "And"}, {"type": "text", "text": "TLS?"}, {"type": "image"}]},
]
OPTIONS = GenerationOptions(max_tokens=17, temperature=0.25, stop=("END", "\n\n"))


def sent(server, generator, mode, *args):
    server.requests.clear()
    ask(generator, mode, *args)
    (request,) = server.requests
    return request


@pytest.mark.parametrize("backend", CHAT)
def test_chat_completions(server, make, backend):
    server.always(succeed())
    generator = make(backend)
    for mode in MODES:
        request = sent(server, generator, mode, CONVERSATION, OPTIONS.model_copy(update={"seed": 5}))
        assert request.path == "/v1/chat/completions"
        assert request.headers["authorization"] == f"Bearer {KEY}"
        expected = {
            "model": "asked-model",
            "messages": [
                *CONVERSATION[:-2],
                {"role": "user", "content": "found: DNS"},  # role tool needs a tool_call_id, and there is none
                {"role": "user", "content": "And\nTLS?\n[image]"},
            ],
            "max_tokens": 17,
            "temperature": 0.25,
            "seed": 5,
            "stop": ["END", "\n\n"],
        }
        if mode in STREAMED:
            expected |= {"stream": True, "stream_options": {"include_usage": True}}
        assert request.body == expected


def test_messages(server, make):
    server.always(succeed())
    generator = make("anthropic")
    for mode in MODES:
        request = sent(server, generator, mode, CONVERSATION, OPTIONS)
        assert request.path == "/v1/messages"
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert "anthropic-version" in request.headers
        expected = {
            "model": "asked-model",
            "system": "Be brief.\n\nBe kind.",
            "messages": [
                {"role": "user", "content": "What is DNS?"},
                {"role": "assistant", "content": "A phone book."},
                {"role": "user", "content": "found: DNS"},
                {"role": "user", "content": "And\nTLS?\n[image]"},
            ],
            "max_tokens": 17,
            "temperature": 0.25,
            "stop_sequences": ["END", "\n\n"],
        }
        if mode in STREAMED:
            expected["stream"] = True
        assert request.body == expected


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_not_set_is_not_sent(server, make, backend):
    server.always(succeed())
    generator = make(backend)
    for options in (None, GenerationOptions(), {}):
        body = sent(server, generator, "generate", "hi", options).body
        assert body == {"model": "asked-model", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 512}


@pytest.mark.parametrize("backend", CHAT)
def test_zero_is_a_temperature_and_a_seed(server, make, backend):
    server.always(succeed())
    body = sent(server, make(backend), "generate", "hi", GenerationOptions(temperature=0, seed=0)).body
    assert (body["temperature"], body["seed"]) == (0, 0)


def test_anthropic_takes_no_seed(server, make):
    for mode in MODES:
        with pytest.raises(ConfigurationError, match="takes no seed"):
            ask(make("anthropic"), mode, "hi", GenerationOptions(seed=1))
    assert server.requests == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_mistakes_are_found_before_anything_is_sent(server, make, backend):
    generator = make(backend)
    for mode in MODES:
        for prompt in ("", [], [{"role": "robot", "content": "x"}], "half \ud800"):
            with pytest.raises(UsageError):
                ask(generator, mode, prompt)
        with pytest.raises(ConfigurationError, match="max_tokens"):
            ask(generator, mode, "hi", {"max_tokens": 0})
        with pytest.raises(ConfigurationError, match="nonsense"):
            ask(generator, mode, "hi", {"nonsense": 1})
    for call in (generator.stream, generator.astream):  # by the call, not by the first piece
        with pytest.raises(UsageError):
            call("")
    assert server.requests == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_model_name_that_cannot_be_sent(server, backend):
    generator = server.generator(backend)
    generator = type(generator)("m\ud800", url=server.url, api_key="k", max_retries=0)
    for mode in MODES:
        with pytest.raises(ConfigurationError, match="cannot be sent"):
            ask(generator, mode)
    generator.close()
    assert server.requests == []


@pytest.mark.parametrize(
    ("url", "field"),
    [
        (None, "max_completion_tokens"),
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("https://eu.api.openai.com/v1", "max_completion_tokens"),
        ("https://mine.openai.azure.com/openai/v1", "max_completion_tokens"),
        ("http://127.0.0.1:8000/v1", "max_tokens"),
        ("https://openrouter.ai/api/v1", "max_tokens"),
        ("https://notopenai.com/v1", "max_tokens"),
    ],
)
def test_openai_itself_has_a_name_of_its_own_for_the_limit(url, field, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    for generator in (
        OpenAIGenerator("m", url=url),
        OpenAIGenerator("m", client=openai.OpenAI(api_key="k", base_url=url)),
    ):
        body = generator.protocol.request("m", [], GenerationOptions(), stream=False)
        assert field in body
        assert len({"max_tokens", "max_completion_tokens"} & set(body)) == 1


def ready(server, backend, **options):
    """A generator over ready clients, and these."""
    sdk, made = {"openai": (openai, OpenAIGenerator), "anthropic": (anthropic, AnthropicGenerator)}[backend]
    url = f"{server.url}/v1" if backend == "openai" else server.url
    kinds = (sdk.OpenAI, sdk.AsyncOpenAI) if backend == "openai" else (sdk.Anthropic, sdk.AsyncAnthropic)
    client, async_client = (kind(api_key="ready", base_url=url, max_retries=7, **options) for kind in kinds)
    return made("asked-model", client=client, async_client=async_client), client, async_client


@pytest.mark.parametrize("backend", ["openai", "anthropic"])
async def test_ready_clients_are_used_and_stay_open(server, backend, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "environment")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    server.always(succeed())
    generator, client, async_client = ready(server, backend, default_headers={"x-mine": "yes"})
    assert server.url in generator.identity
    generator.generate("hi")
    generator.stream("hi").read()
    await generator.agenerate("hi")
    await generator.astream("hi").read()
    await generator.aclose()
    generator.close()
    assert [r.headers["authorization"] for r in server.requests] == ["Bearer ready"] * 4
    assert [r.headers["x-mine"] for r in server.requests] == ["yes"] * 4
    assert not client.is_closed()
    assert not async_client.is_closed()
    generator.generate("hi")
    client.close()
    await async_client.close()


@pytest.mark.parametrize("backend", ["openai", "anthropic"])
async def test_one_ready_client_does_not_open_a_way_around_it(server, backend, monkeypatch):
    """The environment's key would send what was meant for the caller's own endpoint to the provider."""
    monkeypatch.setenv("OPENAI_API_KEY", "environment")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "environment")
    generator, client, async_client = ready(server, backend)
    made = type(generator)
    with pytest.raises(ConfigurationError, match="pass async_client= or a key"):
        await made("m", client=client).agenerate("hi")
    with pytest.raises(ConfigurationError, match="pass client= or a key"):
        made("m", async_client=async_client).generate("hi")
    server.always(succeed())
    url = f"{server.url}/v1" if backend == "openai" else server.url
    with made("m", async_client=async_client, api_key="mine", url=url) as both:
        both.generate("hi")
    assert server.requests[0].headers["authorization"] == "Bearer mine"
    client.close()
    await async_client.close()


@pytest.mark.parametrize("backend", ["openai", "anthropic"])
async def test_ready_clients_of_the_wrong_kind(server, backend):
    generator, client, async_client = ready(server, backend)
    made = type(generator)
    for options in ({"client": async_client}, {"async_client": client}, {"client": httpx}, {"client": "k"}):
        with pytest.raises(ConfigurationError, match="client of the SDK, not"):
            made("m", **options)
    client.close()
    await async_client.close()


def test_a_ready_client_without_a_key(server):
    client = anthropic.Anthropic(base_url=server.url)
    with pytest.raises(ConfigurationError, match="cannot be sent"):
        AnthropicGenerator("m", client=client).generate("hi")
    client.close()


def test_a_ready_client_over_httpx_instead_of_httpx2(server):
    """As the SDK had it before; its errors are others."""
    with httpx.Client() as http, openai.OpenAI(api_key="k", base_url=server.url, http_client=http) as client:
        generator = OpenAIGenerator("m", client=client, timeout=0.2, max_retries=0)
        server.plan(succeed(), succeed(delay=2), lambda exchange: exchange.close())
        assert generator.generate("hi").text
        for expected in ("no complete answer within", "the connection failed"):
            with pytest.raises(Exception, match=expected) as caught:
                generator.generate("hi")
            assert type(caught.value).__module__ == "popi_sdk.errors"


@pytest.mark.parametrize("backend", BACKENDS)
def test_tokens_are_counted_by_whom_the_caller_names(server, make, backend):
    generator = make(backend)
    assert (generator.tokenizer, generator.count_tokens("né")) == ("estimated", 3)
    assert generator.count_prompt_tokens([{"role": "user", "content": "né"}, {"role": "user", "content": "a"}]) == 4
    counted = make(backend, count_tokens=lambda text: 100 * len(text.split()))
    assert (counted.tokenizer, counted.count_tokens("a b")) == (f"{backend}:asked-model", 200)


@pytest.mark.parametrize("backend", ["openai", "anthropic"])
def test_a_model_is_needed(backend):
    for spec in (backend, f"{backend}:", f"{backend}:@http://127.0.0.1:1"):
        with pytest.raises(ConfigurationError, match=f"{backend} needs a model: '{backend}:MODEL'"):
            create_generator(spec)


@pytest.mark.parametrize("spec", ["compatible", "compatible:m", "compatible:@http://127.0.0.1:1"])
def test_compatible_needs_a_model_and_a_url(spec):
    with pytest.raises(ConfigurationError, match="needs a model and a URL"):
        create_generator(spec)
