"""TinyWorld: who reads the user gets everything right, who does not gets half, and a tiny model can read it all."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from itertools import product
from pathlib import Path

import pytest

from popi_sdk import PreferencePair, Rating, Statement
from popi_sdk.data import HeldOutPair, UserRecord, digest_of, open_data
from popi_sdk.data.tinyworld import (
    ATTRIBUTES,
    DEFAULT_USERS,
    MAX_ITEMS,
    TEST_DIGEST,
    WORDS,
    generate,
    save_tiny_model,
    shown_values,
    tiny_model,
    tiny_tokenizer,
)
from popi_sdk.errors import ConfigurationError, DataError
from popi_sdk.prompts import render_infer, render_plain, render_with_signals, render_with_summary, select
from popi_sdk.signals import Dialogue, Edit, Profile, Signal, Survey, Writing
from popi_sdk.summary import ByteCounter

SPLITS = ("train", "dev", "test")
KINDS = list(product(*ATTRIBUTES.values()))


def credit(liked: dict[str, str], pair: HeldOutPair) -> float:
    """What a reader who wants these values gets for a pair: it takes the response that shows more of them."""
    matches = [
        sum(shown_values(text)[attribute] == value for attribute, value in liked.items())
        for text in (pair.chosen, pair.rejected)
    ]
    return 1.0 if matches[0] > matches[1] else 0.5 if matches[0] == matches[1] else 0.0


def accuracy(users: list[UserRecord], liked: list[dict[str, str]]) -> float:
    credits_ = [credit(values, pair) for user, values in zip(users, liked, strict=True) for pair in user.pairs]
    return sum(credits_) / len(credits_)


def told_by(signals: tuple[Signal, ...]) -> dict[str, str]:
    """What the signals say of a user: a careful reader's inference, without the gold description."""
    told: dict[str, str] = {}
    for signal in signals:
        if isinstance(signal, PreferencePair):
            rejected = shown_values(signal.rejected)
            told |= {a: value for a, value in shown_values(signal.chosen).items() if rejected[a] != value}
        elif isinstance(signal, Rating):
            shown = shown_values(signal.text)
            told |= shown if signal.value > 0 else {a: next(v for v in ATTRIBUTES[a] if v != shown[a]) for a in shown}
        elif isinstance(signal, Statement):
            told |= shown_values(signal.text)
    return told


@pytest.fixture(scope="module", params=SPLITS)
def users(request: pytest.FixtureRequest) -> list[UserRecord]:
    return list(generate(request.param, 400))


def test_who_reads_the_gold_description_is_always_right(users: list[UserRecord]) -> None:
    assert accuracy(users, [shown_values(user.gold or "") for user in users]) == 1.0


@pytest.mark.parametrize("count", [3, 6, 20])
def test_who_reads_the_signals_knows_the_user(count: int) -> None:
    for user in generate("dev", 80, signals=count):
        assert told_by(user.signals) == shown_values(user.gold or "")


@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
def test_who_ignores_the_user_is_right_half_of_the_time(users: list[UserRecord], kind: tuple[str, ...]) -> None:
    same_for_all = [shown_values(" ".join(kind))] * len(users)
    assert accuracy(users, same_for_all) == pytest.approx(0.5, abs=0.05)


def test_who_reads_another_users_summary_is_right_half_of_the_time(users: list[UserRecord]) -> None:
    golds = [shown_values(user.gold or "") for user in users]
    random.Random(0).shuffle(golds)
    assert accuracy(users, golds) == pytest.approx(0.5, abs=0.06)


def test_half_of_the_attributes_is_worth_half_of_the_way(users: list[UserRecord]) -> None:
    first = [{"size": shown_values(user.gold or "")["size"]} for user in users]
    assert 0.6 < accuracy(users, first) < 0.95


def test_all_kinds_of_users_are_equally_frequent(users: list[UserRecord]) -> None:
    assert Counter(user.gold for user in users) == {" ".join(kind): 50 for kind in KINDS}
    assert len({user.user_id for user in users}) == 400


def test_a_user_is_complete(users: list[UserRecord]) -> None:
    for user in users[:20]:
        kinds = [signal.kind for signal in user.signals]
        assert kinds == ["preference"] * 3 + ["rating", "preference", "statement"]
        assert len(user.pairs) == 4
        assert all(pair.population_agrees == 0.5 for pair in user.pairs)


def test_pairs_differ_in_as_many_attributes_as_they_say(users: list[UserRecord]) -> None:
    pairs = [pair for user in users for pair in user.pairs]
    names = {1: "one attribute", 2: "two attributes", 3: "three attributes"}
    for pair in pairs:
        chosen, rejected = shown_values(pair.chosen), shown_values(pair.rejected)
        assert pair.kind == names[sum(chosen[attribute] != rejected[attribute] for attribute in ATTRIBUTES)]
        assert len(pair.chosen.split()) == len(pair.rejected.split()) == 5
    counts = Counter(pair.kind for pair in pairs)
    assert min(counts.values()) > len(pairs) / 4


def texts_of(split: str) -> set[str]:
    texts: set[str] = set()
    for user in generate(split, 200):
        for item in [*user.pairs, *user.signals]:
            if isinstance(item, HeldOutPair | PreferencePair):
                texts |= {item.prompt, item.chosen, item.rejected}
            elif isinstance(item, Rating):
                texts |= {item.prompt or "", item.text}
    return texts


def test_splits_share_every_word_and_no_text_and_no_user() -> None:
    texts = {split: texts_of(split) for split in SPLITS}
    for one, other in (("train", "dev"), ("train", "test"), ("dev", "test")):
        assert not texts[one] & texts[other]
        assert not {u.user_id for u in generate(one, 50)} & {u.user_id for u in generate(other, 50)}
    names = {value for values in ATTRIBUTES.values() for value in values}
    for split in SPLITS:
        assert {word for text in texts[split] for word in text.split()} == set(WORDS) - names - {"please"}
    assert 40 <= len(WORDS) == len(set(WORDS)) <= 60


def test_the_test_users_are_frozen() -> None:
    assert digest_of(generate("test")) == TEST_DIGEST


def test_the_same_seed_gives_the_same_users_in_every_process() -> None:
    code = (
        "from popi_sdk.data import digest_of; from popi_sdk.data.tinyworld import generate;"
        "print(digest_of(generate('dev', 9, seed=3)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == digest_of(generate("dev", 9, seed=3)) != digest_of(generate("dev", 9, seed=4))


def test_a_user_depends_neither_on_how_many_there_are_nor_on_how_much_it_has() -> None:
    few, many = list(generate("train", 3)), list(generate("train", 30, signals=12, pairs=9))
    for one, other in zip(few, many, strict=False):
        assert one.gold == other.gold
        assert one.signals == other.signals[:6]
        assert one.pairs == other.pairs[:4]


def test_most_of_what_a_user_can_have() -> None:
    (user,) = generate("dev", 1, signals=MAX_ITEMS // 2, pairs=MAX_ITEMS // 2)
    assert len(user.signals) + len(user.pairs) == MAX_ITEMS
    assert list(generate("dev", 0)) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"users": -1}, "users=-1"),
        ({"signals": 0}, "signals=0"),
        ({"pairs": 0}, "pairs=0"),
        ({"signals": MAX_ITEMS}, "too many"),
    ],
)
def test_numbers_out_of_range_are_refused_at_the_call(options: dict[str, int], says: str) -> None:
    with pytest.raises(DataError, match=says):
        generate("dev", **options)


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(DataError, match="Use one of: train, dev, test"):
        generate("validation")


def test_it_opens_by_name() -> None:
    data = open_data("tinyworld", split="dev", limit=5)
    assert [user.user_id for user in data] == [user.user_id for user in generate("dev", 5)]
    assert sum(1 for _ in open_data("tinyworld", split="dev")) == DEFAULT_USERS["dev"]


def test_generating_loads_neither_torch_nor_transformers() -> None:
    code = (
        "import sys; from popi_sdk.data.tinyworld import generate; next(generate('dev', 1));"
        "print(*{'torch', 'transformers', 'tokenizers', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == ""


OTHER_KINDS: list[Signal] = [
    Edit(prompt="show the river at noon", before="big river noon mild calm", after="wee river noon mild calm"),
    Dialogue(
        messages=[
            {"role": "user", "content": "show the river at noon"},
            {"role": "assistant", "content": "big river noon mild calm"},
            {"role": "user", "content": "small please"},
        ]
    ),
    Writing(text="wee river", context="noon"),
    Profile(attributes={"river": "wee", "big": 12}),
    Survey(question="small", answer="please"),
    Rating(text="wee river", score="disagree"),
    Rating(text="wee river", score="agree"),
    Rating(text="wee river", score="pass"),
]


def test_the_tokenizer_has_a_token_for_every_word_of_the_language_and_of_our_templates() -> None:
    tokenizer = tiny_tokenizer()
    user = next(generate("train", 1))
    signals = select([*user.signals, *OTHER_KINDS], 100_000, ByteCounter())
    some = select([*user.signals, *OTHER_KINDS], 900, ByteCounter())
    assert some.left_out
    prompts = [
        render_infer(signals, words=40),
        render_infer(some, words=9),
        render_with_signals(user.pairs[0].prompt, signals),
        render_with_summary(user.pairs[0].prompt, user.gold or ""),
        render_plain(user.pairs[0].prompt),
        [{"role": "system", "content": " ".join(WORDS)}, {"role": "user", "content": user.pairs[0].chosen}],
    ]
    for messages in prompts:
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        words = " ".join(message["content"] for message in messages).split()
        assert [word for word in words if tokenizer.unk_token_id in tokenizer(word).input_ids] == []
        assert tokenizer.unk_token_id not in ids
    assert len(tokenizer) < 300


def test_what_the_tokenizer_writes_can_be_read() -> None:
    tokenizer = tiny_tokenizer()
    ids = tokenizer("small warm slow", add_special_tokens=False).input_ids
    assert len(ids) == 3
    assert tokenizer.decode([*ids, tokenizer.eos_token_id], skip_special_tokens=True) == "small warm slow"
    assert tokenizer.unk_token_id in tokenizer("zebra").input_ids
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


def test_the_model_comes_from_its_seed_alone() -> None:
    import torch

    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, again, other = tiny_model(0), tiny_model(0), tiny_model(1)
    assert torch.equal(torch.random.get_rng_state(), before)
    weights = [model.lm_head.weight for model in (one, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert one.num_parameters() < 150_000
    assert not one.training


@pytest.mark.parametrize("width", [0, 8, 40])
def test_a_width_without_whole_heads_is_refused(width: int) -> None:
    with pytest.raises(ConfigurationError, match="multiple of 16"):
        tiny_model(width=width)


def test_a_saved_model_loads_as_any_other(tmp_path: Path) -> None:
    import torch

    from popi_sdk.models.causal_lm import load_causal_lm

    folder = save_tiny_model(tmp_path / "tiny", seed=3, layers=1, width=32)
    loaded = load_causal_lm(folder, dtype="float32", device="cpu")
    assert torch.equal(loaded.model.lm_head.weight, tiny_model(3, layers=1, width=32).lm_head.weight)
    pair = next(generate("dev", 1)).pairs[0]
    prompt = loaded.encode_prompt(render_plain(pair.prompt))
    response = loaded.encode_response(pair.chosen)
    assert len(response) == 6
    assert response[-1] == loaded.tokenizer.eos_token_id
    assert loaded.tokenizer.unk_token_id not in [*prompt, *response]
    assert loaded.max_length >= 2_000
