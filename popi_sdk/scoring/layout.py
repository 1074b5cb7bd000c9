"""How prefixes and continuations lie in the rows of a batch.

A row is one prefix without its last token, and behind it the branches: each starts with a copy of that last token, goes
on with the continuation without its own last token, and sees the prefix and itself. So every position of a branch has
one label, the next token of its continuation, and positions count from the prefix end in each branch:

    row        p0 p1 | p2 a0 a1 | p2 b0
    position    0  1 |  2  3  4 |  2  3
    label       .  . | a0 a1 a2 | b0 b1

A row with one branch is an ordinary sequence and needs neither mask nor position ids, as padding stands on the right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .query import Query

__all__ = ["Batch", "Row", "lay_out"]

_PREFIX, _PAD = 0, -1


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a batch: some continuations of one query.

    Attributes:
        place: Index of the query.
        numbers: Indices of its continuations.
        length: Positions of the row.
    """

    place: int
    numbers: tuple[int, ...]
    length: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows as tensors; B rows of at most L positions, N labels, S continuations.

    Attributes:
        ids: Token ids, (B, L), padded on the right.
        positions: Position of each token in its own sequence, (B, L).
        branch: Which branch a position belongs to, (B, L): 0 for the prefix, -1 for padding.
        where: Positions that have a label, as indices into B * L, (N,).
        labels: The token that follows each of them, (N,).
        segment: The continuation that each label belongs to, as an index into `owners`, (N,).
        owners: Query and continuation of each segment, S of them.
        packed: Whether a row holds more than one branch.
        shared: How many positions at the start of every row are its prefix.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    branch: torch.Tensor
    where: torch.Tensor
    labels: torch.Tensor
    segment: torch.Tensor
    owners: tuple[tuple[int, int], ...]
    packed: bool
    shared: int

    def mask(self, window: int | None = None) -> torch.Tensor:
        """Who sees whom, (B, 1, L, L), bool: the own branch and the prefix, up to the own position.

        Args:
            window: How many positions back a sliding layer looks, its own included; None for all.
        """
        query, key = self.branch[:, :, None], self.branch[:, None, :]
        later, earlier = self.positions[:, :, None], self.positions[:, None, :]
        # Padding sees padding of its own: a row that sees nothing would be NaN, and NaN spreads through gradients.
        sees = ((key == query) | (key == _PREFIX)) & (earlier <= later)
        if window is not None:
            sees &= earlier > later - window
        return sees[:, None]


def lay_out(queries: Sequence[Query], rows: Sequence[Row], device: torch.device | str) -> Batch:
    """Put rows into tensors."""
    length = max(row.length for row in rows)
    ids, positions, branch = ([[fill] * length for _ in rows] for fill in (0, 0, _PAD))
    where: list[int] = []
    labels: list[int] = []
    segment: list[int] = []
    owners: list[tuple[int, int]] = []
    for line, row in enumerate(rows):
        query = queries[row.place]
        *shared, last = query.prefix
        end = len(shared)
        ids[line][:end], positions[line][:end], branch[line][:end] = shared, range(end), [_PREFIX] * end
        for name, number in enumerate(row.numbers, start=1):
            continuation = query.continuations[number]
            start, end = end, end + len(continuation)
            ids[line][start:end] = (last, *continuation[:-1])
            positions[line][start:end] = range(len(shared), len(shared) + len(continuation))
            branch[line][start:end] = [name] * len(continuation)
            where.extend(range(line * length + start, line * length + end))
            labels.extend(continuation)
            segment.extend([len(owners)] * len(continuation))
            owners.append((row.place, number))

    def tensor(values: list[list[int]] | list[int]) -> torch.Tensor:
        return torch.tensor(values, device=device)

    return Batch(
        ids=tensor(ids),
        positions=tensor(positions),
        branch=tensor(branch),
        where=tensor(where),
        labels=tensor(labels),
        segment=tensor(segment),
        owners=tuple(owners),
        packed=any(len(row.numbers) > 1 for row in rows),
        shared=min(len(queries[row.place].prefix) for row in rows) - 1,
    )
