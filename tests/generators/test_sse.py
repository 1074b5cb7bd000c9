"""Server-sent events: the same however they are cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from popi_sdk.generators.protocols import sse
from popi_sdk.generators.protocols.sse import SseParser

NASTY = st.sampled_from([*list(b"data: x\r\n:\n\r\n\r"), 239, 187, 191, 195, 169, 240, 159, 152, 128])
STREAMS = st.one_of(
    st.binary(max_size=200),
    st.lists(NASTY, max_size=200).map(bytes),
    st.lists(
        st.tuples(
            st.sampled_from(["data: ", "data:", "data", "event: ", "id: ", ": ", "retry: ", "", " data: "]),
            st.text(max_size=8),
            st.sampled_from(["\n", "\r\n", "\r", "\n\n", "\r\n\r\n", "\r\r", ""]),
        ),
        max_size=20,
    ).map(lambda parts: "".join("".join(part) for part in parts).encode()),
)


def parse(data: bytes, cuts: list[int] | None = None) -> list[bytes]:
    parser = SseParser()
    places = [0, *sorted(cuts or []), len(data)]
    events: list[bytes] = []
    for start, end in itertools.pairwise(places):
        events += parser.feed(data[start:end])
    return events + parser.finish()


@given(data=STREAMS, where=st.data())
def test_any_cutting_gives_the_same_events(data, where):
    cuts = where.draw(st.lists(st.integers(0, len(data)), max_size=12))
    assert parse(data, cuts) == parse(data)
    assert parse(data, list(range(len(data)))) == parse(data)


@given(
    st.lists(st.text(max_size=40).filter(lambda t: "\r" not in t), max_size=6), st.sampled_from(["\n", "\r\n", "\r"])
)
def test_what_is_written_as_the_standard_says_is_read(texts, end):
    written = "".join("".join(f"data: {line}{end}" for line in text.split("\n")) + end for text in texts)
    assert parse(written.encode()) == [text.encode() for text in texts]


@pytest.mark.parametrize(
    ("data", "events"),
    [
        (b"", []),
        (b"\n\n\n", []),
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b"data: a\r\n\ndata: b\n\r\n", [b"a", b"b"]),
        (b"data:a\ndata: b\ndata:  c\n\n", [b"a\nb\n c"]),
        (b": a comment\ndata: a\n: another\n\n: only\n\n", [b"a"]),
        (b"event: message\nid: 3\nretry: 10\ndata: a\n\n", [b"a"]),
        (b"event: ping\n\n", []),
        (b"data\n\n", [b""]),
        (b"data:\n\n", [b""]),
        (b"dataset: a\n\n data: b\n\nDATA: c\n\n", []),
        (b"data: a: b\n\n", [b"a: b"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", [b"b"]),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [b"a"]),
        ("data: é😀\n\n".encode(), ["é😀".encode()]),
        (b"data: a\n\ndata: [DONE]", [b"a", b"[DONE]"]),
        (b"data: a\n\ndata: b\n", [b"a", b"b"]),
        (b"data: a\n\ndata: b\r", [b"a", b"b"]),
    ],
)
def test_examples(data, events):
    assert parse(data) == events
    assert parse(data, list(range(len(data)))) == events


def test_a_lone_carriage_return_at_the_end_of_a_chunk_ends_the_line_at_once():
    parser = SseParser()
    assert parser.feed(b"data: a\r") == []
    assert parser.feed(b"\r") == [b"a"]
    assert parser.feed(b"\n") == []
    assert parser.feed(b"data: b\n\n") == [b"b"]


def test_events_come_as_soon_as_they_are_complete():
    parser = SseParser()
    assert parser.feed(b"data: a\n\nda") == [b"a"]
    assert parser.feed(b"ta: b\n") == []
    assert parser.feed(b"\n") == [b"b"]
    assert parser.finish() == []


@pytest.mark.parametrize("piece", [b"x" * 60, b"data: " + b"x" * 54, b"data: " + b"x" * 53 + b"\n"])
def test_an_event_may_not_grow_for_ever(monkeypatch, piece):
    monkeypatch.setattr(sse, "MAX_EVENT", 100)
    parser = SseParser()
    assert parser.feed(piece) == []
    with pytest.raises(ValueError, match="an event of more than 100 bytes"):
        parser.feed(piece)


def test_many_short_lines_are_no_long_event(monkeypatch):
    monkeypatch.setattr(sse, "MAX_EVENT", 100)
    parser = SseParser()
    for _ in range(50):
        assert parser.feed(b": keep-") == []
        assert parser.feed(b"alive\n") == []
        assert parser.feed(b"data: a\n\n") == [b"a"]
