"""StyleWorld as a data set: reproducible, split without overlap, balanced, and frozen."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from popi_sdk.data import UserRecord, digest_of, open_data
from popi_sdk.data.styleworld import AXES, DEFAULT_USERS, SPLITS, TEST_DIGEST, VERSION, generate
from popi_sdk.data.styleworld.axes import cared_for
from popi_sdk.data.styleworld.draws import Draws
from popi_sdk.data.styleworld.phrases import KINDS, load, pool
from popi_sdk.data.styleworld.topics import load_topics, split_of, topics_of
from popi_sdk.data.styleworld.traces import KINDS as SIGNALS
from popi_sdk.errors import DataError
from popi_sdk.signals import Dialogue, Edit, PreferencePair, Profile, Rating, Statement, Survey, Writing


@pytest.fixture(scope="module", params=[False, True], ids=["train", "wide"])
def people(request: pytest.FixtureRequest) -> list[UserRecord]:
    """Enough users to count with."""
    return list(generate("train", 500, wide=request.param))


def words(text: str) -> int:
    return sum(any(char.isalnum() for char in token) for token in text.split())


def share(counted: Iterator[bool] | list[bool]) -> float:
    values = list(counted)
    return sum(values) / len(values)


def test_the_test_split_is_frozen() -> None:
    assert digest_of(generate("test")) == TEST_DIGEST, (
        "The test users of StyleWorld have changed, so new results could not be compared with old ones. If that is not "
        "what you want, undo what changed them (topics, phrasings, renderers, draws, or the form of a record). If it "
        "is, count VERSION in popi_sdk/data/styleworld/world.py up by one, put the new digest into TEST_DIGEST, and "
        "measure every row again that is compared with one of the old version."
    )
    assert VERSION == "1"


def test_the_data_set_of_that_name_is_the_frozen_one() -> None:
    assert open_data("styleworld", split="test").digest() == TEST_DIGEST


@pytest.mark.parametrize("hash_seed", ["0", "1234"])
def test_another_process_generates_the_same_bytes(hash_seed: str) -> None:
    code = (
        "from popi_sdk.data import digest_of; from popi_sdk.data.styleworld import generate; "
        "print(digest_of(generate('dev', 20, seed=3)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )
    assert result.stdout.strip() == digest_of(generate("dev", 20, seed=3))


def test_a_user_does_not_depend_on_how_many_are_generated() -> None:
    few, many = list(generate("dev", 3)), list(generate("dev", 12))
    assert few == many[:3]


def test_signals_and_pairs_do_not_depend_on_how_many_there_are() -> None:
    (small,) = generate("test", 1, signals=3, pairs=2)
    (large,) = generate("test", 1, signals=60, pairs=50)
    assert small.signals == large.signals[:3]
    assert small.pairs == large.pairs[:2]
    assert small.gold == large.gold


def test_users_come_one_by_one() -> None:
    first = next(generate("train", 10**9))
    assert first.user_id == "styleworld-train-0-00000"


def test_other_seeds_are_other_users() -> None:
    ids = {record.user_id for seed in range(3) for record in generate("dev", 5, seed=seed)}
    assert len(ids) == 15
    assert next(generate("dev", seed=1)).pairs != next(generate("dev", seed=2)).pairs


def test_default_sizes() -> None:
    assert dict(DEFAULT_USERS) == {"train": 2000, "dev": 100, "test": 300}
    users = list(generate("dev"))
    assert len(users) == 100
    assert {(len(user.signals), len(user.pairs)) for user in users} == {(8, 8)}


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"split": "validation"}, "split"),
        ({"split": "dev", "users": -1}, "users"),
        ({"split": "dev", "signals": 0}, "signals"),
        ({"split": "dev", "pairs": 0}, "pairs"),
    ],
)
def test_what_cannot_be_generated_is_refused_at_once(arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(DataError, match=field) as caught:
        generate(**arguments)
    assert caught.value.field == field


def test_records_survive_json() -> None:
    for record in generate("test", 5):
        assert UserRecord.model_validate_json(record.model_dump_json()) == record


# -- splits --


def test_topics_are_divided_by_their_id_alone() -> None:
    assert len(load_topics()) >= 150
    sizes = {split: len(topics_of(split)) for split in SPLITS}
    assert sum(sizes.values()) == len(load_topics())
    assert 0.5 < sizes["train"] / len(load_topics()) < 0.7
    assert min(sizes.values()) >= 0.15 * len(load_topics())
    assert [split_of(name) for name in ("dns", "sourdough", "dehydration")] == ["test", "test", "dev"]


def leaves(table: dict[str, Any], *path: str) -> Iterator[tuple[tuple[str, ...], dict[str, list[Any]]]]:
    for name, value in table.items():
        if isinstance(value, list):
            yield path, table
            return
        yield from leaves(value, *path, name)


def test_no_phrasing_stands_in_two_splits() -> None:
    seen: dict[str, str] = {}
    for kind in KINDS:
        for path, table in leaves(load(kind)):
            assert set(table) - {"more"} == set(SPLITS), f"{kind} {path}"
            for name, phrases in table.items():
                split = "train" if name == "more" else name
                assert phrases, f"{kind} {path} {name}"
                for phrase in map(str, phrases):
                    assert seen.setdefault(phrase.lower(), split) == split, (
                        f"{phrase!r} is in {split} and another split"
                    )


def test_the_pools_speak_of_every_value() -> None:
    for kind in ("statement", "complaint", "praise", "reason", "vote", "profile"):
        for axis, values in AXES.items():
            assert {value: bool(pool("test", kind, axis, value)) for value in values} == dict.fromkeys(values, True)
            assert set(load(kind)[axis]) == set(values)


def test_splits_share_no_user_and_no_text() -> None:
    texts: dict[str, set[str]] = {split: set() for split in SPLITS}
    prompts: dict[str, set[str]] = {split: set() for split in SPLITS}
    for split in SPLITS:
        for record in generate(split, 40):
            assert record.split == split
            texts[split] |= {text for pair in record.pairs for text in (pair.chosen, pair.rejected)}
            prompts[split] |= {pair.prompt for pair in record.pairs}
    for one, other in (("train", "dev"), ("train", "test"), ("dev", "test")):
        assert not texts[one] & texts[other]
        assert not prompts[one] & prompts[other]


def test_held_out_pairs_are_about_other_topics_than_the_signals() -> None:
    for record in generate("test", 20):
        prompts = {signal.prompt for signal in record.signals if isinstance(signal, PreferencePair | Edit)}
        names = {topic.name for topic in topics_of("test") if any(topic.name in str(prompt) for prompt in prompts)}
        asked = {pair.meta["topic"] for pair in record.pairs}
        assert len(asked) == len(record.pairs)
        assert not asked & {topic.id for topic in topics_of("test") if topic.name in names}


# -- the population --


def test_every_value_is_equally_likely(people: list[UserRecord]) -> None:
    for axis, values in AXES.items():
        counts = Counter(record.meta["point"][axis] for record in people)
        cared = counts[values[0]] + counts[values[1]]
        assert counts[values[0]] / cared == 0.5
        assert 0.24 < counts[None] / len(people) < 0.4
    assert min(len(cared_for(record.meta["point"])) for record in people) >= 2


def test_the_population_has_no_taste(people: list[UserRecord]) -> None:
    """Who answered every pair by one and the same taste would guess."""
    pairs = [pair for record in people for pair in record.pairs]
    for axis, values in AXES.items():
        about = [pair for pair in pairs if axis in str(pair.kind).split("+")]
        assert abs(share(pair.meta["chosen"][axis] == values[0] for pair in about) - 0.5) < 0.03
    assert {pair.population_agrees for pair in pairs} == {None}


def test_which_text_is_longer_tells_nothing_but_length(people: list[UserRecord]) -> None:
    pairs = [pair for record in people for pair in record.pairs]
    other = [pair for pair in pairs if "length" not in str(pair.kind) and words(pair.chosen) != words(pair.rejected)]
    assert len(other) > 1500
    assert abs(share(words(pair.chosen) > words(pair.rejected) for pair in other) - 0.5) < 0.04
    about = [pair for pair in pairs if "length" in str(pair.kind)]
    assert abs(share(words(pair.chosen) > words(pair.rejected) for pair in about) - 0.5) < 0.06
    for pair in about:
        assert (words(pair.chosen) > words(pair.rejected)) == (pair.meta["chosen"]["length"] == "long")


def test_a_pair_is_about_what_its_kind_says(people: list[UserRecord]) -> None:
    sizes: Counter[int] = Counter()
    for record in people:
        point = record.meta["point"]
        for pair in record.pairs:
            chosen, rejected = pair.meta["chosen"], pair.meta["rejected"]
            differ = [axis for axis in AXES if chosen[axis] != rejected[axis] and point[axis] is not None]
            assert pair.kind == "+".join(sorted(differ))
            assert all(chosen[axis] == value for axis, value in point.items() if value is not None)
            sizes[len(differ)] += 1
    assert set(sizes) == {1, 2, 3}
    aside = [
        pair.meta["chosen"][axis] != pair.meta["rejected"][axis]
        for record in people
        for pair in record.pairs
        for axis, value in record.meta["point"].items()
        if value is None
    ]
    assert abs(share(aside) - 0.5) < 0.05


# -- signals --


def test_signals_of_every_kind(people: list[UserRecord]) -> None:
    kinds = Counter(signal.kind for record in people for signal in record.signals)
    assert set(kinds) == {signal.model_fields["kind"].default for signal in _CLASSES}
    ratings = [signal for record in people for signal in record.signals if isinstance(signal, Rating)]
    assert {rating.score for rating in ratings if isinstance(rating.score, str)} == {"agree", "disagree", "pass"}
    assert len({rating.scale for rating in ratings if not isinstance(rating.scale, str)}) > 3
    assert len(SIGNALS) == 9
    assert len({tuple(signal.kind for signal in record.signals) for record in people}) > 400


_CLASSES = (PreferencePair, Rating, Edit, Dialogue, Writing, Profile, Survey, Statement)


def test_what_users_say_is_what_they_want(people: list[UserRecord]) -> None:
    meant = {
        phrase: (axis, value)
        for kind in ("statement", "complaint", "praise", "reason")
        for axis, values in AXES.items()
        for value in values
        for phrase in pool("wide", kind, axis, value)
    }
    said = 0
    for record in people:
        for phrase in phrases_of(record, meant):
            axis, value = meant[phrase]
            assert record.meta["point"][axis] == value, phrase
            said += 1
    assert said > 500


def phrases_of(record: UserRecord, known: dict[str, Any]) -> Iterator[str]:
    for signal in record.signals:
        match signal:
            case Statement(text=text):
                texts = [text]
            case Dialogue(messages=messages):
                texts = [turn.content for turn in messages if turn.role == "user"]
            case PreferencePair(reason=str(reason)):
                texts = [reason]
            case _:
                texts = []
        for text in texts:
            yield from (phrase for phrase in known if text == phrase or text.startswith(f"{phrase} "))


def test_users_answer_and_vote_mostly_as_they_want(people: list[UserRecord]) -> None:
    meant = {
        phrase: (axis, value) for axis in AXES for value in AXES[axis] for phrase in pool("wide", "vote", axis, value)
    }
    true: list[bool] = []
    for record in people:
        for signal in record.signals:
            if isinstance(signal, Rating) and signal.score in ("agree", "disagree"):
                axis, value = meant[signal.text]
                true.append((record.meta["point"][axis] == value) == (signal.score == "agree"))
    assert 0.85 < share(true) < 0.99, "noisy as life is, but not more"


def test_numeric_ratings_fall_with_what_is_not_as_wanted(people: list[UserRecord]) -> None:
    values = [
        signal.value
        for record in people
        for signal in record.signals
        if isinstance(signal, Rating) and not isinstance(signal.score, str)
    ]
    assert 0.4 < share(value > 0.4 for value in values) < 0.6
    assert 0.4 < share(value < 0.3 for value in values) < 0.6


def test_the_gold_description_names_what_matters_and_nothing_else(people: list[UserRecord]) -> None:
    named = {
        phrase.lower(): (axis, value)
        for form in ("sentence", "part")
        for axis, values in AXES.items()
        for value in values
        for phrase in pool("wide", "gold", form, axis, value)
    }
    for record in people:
        gold = str(record.gold).lower()
        found = {
            axis for phrase, (axis, value) in named.items() if phrase in gold and value == record.meta["point"][axis]
        }
        assert found == set(cared_for(record.meta["point"])), record.gold
    assert len({record.gold for record in people}) > 450


# -- draws --


def test_draws_are_what_they_always_were() -> None:
    draws = Draws("a", 1)
    assert [draws.below(100) for _ in range(5)] == [57, 95, 70, 47, 77]
    assert Draws("a", 1).shuffled("abcdef") == ["d", "f", "c", "b", "e", "a"]
    assert Draws("a", 1).some("abcdef", 2) == ["d", "f"]
    assert 2.0 <= Draws("a").between(2.0, 3.0) < 3.0
    assert Draws("a", "1").below(10**6) == Draws("a", 1).below(10**6) != Draws("a1").below(10**6)


def test_draws_are_even() -> None:
    draws = Draws("even")
    counts = Counter(draws.choice("abcd") for _ in range(4000))
    assert all(900 < counts[letter] < 1100 for letter in "abcd")
    first = Counter(draws.shuffled("abcd")[0] for _ in range(4000))
    assert all(900 < first[letter] < 1100 for letter in "abcd")
    assert abs(share(draws.chance(0.3) for _ in range(4000)) - 0.3) < 0.03


def test_there_are_many_different_users() -> None:
    points = {tuple(record.meta["point"].items()) for record in islice(generate("train"), 300)}
    assert len(points) > 200
