"""From tokens to text: pieces, missing bytes, stop texts, the end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.tiny_models import tiny_tokenizer
from support.tiny_tokenizers import sentencepiece

from popi_sdk.generators.hf_row import Row

TOKENIZER = tiny_tokenizer()
END = 2
TEXT = "What is a firewall? It decides: é, 漢字, 👩‍👩‍👧."


def decode(ids):
    return TOKENIZER.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def encode(text: str) -> list[int]:
    return TOKENIZER(text, add_special_tokens=False).input_ids


def fed(ids, **options) -> tuple[Row, list[str]]:
    pieces: list[str] = []
    row = Row([5], **{"room": 1000, "ends": [END], "decode": decode, "deliver": pieces.append, **options})
    for token in ids:
        if row.finish_reason is None:
            row.take(token)
    return row, pieces


def test_pieces_add_up_and_no_character_is_torn():
    row, pieces = fed([*encode(TEXT), END])
    assert (row.text, "".join(pieces), row.finish_reason) == (TEXT, TEXT, "stop")
    assert len(pieces) > 10
    assert "\ufffd" not in "".join(pieces)
    assert row.tokens == len(encode(TEXT)) + 1


@given(st.text(max_size=30))
def test_any_text_comes_out_as_it_was(text):
    row, pieces = fed([*encode(text), END])
    assert row.text == "".join(pieces) == decode(encode(text))


@given(st.lists(st.integers(3, 319), max_size=30))
def test_any_tokens_come_out_as_the_tokenizer_decodes_them(ids):
    row, pieces = fed([*ids, END])
    assert row.text == "".join(pieces)
    if "\ufffd" not in decode(ids):
        assert row.text == decode(ids)


def test_blanks_between_the_pieces_of_sentencepiece():
    tokenizer = sentencepiece()
    ids = tokenizer(TEXT, add_special_tokens=False).input_ids
    row, _ = fed([*ids, END], decode=tokenizer.decode)
    assert row.text == TEXT


def test_room():
    ids = encode(TEXT)
    row, pieces = fed(ids, room=4)
    assert (row.finish_reason, row.tokens, row.text) == ("length", 4, decode(ids[:4]))
    assert "".join(pieces) == row.text


def test_bytes_that_are_missing_at_the_end():
    ids = encode("a漢")
    row, _ = fed(ids[:-1], room=len(ids) - 1)
    assert row.text.startswith("a")
    assert row.text.endswith("\ufffd")
    row, _ = fed([*ids[:-1], END])
    assert row.text.endswith("\ufffd")


@pytest.mark.parametrize(
    ("stops", "expected"),
    [
        (("firewall",), "What is a "),
        (("? It",), "What is a firewall"),
        (("not there", "decides: é", "é"), "What is a firewall? It "),
        (("What",), ""),
        (("is a fire engine", "firewallx", "is"), "What "),
        (("\ud83d",), TEXT),
    ],
)
def test_a_stop_text_ends_it_and_is_not_part_of_it(stops, expected):
    row, pieces = fed([*encode(TEXT), END], stops=stops)
    assert row.text == "".join(pieces) == expected
    assert row.finish_reason == "stop"


@given(st.text("ab ", max_size=12), st.lists(st.text("ab ", min_size=1, max_size=4), min_size=1, max_size=3))
def test_stop_texts_against_the_whole_text(text, stops):
    row, pieces = fed([*encode(text), END], stops=stops)
    found = [text.find(stop) for stop in stops if stop in text]
    assert row.text == "".join(pieces)
    if not found:
        assert row.text == text
    else:  # what is made of several characters at once may hold a stop text that begins earlier and ends later
        assert row.text in {text[:at] for at in found}
        assert not any(stop in row.text for stop in stops)


def test_what_may_become_a_stop_text_is_held_back_and_comes_at_the_end():
    row, pieces = fed(encode("a fire"), stops=["firewall"])
    assert row.text == "".join(pieces) == "a "
    row.take(END)
    assert row.text == "".join(pieces) == "a fire"


def test_a_stop_text_in_the_last_bytes():
    row, _ = fed([*encode("ab\ufffd")[:-1], END], stops=["\ufffd"])
    assert (row.text, row.finish_reason) == ("ab", "stop")
    whole = encode("ab\ufffd")[:-1]
    row, _ = fed(whole, stops=["\ufffd"], room=len(whole))
    assert (row.text, row.finish_reason) == ("ab", "stop")


def test_a_leading_blank_of_the_template_is_not_part_of_the_answer():
    for ids, expected in ((encode(" Hi  you"), "Hi  you"), (encode("Hi you"), "Hi you")):
        row, pieces = fed([*ids, END], lead=" ")
        assert row.text == "".join(pieces) == expected


def test_control_tokens_within_are_left_out():
    row, _ = fed([*encode("a"), 1, *encode("b"), 0, END])
    assert row.text == "ab"


def test_it_tells_when_it_is_finished_once():
    ended = []
    row, _ = fed(encode("abc"), room=2, ended=ended.append)
    assert ended == [row]


def test_numbers_of_a_seed():
    one, two, other = (Row([1], room=1, ends=[], decode=decode, seed=seed) for seed in (3, 3, 4))
    drawn = [one.draw() for _ in range(3)]
    assert drawn == [two.draw() for _ in range(3)] != [other.draw() for _ in range(3)]
    assert all(0 <= number < 1 for number in drawn)
