"""Input that keeps up: what processes decode is what threads decode, and outcomes are recorded in order while others come."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scoring_support import ToyScorer, loaded_image, write_folders, write_picture

import semfid.scoring.folder as folder_module
import semfid.scoring.parcels as parcels_module
from semfid.errors import UserError
from semfid.io.cores import can_fork
from semfid.io.file_pairs import FilePair, pair_files
from semfid.io.on_host import OnHost
from semfid.scoring.folder import Scored, score_files
from semfid.scoring.parcels import Picture, Plan, decoded_ahead, stacked
from semfid.scoring.recorder import Recorder
from semfid.scoring.score_settings import ScoreSettings, settings_for

MIXED = ((64, 64), (80, 56), (41, 67))
forks = pytest.mark.skipif(not can_fork(), reason="workers would start anew and not see what a test has replaced")


@pytest.fixture
def pairs(tmp_path: Path) -> list[FilePair]:
    """Four references of three sizes with three candidates each; one candidate is damaged, one reference is missing."""
    references, candidates = write_folders(tmp_path, 4, ("A", "B", "C"), MIXED)
    (candidates / "B_s1.png").write_bytes(b"no image")
    write_picture(candidates / "C_s2.png", 1, (64, 66))
    found = pair_files(references, candidates).pairs
    (references / "s3.png").unlink()
    return found


def settings(side: int | None, workers: int, maps: bool = False) -> ScoreSettings:
    return ScoreSettings(side, "none" if side is None else "squash", "32", "cpu", maps, workers=workers)


@pytest.mark.parametrize("side", [None, 64], ids=["native", "squash"])
@pytest.mark.parametrize("workers", [1, 3])
def test_scores_do_not_depend_on_who_decodes(
    pairs: list[FilePair], side: int | None, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit: scores, maps, pictures, errors; the passes too, which is why."""
    monkeypatch.setitem(folder_module.PASS_PIXELS, "cpu", 8 * 64 * 64)
    found: list[list[Scored]] = []
    passes = []
    for count in (0, workers):
        scorer = ToyScorer()
        found.append(list(score_files(scorer, pairs, settings(side, count, maps=True))))
        passes.append(scorer.passes)
    assert passes[0] == passes[1]
    assert [one.pair for one in found[0]] == pairs and sum(bool(one.error) for one in found[0]) == 5
    for one, other in zip(*found, strict=True):
        assert one.difference == other.difference and one.error == other.error
        assert (one.width, one.height, one.cropped, one.note) == (other.width, other.height, other.cropped, other.note)
        for mine, its in ((one.map, other.map), (one.picture, other.picture)):
            assert (mine is None) == (its is None)
            if mine is not None and its is not None:
                np.testing.assert_array_equal(mine, its)


def test_processes_hand_over_a_window_as_one_tensor(pairs: list[FilePair]) -> None:
    plans = [Plan(pairs[:3], None), Plan(pairs[6:8], None)]
    (parcel,) = decoded_ahead([plans], settings(64, 2))
    assert [plan for plan, _ in parcel] == plans
    pictures = [picture for _, own in parcel for picture in own]
    assert len(pictures) == 4 + 3 and len({id(picture.stack) for picture in pictures}) == 1
    whole = stacked(pictures)
    assert whole.data_ptr() == pictures[0].pixels.data_ptr(), "no copy"  # type: ignore[union-attr]
    paths = [plans[0].pairs[0].reference, *(pair.candidate for pair in plans[0].pairs)]
    paths += [plans[1].pairs[0].reference, *(pair.candidate for pair in plans[1].pairs)]
    for path, planes in zip(paths, whole, strict=True):
        assert torch.equal((loaded_image(path, 64)[0] * 255).round().byte(), planes)
    apart = [pictures[2], pictures[0]]
    assert torch.equal(stacked(apart), whole[[2, 0]])


def test_pairs_compared_at_once_are_those_compared_by_reference(
    pairs: list[FilePair], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a GPU does, on this CPU."""
    expected = list(score_files(ToyScorer(), pairs, settings(64, 0, maps=True)))
    monkeypatch.setattr(folder_module, "_by_reference", folder_module._at_once)
    for one, other in zip(score_files(ToyScorer(), pairs, settings(64, 0, maps=True)), expected, strict=True):
        assert (one.pair, one.error) == (other.pair, other.error)
        assert one.difference == pytest.approx(other.difference, abs=1e-7)
        if one.map is not None and other.map is not None:
            np.testing.assert_allclose(one.map, other.map, atol=1e-7)


def test_a_gpu_is_a_window_ahead(pairs: list[FilePair], monkeypatch: pytest.MonkeyPatch) -> None:
    """The results of a window are asked for when the next one was given; here they are there at once."""
    events: list[str] = []

    class Noting(ToyScorer):
        def compare(self, reference: Any, candidate: Any) -> torch.Tensor:
            events.append("computed")
            return super().compare(reference, candidate)

    class Asked(OnHost):
        def get(self) -> torch.Tensor:
            events.append("fetched")
            return super().get()

    monkeypatch.setattr(folder_module, "OnHost", Asked)
    monkeypatch.setitem(folder_module.PASS_PIXELS, "cpu", 1)
    good = pairs[:3] + pairs[6:8]
    windows = folder_module._windows(
        decoded_ahead([[Plan([pair], None)] for pair in good], settings(64, 0)), settings(64, 0)
    )
    away = ScoreSettings(64, "squash", "32", "cpu:0", maps=False)  # a device that is not the host by its name
    assert len(list(folder_module._score_in_turn(Noting(), windows, away))) == 5
    assert events == ["computed", "computed", *["fetched", "computed"] * 3, "fetched", "fetched"]


@forks
def test_a_process_that_was_ended_is_said(pairs: list[FilePair], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parcels_module, "read_photo", lambda path: os._exit(9))
    with pytest.raises(UserError, match=r"a process that decodes images was ended.*use --workers 0"):
        list(score_files(ToyScorer(), pairs, settings(64, 1)))


def test_scoring_takes_no_draw_of_the_caller(pairs: list[FilePair]) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    list(score_files(ToyScorer(), pairs, settings(64, 1)))
    assert torch.equal(torch.get_rng_state(), before)


def test_workers_below_zero_are_refused() -> None:
    with pytest.raises(UserError, match="--workers -1: give auto, 0, or a number of processes"):
        settings_for(ToyScorer(), "train", "32", "cpu", False, workers=-1)


def test_a_large_window_needs_room_for_its_workers(pairs: list[FilePair], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semfid.io.shared_memory.free_room", lambda: 1000)
    monkeypatch.setitem(folder_module.PASS_PIXELS, "cpu", 1)
    with pytest.raises(UserError, match=r"--workers 2 keeps up to .* set --workers 0, or give the container more"):
        list(score_files(ToyScorer(), pairs, settings(64, 2)))


def scored(name: str, difference: float = 0.5) -> Scored:
    return Scored(FilePair(name, Path("x"), Path("y")), difference)


def test_outcomes_are_kept_in_order_however_long_each_takes() -> None:
    """The first is drawn last: it waits for all others."""
    others = threading.Barrier(3)
    kept: list[str] = []

    def draw(one: Scored) -> dict[str, Any]:
        if one.pair.pair_id in ("0", "1", "2"):
            others.wait(timeout=900)
        return {"name": one.pair.pair_id}

    recorder = Recorder(draw, lambda one, row: kept.append(row["name"]))
    recorder._drawing._max_workers = 4  # whatever this machine has
    with recorder:
        for number in range(7):
            recorder.add(scored(str(number)))
    assert kept == [str(number) for number in range(7)]


def test_what_was_given_is_recorded_though_scoring_fails() -> None:
    kept: list[str] = []
    with (
        pytest.raises(MemoryError),
        Recorder(lambda one: {}, lambda one, row: kept.append(one.pair.pair_id)) as recorder,
    ):
        for number in range(5):
            recorder.add(scored(str(number)))
        raise MemoryError("scoring")
    assert kept == ["0", "1", "2", "3", "4"]


def test_a_disk_that_is_full_ends_the_scoring() -> None:
    def full(one: Scored, row: dict[str, Any]) -> None:
        raise UserError("cannot write s.csv.partial: No space left on device")

    with pytest.raises(UserError, match="No space left"), Recorder(lambda one: {}, full) as recorder:
        recorder.add(scored("0"))
    endless = Recorder(lambda one: {}, full)
    with pytest.raises(UserError, match="No space left"), endless:
        while True:
            endless.add(scored("0"))


def test_maps_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semfid.scoring.recorder.MOST_PIXELS", 150)
    go_on = threading.Event()
    waiting = []
    recorder = Recorder(lambda one: {}, lambda one, row: None)

    def draw(one: Scored) -> dict[str, Any]:
        go_on.wait(timeout=900)
        return {}

    recorder.draw = draw
    with recorder:
        large = Scored(FilePair("x", Path("x"), Path("y")), 0.5, map=np.zeros((10, 10)))
        recorder.add(large)  # one may always wait
        waiting.append(len(recorder._coming))
        threading.Timer(0.0, go_on.set).start()
        recorder.add(large)  # returns when the first is written
        waiting.append(sum(not future.done() for _, future in recorder._coming))
    assert waiting[0] == 1 and waiting[1] <= 1


def test_a_picture_without_pixels_has_none() -> None:
    assert Picture(None, error="damaged").pixels is None
    one = Picture(torch.zeros(2, 3, 4, 5, dtype=torch.uint8), 1)
    assert one.pixels is not None and one.pixels.shape == (3, 4, 5)


def test_rgb_files_are_decoded_once_and_stay_their_own(tmp_path: Path) -> None:
    """The decoded image is the caller's: nothing that is done to it reaches another reading."""
    from semfid.io.images import read_image

    path = write_picture(tmp_path / "x.png", 0)
    first = read_image(path)
    first.putpixel((0, 0), (1, 2, 3))
    np.testing.assert_array_equal(np.asarray(read_image(path)), np.asarray(Image.open(path).convert("RGB")))
