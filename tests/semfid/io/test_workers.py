"""How many workers: by cores, quota, work and room."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

import semfid.io.workers as workers
from semfid.io.cores import can_fork, cores
from semfid.io.workers import IMAGES_PER_WORKER, auto_workers

MANY = 10**6
pytestmark = pytest.mark.skipif(not can_fork(), reason="auto starts workers where they are copies of this process")


@pytest.fixture
def sixteen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "cores", lambda: 16)


@pytest.mark.parametrize(
    ("images", "batches", "beside", "expected"),
    [
        (MANY, MANY, 1, 15),
        (MANY, MANY, 4, 3),
        (MANY, MANY, 16, 0),
        (MANY, 5, 1, 5),
        (IMAGES_PER_WORKER - 1, MANY, 1, 0),
        (3 * IMAGES_PER_WORKER, MANY, 1, 3),
        (0, 0, 1, 0),
    ],
)
def test_workers_follow_cores_and_work(images: int, batches: int, beside: int, expected: int, sixteen: None) -> None:
    assert auto_workers(images, batches, beside=beside) == expected


@pytest.mark.parametrize(("free", "expected"), [(0, 0), (39, 0), (40, 1), (400, 10), (10**9, 15)])
def test_workers_fit_into_half_of_the_shared_memory(
    free: int, expected: int, sixteen: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "free_room", lambda: free)
    assert auto_workers(MANY, MANY, batch_bytes=10) == expected


def test_one_core_has_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "cores", lambda: 1)
    assert auto_workers(MANY, MANY) == 0


@pytest.mark.parametrize(
    ("said", "expected"),
    [("200000 100000\n", 2), ("50000 100000\n", 1), ("max 100000\n", 8), ("", 8), ("900000 100000", 8)],
)
def test_a_container_has_the_cores_of_its_quota(
    said: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)))
    monkeypatch.setattr("semfid.io.cores._QUOTA", tmp_path / "cpu.max")
    assert cores() == 8
    (tmp_path / "cpu.max").write_text(said)
    assert cores() == expected


def _count(queue: multiprocessing.Queue[int]) -> None:
    queue.put(auto_workers(MANY, MANY))


def test_a_worker_starts_none() -> None:
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[int] = context.Queue()
    process = context.Process(target=_count, args=(queue,), daemon=True)
    process.start()
    assert queue.get(timeout=900) == 0
    process.join()
