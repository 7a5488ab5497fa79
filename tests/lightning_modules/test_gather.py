"""Gathering predictions: every row once, in order, the same on every process."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp

from lightning_modules.gather import gather_rows

# uneven shares; rows 3 and 0 stand on both processes, as DistributedSampler would repeat them
SHARES = [[4, 0, 3, 6, 8], [7, 3, 0]]


def value_of(row: int) -> list[float]:
    return [row / 3, float("nan") if row == 7 else -row * 1e-17]


def gather_on(rank: int, folder: str, shares: list[list[int]]) -> None:
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=len(shares))
    rows = torch.tensor(shares[rank], dtype=torch.int64)
    values = torch.tensor([value_of(row) for row in shares[rank]], dtype=torch.float64).reshape(-1, 2)
    torch.save(gather_rows(rows, values), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("shares", [SHARES, [[2, 1], []]], ids=["uneven", "one-empty"])
def test_two_processes(tmp_path: Path, shares: list[list[int]]) -> None:
    context = mp.get_context("fork" if sys.platform == "linux" else "spawn")
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    processes = [context.Process(target=gather_on, args=(rank, str(tmp_path), shares)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(600)
    hung = [process.pid for process in processes if process.is_alive()]
    for process in processes:
        process.kill()
    assert not hung and [process.exitcode for process in processes] == [0, 0]
    expected = sorted({row for share in shares for row in share})
    for rank in range(2):
        rows, values = torch.load(tmp_path / f"{rank}.pt")
        assert rows.tolist() == expected and rows.dtype == torch.int64
        wanted = torch.tensor([value_of(row) for row in expected], dtype=torch.float64)
        assert values.dtype == torch.float64 and torch.equal(values.nan_to_num(5.0), wanted.nan_to_num(5.0))


def test_one_process_sorts_and_drops_repeats() -> None:
    rows, values = gather_rows(torch.tensor([5, 1, 5, 3, 1]), torch.tensor([[50.0], [10.0], [51.0], [30.0], [11.0]]))
    assert rows.tolist() == [1, 3, 5] and values.squeeze(1).tolist() == [10.0, 30.0, 50.0], "the first of equals stays"
