"""StyleWorld's wide wordings: many, clear of dev and test, and for training alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from popi_sdk.data import UserRecord, digest_of, open_data
from popi_sdk.data.styleworld import AXES, generate
from popi_sdk.data.styleworld.phrases import KINDS, load, pool
from popi_sdk.data.styleworld.topics import topics_of
from popi_sdk.errors import DataError

LEAST = {
    "statement": 16,
    "gold sentence": 16,
    "gold part": 10,
    "gold frame": 6,
    "vote": 10,
    "complaint": 10,
    "praise": 10,
    "reason": 10,
    "profile": 10,
    "survey answer": 10,
    "survey question": 6,
    "answer": 10,
}
"""How many wordings each value has in `more`; of a question, each axis; of an answer, each list."""


def lists(table: dict[str, Any], *path: str) -> Iterator[tuple[tuple[str, ...], dict[str, list[Any]]]]:
    """Each table that holds the phrasings of the splits."""
    if "train" in table:
        yield path, table
        return
    for name, below in table.items():
        yield from lists(below, *path, name)


TABLES = [found for kind in KINDS for found in lists(load(kind), kind)]


def texts(phrase: Any) -> tuple[str, ...]:
    """What of a phrasing stands for itself: of an attribute all of it, and what it says if that is several words."""
    if isinstance(phrase, str):
        return (phrase,)
    return (" ".join(phrase), phrase[1]) if " " in phrase[1] else (" ".join(phrase),)


def plain(text: str) -> str:
    """The words alone, between blanks, so that `in` compares whole words."""
    return f" {' '.join(re.findall(r'[a-z0-9]+', text.lower().replace(chr(39), '')))} "


def test_the_narrow_users_are_those_of_before() -> None:
    digests = {split: digest_of(generate(split, 40)) for split in ("train", "dev")}
    assert digests == {
        "train": "b1980fba662de3b4930a05e0c6bc535e2fd41f1467723f17dfc12076084524e8",
        "dev": "19f994892bb0f72777e43b7a526550bc683417e4971aa1988ae59caa0a2e4bca",
    }


def test_each_value_has_many_wordings() -> None:
    counted = dict.fromkeys(LEAST, 0)
    for path, table in TABLES:
        name = " ".join(path[:2]) if path[0] in ("gold", "survey") else path[0]
        if name in LEAST and path[-1] not in ("other", "question") and "other" not in path[:-1]:
            assert len(table.get("more", ())) >= LEAST[name], path
            counted[name] += 1
    values = sum(map(len, AXES.values()))
    assert counted == dict.fromkeys(LEAST, values) | {"gold frame": 1, "survey question": len(AXES), "answer": 17}


def test_no_wording_is_there_twice() -> None:
    """Nor does one stand for two values in two kinds of signals."""
    by_kind: set[tuple[str, str]] = set()
    values: dict[str, tuple[str, ...]] = {}
    for path, table in TABLES:
        for phrase in (*table["train"], *table.get("more", ())):
            words = plain(texts(phrase)[0])
            assert (path[0], words) not in by_kind, f"{path} {phrase!r}"
            by_kind.add((path[0], words))
            assert values.setdefault(words, path[-2:]) == path[-2:], f"{path} {phrase!r}"


def test_no_wording_is_known_from_dev_or_test() -> None:
    """None equals one of them, holds one or stands in one, in whatever kind; they may share a single word."""
    held = {plain(text) for _, table in TABLES for split in ("dev", "test") for p in table[split] for text in texts(p)}
    phrases = {words for words in held if len(words.split()) > 1}
    for path, table in TABLES:
        for words in (plain(text) for phrase in table.get("more", ()) for text in texts(phrase)):
            assert words not in held, f"{path} {words!r}"
            assert not [other for other in phrases if other in words], f"{path} {words!r} holds a held-out phrasing"
            assert not [other for other in held if words in other], f"{path} {words!r} stands in a held-out phrasing"


def test_attributes_have_names_that_dev_and_test_have_not() -> None:
    tables = [table for path, table in TABLES if path[0] == "profile" and path[-1] != "other"]
    held = {name for table in tables for split in ("dev", "test") for name, _ in table[split]}
    assert not held & {name for table in tables for name, _ in table["more"]}


def test_wordings_fit_where_they_are_put() -> None:
    for path, table in TABLES:
        for phrase in (phrase for phrases in table.values() for phrase in phrases):
            assert all(re.fullmatch(r"[\x20-\x7e]+", text) and "  " not in text for text in texts(phrase)), phrase
            if path[:2] == ("gold", "frame"):
                assert re.fullmatch(r"([A-Z].*)?\{parts\}.*\.", phrase), phrase
            elif path[:2] == ("frame", "prompt"):
                assert re.fullmatch(r"[A-Z].*[.?]", phrase), phrase
                assert phrase.format(**{"name": "X", "is": "is", "it": "it"}).count("X") == 1
            elif path[:2] in (("gold", "part"), ("frame", "context")):
                assert re.fullmatch(r"[a-z].*[a-z]", phrase, re.IGNORECASE), phrase
                assert " and " not in phrase, phrase
            elif path[0] == "profile":
                assert len(phrase) == 2
                assert all(text and text[-1] not in ".,: " for text in phrase), phrase
            elif path[0] != "answer":
                assert re.fullmatch(r"[A-Z].*[.!?]", phrase), phrase


# -- users --


@pytest.fixture(scope="module")
def wide() -> list[UserRecord]:
    return list(generate("train", 60, wide=True))


def test_wide_users_are_others_and_always_the_same(wide: list[UserRecord]) -> None:
    assert wide[0].user_id == "styleworld-train-wide-0-00000"
    assert {user.split for user in wide} == {"train"}
    assert digest_of(wide) == digest_of(generate("train", 60, wide=True))
    assert wide[:5] == list(generate("train", 5, wide=True))
    assert next(generate("train", seed=1, wide=True)).pairs != wide[0].pairs
    narrow = list(generate("train", 60))
    assert not {user.user_id for user in wide} & {user.user_id for user in narrow}
    assert [user.meta["point"] for user in wide] != [user.meta["point"] for user in narrow]


def test_wide_users_survive_json(wide: list[UserRecord]) -> None:
    for record in wide:
        assert UserRecord.model_validate_json(record.model_dump_json()) == record


def test_wide_users_speak_in_many_words_and_of_the_topics_of_train(wide: list[UserRecord]) -> None:
    said = plain(" ".join(record.model_dump_json(exclude={"pairs"}) for record in wide))
    for kind in ("statement", "complaint", "reason", "vote"):
        more = [phrase for path, table in TABLES if path[0] == kind for phrase in table["more"]]
        assert sum(plain(phrase) in said for phrase in more) > 10, kind
    topics = {topic.id for topic in topics_of("train")}
    assert {pair.meta["topic"] for record in wide for pair in record.pairs} <= topics


def test_every_list_is_wider_than_that_of_train() -> None:
    for path, table in TABLES:
        narrow, wide = (pool(wordings, *path) for wordings in ("train", "wide"))
        assert wide[: len(narrow)] == narrow, path
        assert wide[len(narrow) :] == tuple(table["more"]), path
        assert len(wide) > len(narrow), path


@pytest.mark.parametrize("split", ["dev", "test"])
def test_what_is_measured_with_is_never_wide(split: str) -> None:
    with pytest.raises(DataError, match=f"for training alone: the split '{split}'") as caught:
        generate(split, wide=True)
    assert caught.value.field == "wide"


def test_the_wide_world_trains_wide_and_is_measured_as_styleworld() -> None:
    opened = open_data("styleworld-wide", split="train", limit=4, seed=2)
    assert opened.name == "styleworld-wide"
    assert opened.digest() == digest_of(generate("train", 4, seed=2, wide=True))
    for split in ("dev", "test"):
        assert (
            open_data("styleworld-wide", split=split, limit=4).digest()
            == open_data("styleworld", split=split, limit=4).digest()
        )
