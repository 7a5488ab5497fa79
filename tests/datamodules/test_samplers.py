"""Who sees which pair when: on one process, on many, after a restart."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.samplers import EvaluationBatches, TrainBatches, epoch_order
from semfid.errors import UserError

tables = st.tuples(st.integers(4, 40), st.integers(0, 10_000)).map(
    lambda drawn: (
        drawn[0] * 2,
        np.sort(np.random.default_rng(drawn[1]).permutation(drawn[0] * 2)[: drawn[0]]).astype(np.int64),
    )
)


def of_all_ranks(
    rows: Any, count: int, batch: int, seed: int, world: int, epoch: int
) -> list[list[list[tuple[int, float]]]]:
    """[rank][batch][item]."""
    found = []
    for rank in range(world):
        sampler = TrainBatches(rows, count, batch, seed, rank, world)
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler)
        found.append(batches)
    return found


class TestTraining:
    @given(tables, st.integers(1, 12), st.integers(1, 4), st.integers(0, 3), st.integers(0, 3))
    def test_many_processes_take_the_steps_of_one(
        self, table: Any, batch: int, world: int, seed: int, epoch: int
    ) -> None:
        count, rows = table
        if batch < world:
            return
        (one,) = of_all_ranks(rows, count, batch, seed, 1, epoch)
        many = of_all_ranks(rows, count, batch, seed, world, epoch)
        assert {len(batches) for batches in many} == {len(one)}, "no process waits for another"
        for index, whole in enumerate(one):
            parts = [batches[index] for batches in many]
            assert all(parts), "no process is without a batch"
            real = [item for part in parts for item in part if math.isfinite(item[1])]
            assert sorted(real) == sorted(whole), "the union over processes is the batch of one process"
            assert all(total == len(whole) for _, total in real)
            fillers = [item for part in parts for item in part if not math.isfinite(item[1])]
            assert len(fillers) == max(0, world - len(whole)), "a pair that fills up counts nothing"
        assert sorted(row for whole in one for row, _ in whole) == rows.tolist(), "every pair once an epoch"

    @given(tables, st.integers(1, 12))
    def test_batch_sizes(self, table: Any, batch: int) -> None:
        count, rows = table
        (batches,) = of_all_ranks(rows, count, batch, 0, 1, 0)
        assert [len(items) for items in batches[:-1]] == [batch] * (len(batches) - 1)
        assert 1 <= len(batches[-1]) <= batch

    def test_the_order_is_of_seed_and_epoch(self) -> None:
        rows = np.arange(30)

        def order(seed: int, epoch: int) -> tuple[int, ...]:
            (batches,) = of_all_ranks(rows, 30, 4, seed, 1, epoch)
            return tuple(row for items in batches for row, _ in items)

        assert order(1, 2) == order(1, 2)
        assert len({order(seed, epoch) for seed in range(3) for epoch in range(3)}) == 9
        assert all(order(seed, 0) != tuple(range(30)) for seed in range(3)), "shuffled from the first epoch on"

    def test_a_resumed_run_goes_on_as_if_nothing_had_been(self) -> None:
        rows = np.arange(20)
        through = TrainBatches(rows, 20, 6, 5)
        epochs = []
        for epoch in range(4):
            through.set_epoch(epoch)
            epochs.append(list(through))
        resumed = TrainBatches(rows, 20, 6, 5)
        resumed.set_epoch(3)
        assert list(resumed) == epochs[3] and epochs[2] != epochs[3]

    @given(tables, st.integers(0, 5), st.integers(0, 5))
    def test_folds_share_one_order(self, table: Any, seed: int, epoch: int) -> None:
        """One permutation of the table, thinned: pairs that two folds share come in the same order in both."""
        count, rows = table
        other = rows[::2]
        a, b = epoch_order(rows, count, seed, epoch), epoch_order(other, count, seed, epoch)
        assert sorted(a.tolist()) == rows.tolist() and sorted(b.tolist()) == other.tolist()
        assert [row for row in a if row in set(other.tolist())] == b.tolist()

    def test_too_many_processes(self) -> None:
        with pytest.raises(UserError, match="batch_size=2 cannot be shared by 3 processes; make it at least 3"):
            TrainBatches(np.arange(10), 10, 2, 0, 0, 3)
        with pytest.raises(UserError, match="2 training pairs cannot be shared by 3 processes; use fewer devices"):
            TrainBatches(np.arange(2), 10, 8, 0, 0, 3)


class TestEvaluation:
    @given(tables, st.integers(1, 12), st.integers(1, 4))
    def test_every_row_once_over_all_processes(self, table: Any, batch: int, world: int) -> None:
        _, rows = table
        seen: list[int] = []
        for rank in range(world):
            sampler = EvaluationBatches(rows, batch, rank, world)
            batches = list(sampler)
            assert len(batches) == len(sampler)
            mine = [row for items in batches for row, _ in items]
            assert mine == sorted(mine)
            assert all(total == len(items) for items in batches for _, total in items)
            seen += mine
        assert sorted(seen) == rows.tolist()

    def test_too_many_processes(self) -> None:
        with pytest.raises(UserError, match="2 pairs to evaluate cannot be shared by 3 processes"):
            EvaluationBatches(np.arange(2), 8, 0, 3)
