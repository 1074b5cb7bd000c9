"""A model of transformers as a generator: what it answers, how it ends, its names, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from support.hf import ENDLESS, PROMPTS, SHORT, SOME, STORY, slow
from support.modes import MODES, STREAMED, ask

from popi_sdk import Personalizer
from popi_sdk.errors import BackendError, ConfigurationError, ContextTooLongError, InvalidResponseError
from popi_sdk.generators import GenerationOptions, create_generator
from popi_sdk.generators.hf import HfGenerator
from popi_sdk.testing import FixedInferrer


@pytest.mark.parametrize("mode", MODES)
def test_all_verbs_give_what_the_model_generates(hf_generator, hf_model, mode):
    pieces: list[str] = []
    answer = ask(hf_generator, mode, "What is a firewall?", SOME, pieces=pieces)
    ids = torch.tensor([hf_model.encode_prompt([{"role": "user", "content": "What is a firewall?"}])])
    made = hf_model.model.generate(ids, attention_mask=ids * 0 + 1, max_new_tokens=12, do_sample=False, pad_token_id=0)
    assert answer.text == hf_model.tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True)
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (ids.shape[1], 12)
    assert (answer.finish_reason, answer.model) == ("length", "tiny")
    assert answer.request_id.startswith("hf-")
    assert answer.latency > 0
    if mode in STREAMED:
        assert "".join(pieces) == answer.text
        assert len(pieces) > 1


def test_a_stream_comes_piece_by_piece(hf_generator, hf_model):
    with slow(hf_model) as sizes, hf_generator.stream(STORY, ENDLESS) as stream:
        next(stream)
        assert len(sizes) < 20


def test_greedy_and_seed_0_unless_told_otherwise(hf_generator):
    def text(**options):
        return hf_generator.generate(STORY, GenerationOptions(max_tokens=12, **options)).text

    assert text() == text(temperature=0) == text(seed=7)
    assert text(temperature=1.5) == text(temperature=1.5, seed=0) != text(temperature=1.5, seed=1)
    assert text() != text(temperature=1.5)


def test_the_facade_from_a_backend_string(hf_folder):
    with Personalizer(FixedInferrer("Be brief."), f"hf:{hf_folder}") as popi:
        response = popi.personalize(["Keep it short."], "Hi", options={"max_tokens": 4})
        assert response.text
        assert popi.generator.backend == "hf"


def test_stop_texts_of_the_options_and_an_end_by_itself(hf_generator, hf_model):
    whole = hf_generator.generate(STORY, SOME).text
    word = whole[4:7]
    for mode in MODES:
        answer = ask(hf_generator, mode, STORY, SOME.model_copy(update={"stop": (word,)}))
        assert (answer.text, answer.finish_reason) == (whole[: whole.index(word)], "stop")


def test_an_empty_answer_is_a_failure(hf_generator, hf_model, monkeypatch):
    whole = hf_generator.generate(STORY, SOME).text
    for mode in MODES:
        with pytest.raises(InvalidResponseError, match=r"hf, model 'tiny': unusable answer: no text"):
            ask(hf_generator, mode, STORY, SOME.model_copy(update={"stop": (whole[:2],)}))


@pytest.mark.parametrize("mode", MODES)
def test_a_prompt_that_does_not_fit(hf_generator, mode):
    with pytest.raises(ContextTooLongError, match=r"exceeds the available context size \(256 tokens\)") as caught:
        ask(hf_generator, mode, "a" * 600)
    assert (caught.value.backend, caught.value.model, caught.value.retryable) == ("hf", "tiny", False)


def test_an_answer_ends_where_the_context_does(hf_generator, hf_model):
    prompt = "a" * (255 - hf_generator.count_prompt_tokens([{"role": "user", "content": ""}]))
    assert hf_generator.count_prompt_tokens([{"role": "user", "content": prompt}]) == 255
    answer = hf_generator.generate(prompt, SOME)
    assert (answer.finish_reason, answer.usage.output_tokens) == ("length", 1)
    with pytest.raises(ContextTooLongError):
        hf_generator.generate(prompt + "a", SOME)


def test_a_model_that_fails(hf_generator, hf_model):
    def fail(*arguments, **named):
        raise torch.OutOfMemoryError("out of memory")

    hook = hf_model.model.register_forward_pre_hook(fail, with_kwargs=True)
    try:
        for mode in MODES:
            with pytest.raises(BackendError, match=r"the model failed: OutOfMemoryError: out of memory.*batch_size"):
                ask(hf_generator, mode, STORY, SHORT)
        with pytest.raises(BackendError, match="out of memory"):
            hf_generator.generate_batch(PROMPTS, SHORT)
    finally:
        hook.remove()
    assert hf_generator.generate(STORY, SHORT).text


def test_names_and_counts(hf_folder, hf_generator, hf_model):
    assert hf_generator.model == "tiny"
    assert hf_generator.tokenizer == "hf:tiny"
    assert hf_generator.max_concurrency == 32
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is <|im_end|>?"}]
    assert hf_generator.count_prompt_tokens(messages) == hf_generator.generate(messages, SHORT).usage.input_tokens
    assert hf_generator.count_tokens("What is DNS?") == hf_model.count_tokens("What is DNS?")
    assert hf_generator.identity == f"hf:{hf_model.identity}"
    assert HfGenerator(hf_folder, dtype="float32").identity == hf_generator.identity


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (None, "smollm2-135m-instruct"),
        ("smollm2-135m-instruct", "smollm2-135m-instruct"),
        ("owner/model-1b", "owner/model-1b"),
    ],
)
def test_nothing_is_loaded_before_it_is_needed(source, name, monkeypatch):
    monkeypatch.setattr("popi_sdk.models.causal_lm.load_causal_lm", None)
    generator = HfGenerator(source)
    assert (generator.model, generator.identity) == (name, f"hf:{name}:auto")
    generator.stream("Hi").close()
    assert repr(generator) == f"<HfGenerator hf:{name}:auto>"
    generator.close()


def test_what_cannot_be_is_said_at_once(tmp_path, hf_folder):
    for model, options, words in (
        (tmp_path / "none", {}, "does not exist"),
        (tmp_path / "none.gguf", {}, "does not exist"),
        (tmp_path, {}, "has no config.json"),
        (hf_folder, {"adapter": hf_folder}, "has no adapter_config.json"),
        (hf_folder, {"batch_size": 0}, "batch_size=0 must be a whole number"),
        (hf_folder, {"batch_size": True}, "batch_size"),
        (hf_folder, {"timeout": 0}, "timeout"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            HfGenerator(model, **options)
    with pytest.raises(ConfigurationError, match="runs in this process and has no URL"):
        create_generator("hf:x@http://localhost:1")
