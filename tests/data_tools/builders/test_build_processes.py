"""CPU stages over processes: the bytes of one process, its errors, its journal."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from sr_support import call, esrgan, photos, picture

import data_tools.builders.core.processes as processes_module
from data_tools.builders.core.attempt import Made
from data_tools.builders.core.errors import UnitError
from data_tools.builders.core.processes import made, process_count
from data_tools.builders.core.work_items import Unit, make_unit
from data_tools.builders.sr_outputs.build import build
from data_tools.builders.sr_outputs.scores import has_network
from data_tools.builders.upscalers.contract import build_upscaler
from semfid.errors import UserError
from semfid.io.cores import can_fork

pytestmark = pytest.mark.skipif(not can_fork(), reason="processes are copies of this one")


def unit(number: int) -> Unit:
    return make_unit("stage", f"{number}", "all", "recipe", work=number)


BATCHES = [[unit(number) for number in range(start, min(start + 2, 9))] for start in range(0, 9, 2)]


def maker(units: Sequence[Unit]) -> list[Made | UnitError]:
    if len(units) > 1 and any(one.work == 5 for one in units):
        raise ValueError("together they do not work")
    if units[0].work == 5:
        raise RuntimeError("five alone neither")
    return [UnitError("three is bad") if one.work == 3 else Made({f"{one.work}": b"x" * 100_000}) for one in units]


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_results_are_those_of_this_process_in_its_order(processes: int) -> None:
    here, there = list(made(maker, BATCHES, 0)), list(made(maker, BATCHES, processes))
    assert [batch.units for batch in there] == BATCHES
    for mine, its in zip(here, there, strict=True):
        for one, other in zip(mine.results, its.results, strict=True):
            assert one == other or (type(one), str(one)) == (type(other), str(other))
    assert [type(one).__name__ for batch in there for one in batch.results].count("Made") == 7


def test_threads_of_opencv_do_not_hold_a_copy() -> None:
    """A process that ended the pool that its parent had would wait for threads that it does not have."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.uint8), (31, 31), 5)  # starts them
    try:
        assert len(list(made(maker, BATCHES, 2))) == len(BATCHES) and cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)


def test_what_stops_a_build_reaches_it() -> None:
    def failing(units: Sequence[Unit]) -> list[Made | UnitError]:
        if units[0].work == 4:
            raise UserError("no space left on device")
        return [Made() for _ in units]

    done = []
    with pytest.raises(UserError, match="no space left"):
        for batch in made(failing, BATCHES, 2):
            done.append(batch.units)  # noqa: PERF401 - what came before counts
    assert done == BATCHES[:2]


def test_a_process_that_was_ended_is_said() -> None:
    with pytest.raises(UserError, match=r"a process that makes units was ended.*set workers=0"):
        list(made(lambda units: os._exit(9), BATCHES, 2))


@pytest.mark.parametrize(
    ("workers", "units", "expected"),
    [("auto", 1000, 16), ("auto", 20, 5), ("auto", 7, 0), (3, 1000, 3), (3, 2, 2), (0, 9, 0)],
)
def test_processes_follow_cores_and_work(
    workers: int | str, units: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes_module, "cores", lambda: 16)
    assert process_count(workers, units) == expected


def _content(out: Path) -> dict[str, Any]:
    """Every file's bytes; of the journal all but times."""
    found: dict[str, Any] = {}
    for path in sorted(out.rglob("*")):
        if path.is_file() and path.suffix == ".jsonl" and path.parent.name == "journals":
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            found[path.name] = [{**line, "at": 0, "seconds": 0} for line in lines]
        elif path.is_file() and not path.is_relative_to(out / ".work"):
            found[str(path.relative_to(out))] = path.read_bytes()
    return found


def test_a_build_by_processes_is_that_of_one_byte_by_byte(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos", 4)
    (source / "p3.png").write_bytes(b"no photo")
    contents = []
    for workers in (0, 2):
        settings = {
            "out": str(tmp_path / f"out{workers}"),
            "photos": {"folder": str(source), "min_side": 16},
            "upscalers": {"bicubic": "bicubic", "lanczos": "lanczos"},
            "strengths": [0.5, 1.0],
            "device": "cpu",
            "workers": workers,
        }
        path = tmp_path / f"{workers}.yaml"
        path.write_text(yaml.safe_dump(settings))
        before = torch.get_num_threads()
        build(str(path), [], call())
        assert torch.get_num_threads() == before
        contents.append(_content(tmp_path / f"out{workers}"))
    assert contents[0] == contents[1] and len(contents[0]) > 15


@pytest.mark.parametrize("tile", [0, 16])
def test_images_of_one_size_pass_together(tmp_path: Path, tile: int) -> None:
    weights = str(esrgan(tmp_path / "x4.pth"))
    images = [picture(number, 20, 24) for number in range(3)] + [picture(3, 24, 20), picture(4, 20, 24)]
    common = {"weights": weights, "device": "cpu", "tile": tile}
    alone, together = (build_upscaler("spandrel", {**common, "batch_size": size}) for size in (1, 2))
    passes: list[int] = []
    model = together._loaded()  # type: ignore[attr-defined]

    def counted(planes: torch.Tensor) -> torch.Tensor:
        passes.append(len(planes))
        return model(planes)

    together._model = counted  # type: ignore[attr-defined]
    for one, other in zip(alone.upscale(images), together.upscale(images), strict=True):
        assert one.shape == other.shape and np.abs(one.astype(int) - other).max() <= 1
        assert (one != other).mean() < 0.01
    assert together.identity == alone.identity and together.batch_size == 2
    assert passes == ([2, 1, 1, 1] if tile == 0 else [2] * 4 + [1] * 12)


def test_a_batch_has_an_image(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="batch_size=0 must be 1 or more"):
        build_upscaler("spandrel", {"weights": str(esrgan(tmp_path / "x4.pth")), "batch_size": 0})


@pytest.mark.parametrize(
    ("quality", "network"),
    [
        (None, False),
        ("blur_effect", False),
        ({"name": "deblocked_sharpness"}, False),
        ({"name": "pyiqa"}, True),
        ("my:own", True),
    ],
)
def test_filters_need_no_gpu(quality: Any, network: bool) -> None:
    assert has_network(quality) == network
