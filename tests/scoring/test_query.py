"""What is refused before anything is computed, and how queries are put into batches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from popi_sdk.errors import ScoringError
from popi_sdk.scoring import Query, microbatches
from popi_sdk.scoring.query import check_queries

GOOD = Query((1, 2), ((3, 4),))


def _lengths(lengths: list[int]) -> list[Query]:
    return [Query((1,), (tuple(range(length)),)) for length in lengths]


def test_tokens_count_the_prefix_once() -> None:
    # 5 tokens of prefix without the last, and every token of the continuations has a position.
    assert Query((1,) * 5, ((1, 2), (3,))).tokens == 4 + 2 + 1
    assert Query((1,), ()).tokens == 0


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (Query((), ((1,),)), "The prefix of query 1 is empty"),
        (Query((1,), ((2,), ())), "Continuation 1 of query 1 is empty"),
        (
            Query((1, 2, 3), ((4,), (5,) * 6)),
            "Continuation 1 of query 1 does not fit: 3 .* and 6 .* make 9, .* reads 8",
        ),
        (Query((1, 50), ((2,),)), "The prefix of query 1 has the token id 50"),
        (Query((1,), ((2,), (3, -1))), "Continuation 1 of query 1 has the token id -1"),
    ],
)
def test_refusals_name_what_is_wrong(query: Query, message: str) -> None:
    with pytest.raises(ScoringError, match=message):
        check_queries([GOOD, query], max_length=8, vocabulary=50)


def test_what_fits_exactly_is_taken() -> None:
    check_queries([Query((1, 2, 49), ((4,) * 5,))], max_length=8, vocabulary=50)
    check_queries([Query((1,) * 9, ((4,),)), Query((1,), ())], max_length=None, vocabulary=None)


def test_negative_ids_are_refused_where_the_vocabulary_is_unknown() -> None:
    with pytest.raises(ScoringError, match="token id -2"):
        check_queries([Query((-2,), ((1,),))], max_length=None, vocabulary=None)


def test_microbatches_by_hand() -> None:
    # Sorted: 9, 8, 3, 3, 1. Of 9 two fit into 18; of 3 six would, and only three are left.
    assert microbatches(_lengths([3, 9, 1, 8, 3]), 18) == [[1, 3], [0, 4, 2]]


def test_what_exceeds_the_budget_stands_alone() -> None:
    assert microbatches(_lengths([100, 2, 100]), 10) == [[0], [2], [1]]
    assert microbatches([], 10) == []


@given(st.lists(st.integers(0, 60), max_size=40), st.integers(1, 200))
def test_microbatches_hold_everything_once_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = microbatches(_lengths(lengths), budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= budget
    flat = [lengths[index] for batch in batches for index in batch]
    assert flat == sorted(lengths, reverse=True)
