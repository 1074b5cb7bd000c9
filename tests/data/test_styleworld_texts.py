"""StyleWorld's texts say what they claim: read by other means than they were written with."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Mapping
from functools import cache

import pytest

from popi_sdk.data import HeldOutPair, UserRecord
from popi_sdk.data.styleworld import AXES, SPLITS, generate
from popi_sdk.data.styleworld.axes import Split, Style, draw_style, flipped
from popi_sdk.data.styleworld.draws import Draws
from popi_sdk.data.styleworld.grammar import casual, contract, formal, go_on, lower_first
from popi_sdk.data.styleworld.phrases import load, pool
from popi_sdk.data.styleworld.render import draw_plan, render, render_note
from popi_sdk.data.styleworld.topics import Topic, load_topics, topics_of
from popi_sdk.signals import Dialogue, Edit, Writing

MARK = re.compile(r"(?m)^[-*\u2022] ")
CONTRACTION = re.compile(
    r"\b(?:\w+n't|(?:it|that|there|what|who|here|let|i|he|she)'s|(?:they|we|you)'(?:re|ve|ll|d)|(?:it|that)'ll)\b",
    re.IGNORECASE,
)
EXAMPLE = re.compile(
    r"\b(?:for example|for instance|as an (?:example|illustration)|one example|to give an example|to illustrate|"
    r"take this case|by way of example|here is an example|a case in point|consider this case|to name an example|"
    r"in one instance|an example of this|picture this|to make it concrete|an example helps)\b",
    re.IGNORECASE,
)
TOPICS = {topic.id: topic for topic in load_topics()}


def words_of(text: str) -> frozenset[str]:
    """What stays of a sentence in every register."""
    plain = text.lower().replace("lots of", "many").replace("approximately", "about").replace("frequently", "often")
    plain = re.sub(r"n't\b", " not", plain.replace("can't", "cannot").replace("won't", "will not"))
    return frozenset(re.findall(r"[a-z0-9]{2,}", plain)) - frozenset(("is", "are", "it", "that", "they", "will"))


@cache
def parts_of(topic_id: str) -> tuple[tuple[str, str | None, frozenset[str]], ...]:
    """Every sentence of a topic: what it is, in which vocabulary, and its words."""
    topic = TOPICS[topic_id]
    parts: list[tuple[str, str | None, frozenset[str]]] = []
    for name, said in (("answer", topic.answer), *((f"fact {at}", fact) for at, fact in enumerate(topic.facts))):
        parts += [(name, "plain", words_of(said.plain)), (name, "technical", words_of(said.technical))]
    parts += [("reason", None, words_of(topic.reason)), ("example", None, words_of(topic.example))]
    return tuple(parts)


def told(text: str, topic_id: str) -> list[tuple[str, str | None]]:
    """What a text tells of its topic, in order."""
    found = []
    for sentence in re.split(r"(?<=[.!?])\s+|\n+", text):
        words = words_of(sentence)
        shares = [(len(part & words) / len(part | words), name, said) for name, said, part in parts_of(topic_id)]
        share, name, said = max(shares, key=lambda each: each[0])
        if share > 0.5:
            found.append((name, said))
    return found


def read(text: str, topic_id: str) -> dict[str, str]:
    """The style of a text, as a stranger would see it."""
    parts = told(text, topic_id)
    names = [name for name, _ in parts]
    vocabularies = {vocabulary for _, vocabulary in parts if vocabulary}
    assert len(names) == len(set(names)), f"something is told twice: {names}\n{text}"
    assert len(vocabularies) == 1, f"{vocabularies}\n{text}"
    assert len(names) in (3, 6), f"{names}\n{text}"
    assert {"answer", "reason"} <= set(names)
    assert ("example" in names) == bool(EXAMPLE.search(text))
    return {
        "length": "long" if len(names) == 6 else "short",
        "layout": "bullets" if len(MARK.findall(text)) > 1 else "prose",
        "register": register_of(text),
        "vocabulary": vocabularies.pop(),
        "order": {0: "answer-first", len(names) - 1: "reasons-first"}[names.index("answer")],
        "example": "with" if EXAMPLE.search(text) else "without",
    }


def register_of(text: str) -> str:
    shown = {register: shows(text, register) for register in AXES["register"]}
    assert sum(map(bool, shown.values())) == 1, f"{shown}\n{text}"
    assert not (shown["formal"] and CONTRACTION.search(text)), text
    return next(register for register, phrases in shown.items() if phrases)


def shows(text: str, register: str) -> list[str]:
    """What stands in a text by which only one register opens, connects, concludes or closes."""
    starts = [start.lower() for start in re.split(r"(?<=[.!?])\s+|\n+", MARK.sub("", text))]
    return [phrase for phrase in frame(register) if any(start.startswith(phrase) for start in starts)]


@cache
def frame(register: str) -> tuple[str, ...]:
    phrases: list[str] = []
    for kind, table in load("answer").items():
        if kind != "example":
            tables = table[register].values() if kind == "opener" else [table[register]]
            phrases += [phrase for one in tables for pool in (*SPLITS, "more") for phrase in one[pool]]
    # One-word openers of the casual register are also how longer formal ones or facts begin.
    return tuple(phrase.lower() for phrase in phrases if phrase not in ("And", "So", "Well"))


@pytest.fixture(scope="module", params=[*SPLITS, "wide"])
def users(request: pytest.FixtureRequest) -> list[UserRecord]:
    wide = request.param == "wide"
    return list(generate("train" if wide else request.param, 30, wide=wide))


def test_both_texts_of_every_pair_are_in_the_style_that_is_claimed(users: list[UserRecord]) -> None:
    for record in users:
        for pair in record.pairs:
            for text, style in ((pair.chosen, pair.meta["chosen"]), (pair.rejected, pair.meta["rejected"])):
                assert read(text, pair.meta["topic"]) == style, text


def test_who_knows_the_point_and_reads_the_texts_is_always_right(users: list[UserRecord]) -> None:
    for record in users:
        point = record.meta["point"]
        for pair in record.pairs:
            fits = [fit(text, pair, point) for text in (pair.chosen, pair.rejected)]
            assert fits[0] - fits[1] == len(str(pair.kind).split("+"))


def fit(text: str, pair: HeldOutPair, point: Mapping[str, str | None]) -> int:
    return sum(point[axis] == value for axis, value in read(text, pair.meta["topic"]).items())


def test_edits_and_second_answers_mend_what_was_not_wanted(users: list[UserRecord]) -> None:
    mended = 0
    for record in users:
        for signal in record.signals:
            if isinstance(signal, Edit):
                mended += mends(signal.prompt, signal.before, signal.after, record)
            elif isinstance(signal, Dialogue) and len(signal.messages) > 3:
                prompt, before, _, after, *_ = (turn.content for turn in signal.messages)
                mended += mends(prompt, before, after, record)
    assert mended > 20


def mends(prompt: str | None, before: str, after: str, record: UserRecord) -> bool:
    topic_id = topic_of(str(prompt))
    was, became = read(before, topic_id), read(after, topic_id)
    changed = [axis for axis in AXES if was[axis] != became[axis]]
    assert 1 <= len(changed) <= 3
    return all(became[axis] == record.meta["point"][axis] for axis in changed)


def topic_of(text: str) -> str:
    """The topic with the longest name that stands in a text."""
    return max((topic for topic in TOPICS.values() if topic.name in text), key=lambda topic: len(topic.name)).id


def test_users_write_mostly_as_they_like_to_read(users: list[UserRecord]) -> None:
    same: list[bool] = []
    for record in users:
        for signal in record.signals:
            if isinstance(signal, Writing):
                style = read(signal.text, topic_of(re.split(r"(?<=[.!])\s", signal.text)[0]))
                same += [style[axis] == value for axis, value in record.meta["point"].items() if value]
    assert 0.75 < sum(same) / len(same) < 1.0


# -- one text --


@pytest.mark.parametrize("topic", load_topics(), ids=lambda topic: topic.id)
def test_every_topic_can_be_rendered_in_every_style(topic: Topic) -> None:
    draws = Draws("every style", topic.id)
    for _ in range(5):
        style, split = draw_style(draws), draws.choice(SPLITS)
        text = render(topic, style, draw_plan(draws, split))
        assert read(text, topic.id) == style, text
        assert is_well_formed(text), text
        note = render_note(topic, style, draw_plan(draws, split))
        assert topic.name in note
        assert is_well_formed(note), note


def is_well_formed(text: str) -> bool:
    faults = re.search(r"  |\s$|^\s|[.,:!?] ?[.,:]|\n\n\n|[^\x20-\x7e\n\u2022]|\{|\b(\w+) \1\b(?<!that that)", text)
    lines = all(re.match(r"(?:[-*\u2022] )?[A-Z0-9].*[.!?:]$", line) for line in text.split("\n") if line)
    sentences = all(re.match(r"[A-Z0-9]", start) for start in re.findall(r"[.!?] (\S+)", text))
    return not faults and lines and sentences


def test_two_styles_of_one_plan_differ_in_the_flipped_axis_alone() -> None:
    draws = Draws("one plan")
    for topic in topics_of("train")[:20]:
        style, plan = draw_style(draws), draw_plan(draws, "train")
        for axis in AXES:
            other = render(topic, flipped(style, (axis,)), plan)
            assert read(other, topic.id) == flipped(style, (axis,))


@pytest.mark.parametrize("split", SPLITS)
def test_length_depends_on_the_axis_of_length_alone(split: Split) -> None:
    draws = Draws("length", split)
    styles: list[Style] = [draw_style(draws) for _ in range(2000)]
    lengths = [len(render(draws.choice(topics_of(split)), style, draw_plan(draws, split)).split()) for style in styles]
    by_axis = {axis: correlation(axis, styles, lengths) for axis in AXES}
    assert by_axis.pop("length") > 0.9
    assert max(map(abs, by_axis.values())) < 0.12, by_axis


def correlation(axis: str, styles: Iterable[Style], lengths: list[int]) -> float:
    return statistics.correlation([float(AXES[axis].index(style[axis])) for style in styles], list(map(float, lengths)))


def test_technical_words_do_not_make_a_text_longer() -> None:
    ratios = []
    for topic in load_topics():
        plain, technical = (
            sum(len(said.in_words(words).split()) for said in (topic.answer, *topic.facts))
            for words in AXES["vocabulary"]
        )
        ratios.append(technical / plain)
    assert max(abs(ratio - 1) for ratio in ratios) < 0.25
    assert abs(statistics.mean(ratios) - 1) < 0.05


def test_long_is_much_longer_than_short() -> None:
    draws = Draws("much longer")
    for topic in load_topics():
        style, plan = draw_style(draws), draw_plan(draws, "train")
        short, long = (len(render(topic, {**style, "length": value}, plan).split()) for value in AXES["length"])
        assert long > 1.4 * short


def test_texts_vary() -> None:
    topic, style = topics_of("train")[0], draw_style(Draws("vary"))
    assert len({render(topic, style, draw_plan(Draws("vary", at), "train")) for at in range(50)}) > 40


# -- grammar --


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("It is late and they are tired.", "It's late and they're tired."),
        ("It does not rain, and it cannot snow.", "It doesn't rain, and it can't snow."),
        ("The sea is not deep where it is.", "The sea isn't deep where it is."),
        ("The air is colder than it is at sea level.", "The air is colder than it is at sea level."),
        ("The yeast in it will die.", "The yeast in it will die."),
        ("That is what is left, and it will grow.", "That's what's left, and it'll grow."),
        ("This is not only true but also useful.", "This is not only true but also useful."),
    ],
)
def test_contractions(sentence: str, said: str) -> None:
    assert contract(sentence) == said
    assert contract(said) == said


def test_words_of_a_register() -> None:
    assert casual("Many birds, such as owls, do not sleep.") == "Lots of birds, like owls, don't sleep."
    assert casual("As many as ten and how many of many millions.") == "As many as ten and how many of many millions."
    assert casual("The very same thing is very small.") == "The very same thing is really small."
    assert formal("Often about 20 of them, in about 1450.") == "Frequently approximately 20 of them, in about 1450."
    assert formal("Only about half is about here.") == "Only about half is about here."


def test_a_sentence_goes_on_in_small_letters() -> None:
    assert go_on("Also,", "The sea rises.") == "Also, the sea rises."
    assert go_on("Bottom line:", "The sea rises.") == "Bottom line: The sea rises."
    assert go_on("", "The sea rises.") == "The sea rises."
    for name in ("DNS maps names.", "LEDs glow.", "Socrates asks.", "Silk Road trade grew.", "1 plus 1 is two."):
        assert go_on("Also,", name) == f"Also, {name}"
    assert lower_first("Silk was light.") == "silk was light."
    assert lower_first("A map.") == "a map."


def test_pools_are_large_enough_for_a_long_text() -> None:
    for split in SPLITS:
        for register in AXES["register"]:
            assert len(pool(split, "answer", "connective", register)) >= 4
