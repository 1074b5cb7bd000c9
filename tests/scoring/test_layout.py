"""Rows by hand: who stands where, who sees whom, which label belongs to whom."""

from __future__ import annotations

import torch

from popi_sdk.scoring import Query
from popi_sdk.scoring.layout import Batch, Row, lay_out

QUERY = Query((10, 11, 12), ((20, 21, 22), (30, 31)))


def _packed() -> Batch:
    rows = [Row(0, (0, 1), QUERY.tokens), Row(0, (1,), 4)]
    return lay_out([QUERY], rows, "cpu")


def test_the_example_of_the_docstring() -> None:
    batch = _packed()
    assert batch.ids.tolist() == [[10, 11, 12, 20, 21, 12, 30], [10, 11, 12, 30, 0, 0, 0]]
    assert batch.positions.tolist() == [[0, 1, 2, 3, 4, 2, 3], [0, 1, 2, 3, 0, 0, 0]]
    assert batch.branch.tolist() == [[0, 0, 1, 1, 1, 2, 2], [0, 0, 1, 1, -1, -1, -1]]
    assert batch.where.tolist() == [2, 3, 4, 5, 6, 7 + 2, 7 + 3]
    assert batch.labels.tolist() == [20, 21, 22, 30, 31, 30, 31]
    assert batch.segment.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert batch.owners == ((0, 0), (0, 1), (0, 1))
    assert batch.packed


def test_the_mask_by_hand() -> None:
    expected = [
        # p0 p1 | p2 a0 a1 | p2 b0
        [1, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 0, 1, 0],
        [1, 1, 0, 0, 0, 1, 1],
    ]
    mask = _packed().mask()
    assert mask.shape == (2, 1, 7, 7)
    assert mask[0, 0].int().tolist() == expected


def test_a_window_is_counted_in_positions() -> None:
    mask = _packed().mask(window=2)
    # b0 stands at position 3: it sees position 2, the copy of p2, though four tokens lie between it and p1.
    assert mask[0, 0, 6].int().tolist() == [0, 0, 0, 0, 0, 1, 1]
    assert mask[0, 0, 5].int().tolist() == [0, 1, 0, 0, 0, 1, 0]
    assert mask[0, 0, 4].int().tolist() == [0, 0, 0, 1, 1, 0, 0]


def test_every_position_sees_something_and_no_padding_is_seen() -> None:
    mask = _packed().mask()
    assert bool(mask.any(-1).all())
    assert not bool(mask[1, 0, :4, 4:].any())


def test_a_row_with_one_branch_is_the_sequence_itself() -> None:
    batch = lay_out([QUERY], [Row(0, (0,), 5)], "cpu")
    assert batch.ids.tolist() == [[10, 11, 12, 20, 21]]
    assert batch.positions.tolist() == [[0, 1, 2, 3, 4]]
    assert not batch.packed
    assert torch.equal(batch.mask()[0, 0], torch.ones(5, 5, dtype=torch.bool).tril())


def test_a_prefix_of_one_token_leaves_nothing_to_share() -> None:
    batch = lay_out([Query((7,), ((8,), (9, 6)))], [Row(0, (0, 1), 3)], "cpu")
    assert batch.ids.tolist() == [[7, 7, 9]]
    assert batch.positions.tolist() == [[0, 0, 1]]
    assert batch.mask()[0, 0].int().tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
