"""Little room in /dev/shm is said before a training starts, and never a standstill."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from registry import DATAMODULES
from semfid.errors import UserError
from semfid.io.shared_memory import PLACE, Shared, check_room

MB = 1_000_000
pytestmark = pytest.mark.skipif(not PLACE.is_dir(), reason="this system shares memory otherwise")


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    return lambda left: monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=left))


@pytest.mark.parametrize(
    ("workers", "batches", "batch", "left", "fits"),
    [
        (0, 100, 10 * MB, 0, True),
        (8, 100, 10 * MB, 159 * MB, False),
        (8, 100, 10 * MB, 160 * MB, True),
        (8, 3, 10 * MB, 30 * MB, True),  # there are no more batches
        (1, 100, 10 * MB, 19 * MB, False),
    ],
)
def test_room(workers: int, batches: int, batch: int, left: int, fits: bool, free: Callable[[int], None]) -> None:
    free(left)
    if fits:
        check_room(workers, batches, batch)
        return
    with pytest.raises(UserError) as error:
        check_room(workers, batches, batch)
    assert f"data.workers={workers} keeps up to" in str(error.value) and "set data.workers=0" in str(error.value)


class Pair(NamedTuple):
    image: Tensor
    map: Tensor | None
    name: tuple[str, ...]
    parts: list[Tensor]


def _collate(items: Sequence[Any]) -> Pair:
    return Pair(torch.tensor(items), None, tuple(map(str, items)), [torch.ones(2), torch.zeros(0)])


def _full(_: Tensor) -> Tensor:
    raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")


def _loader(workers: int) -> DataLoader[Pair]:
    context = "fork" if workers else None  # a forked worker sees what a test has replaced
    return DataLoader(
        list(range(40)),  # type: ignore[arg-type]
        batch_size=4,
        num_workers=workers,
        collate_fn=Shared(_collate),
        multiprocessing_context=context,
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_what_they_were(workers: int) -> None:
    for number, batch in enumerate(_loader(workers)):
        assert batch.image.tolist() == list(range(4 * number, 4 * number + 4))
        assert batch.map is None and batch.name[0] == str(4 * number)
        assert batch.image.is_shared() == (workers > 0) == batch.parts[0].is_shared()


def test_no_room_reaches_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tensor, "share_memory_", _full)
    assert len(list(_loader(0))) == 10
    with pytest.raises(UserError) as error:
        list(_loader(2))
    text = str(error.value)
    assert text.startswith("data.workers=2: /dev/shm cannot take another batch (unable to allocate shared memory")
    assert "set data.workers=0" in text and "\n" not in text


def test_a_datamodule_looks_before_it_starts(pair_folder: Callable[..., Path], free: Callable[[int], None]) -> None:
    table = pair_folder(sources=8, each=2)
    for workers, left, fits in ((2, 1000, False), (0, 1000, True), (2, 10**9, True)):
        data = DATAMODULES.build(
            "pairs", table=str(table), image_size=32, batch_size=4, workers=workers, split={"val": 0.2, "test": 0.3}
        )
        free(left)
        if fits:
            assert len(data.train_dataloader()) > 0
        else:
            with pytest.raises(
                UserError, match=r"^data\.workers=2 keeps up to 0\.0\d+ MB of batches in /dev/shm, which has"
            ):
                data.train_dataloader()
