"""Scoring of files: the scores of one by one, each reference described once, what fails does not stop the rest."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scoring_support import ToyScorer, loaded_image, toy_score, write_folders, write_picture

import semfid.scoring.folder as folder_module
import semfid.scoring.parcels as parcels_module
from semfid.errors import UserError
from semfid.io.file_pairs import FilePair, pair_files
from semfid.io.images import Photo
from semfid.scoring.folder import Scored, score_files
from semfid.scoring.score_settings import ScoreSettings, settings_for
from semfid.scoring.scorer import Scorer

NATIVE = ScoreSettings(None, "none", "32", "cpu", maps=False)
SQUASH = ScoreSettings(64, "squash", "32", "cpu", maps=False)
MIXED = ((64, 64), (80, 56), (41, 67), (64, 64), (80, 56))


def run(scorer: Scorer, pairs: list[FilePair], settings: ScoreSettings) -> list[Scored]:
    return list(score_files(scorer, pairs, settings))


@pytest.fixture
def mixed(tmp_path: Path) -> list[FilePair]:
    """Five references of three sizes, three candidates of each."""
    return pair_files(*write_folders(tmp_path, 5, ("A", "B", "C"), MIXED)).pairs


@pytest.mark.parametrize("settings", [NATIVE, SQUASH], ids=["native", "squash"])
@pytest.mark.parametrize("pass_pixels", [1, 3 * 64 * 64, 10**9])
def test_scores_do_not_depend_on_what_shares_a_pass(
    mixed: list[FilePair], settings: ScoreSettings, pass_pixels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(folder_module.PASS_PIXELS, "cpu", pass_pixels)
    scorer = ToyScorer()
    outcomes = run(scorer, mixed, settings)
    assert [outcome.pair for outcome in outcomes] == mixed
    expected = [toy_score(pair.reference, pair.candidate, settings.image_size) for pair in mixed]
    assert np.std(expected) > 1e-3
    np.testing.assert_allclose([outcome.difference for outcome in outcomes], expected, atol=1e-6)
    assert scorer.described == 5 + 15, "every image once"
    for number, _, height, width in scorer.passes:
        assert number == 1 or number * height * width <= pass_pixels
    if pass_pixels == 10**9:
        assert len(scorer.passes) == (3 if settings is NATIVE else 1), "one pass per size"
    if pass_pixels == 1:
        assert len(scorer.passes) == 20
    for outcome in outcomes:
        size = Image.open(outcome.pair.candidate).size if settings is NATIVE else (64, 64)
        assert (outcome.width, outcome.height) == size and outcome.error == "" and outcome.map is None


class _Shared(ToyScorer):
    """Lets threads use it at once, and meets them: every window waits until as many are being described as there are threads."""

    concurrent = True

    def __init__(self, threads: int) -> None:
        super().__init__()
        self.meeting = threading.Barrier(threads)
        self.threads: set[int] = set()

    def describe(self, images: torch.Tensor) -> Any:
        self.threads.add(threading.get_ident())
        self.meeting.wait(timeout=900)
        return super().describe(images)


def test_windows_are_scored_side_by_side_in_their_order(mixed: list[FilePair], monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [pair for pair in mixed if pair.reference != mixed[-1].reference]  # four references, four windows
    monkeypatch.setitem(folder_module.PASS_PIXELS, "cpu", 4 * 64 * 64)
    before = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    scorer = _Shared(2)
    outcomes = run(scorer, pairs, SQUASH)
    assert [outcome.pair for outcome in outcomes] == pairs
    expected = [toy_score(pair.reference, pair.candidate, 64) for pair in pairs]
    np.testing.assert_allclose([outcome.difference for outcome in outcomes], expected, atol=1e-6)
    assert len(scorer.threads) == 2 and threading.get_ident() not in scorer.threads
    monkeypatch.undo()
    assert torch.get_num_threads() == before, "the caller's threads stay as they were"


def test_a_pair_alone_is_scored_by_the_caller(mixed: list[FilePair]) -> None:
    scorer = _Shared(1)
    run(scorer, mixed[:1], SQUASH)
    assert scorer.threads == {threading.get_ident()}


def test_what_a_thread_meets_reaches_the_caller(mixed: list[FilePair], monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(_Shared):
        def describe(self, images: torch.Tensor) -> Any:
            raise UserError("out of luck")

    monkeypatch.setitem(folder_module.PASS_PIXELS, "cpu", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with pytest.raises(UserError, match="out of luck"):
        run(Failing(2), mixed, SQUASH)


def test_a_real_run_scores_mixed_sizes_as_one_by_one(mixed: list[FilePair], linear_scorer: Scorer) -> None:
    outcomes = run(linear_scorer, mixed, NATIVE)
    with torch.no_grad():
        expected = [
            float(linear_scorer(loaded_image(pair.reference, None), loaded_image(pair.candidate, None)))
            for pair in mixed
        ]
    assert np.std(expected) > 1e-3
    np.testing.assert_allclose([outcome.difference for outcome in outcomes], expected, atol=1e-5)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_near(mixed: list[FilePair], linear_scorer: Scorer, precision: Any) -> None:
    few = mixed[:3]
    whole = np.array([outcome.difference for outcome in run(linear_scorer, few, SQUASH)])
    half = np.array(
        [o.difference for o in run(linear_scorer, few, ScoreSettings(64, "squash", precision, "cpu", False))]
    )
    np.testing.assert_allclose(half, whole, atol=2e-2)
    assert (half != whole).any(), "it was not half precision"


def test_tf32_is_float32_on_a_cpu(mixed: list[FilePair], linear_scorer: Scorer) -> None:
    settings = ScoreSettings(64, "squash", "tf32", "cpu", False)
    found = [[o.difference for o in run(linear_scorer, mixed[:3], own)] for own in (SQUASH, settings)]
    assert found[0] == found[1]


@pytest.mark.parametrize("how", ["squash", "letterbox", "center_crop"])
def test_images_become_square_as_in_training(tmp_path: Path, how: Any) -> None:
    """Against the datamodules' own reader."""
    from semfid.io.images import load_pixels

    pair = pair_files(*write_folders(tmp_path, 1, ("A",), ((90, 50),))).pairs[0]
    scorer = ToyScorer()
    (outcome,) = run(scorer, [pair], ScoreSettings(48, how, "32", "cpu", True))
    x, y = (
        torch.from_numpy(load_pixels(path, 48, how))[None].float() / 255 for path in (pair.reference, pair.candidate)
    )
    assert outcome.difference == pytest.approx(float(ToyScorer()(x, y)), abs=1e-7)
    assert scorer.passes == [(2, 3, 48, 48)] and outcome.map is not None and outcome.map.shape == (48, 48)


def test_maps_have_the_size_of_the_images(mixed: list[FilePair]) -> None:
    outcomes = run(ToyScorer(), mixed, ScoreSettings(None, "none", "32", "cpu", True))
    for outcome in outcomes:
        x, y = loaded_image(outcome.pair.reference, None), loaded_image(outcome.pair.candidate, None)
        small = 4 * (F.avg_pool2d(x, 4) - F.avg_pool2d(y, 4)).square().mean(dim=1, keepdim=True)
        grown = F.interpolate(small, x.shape[-2:], mode="bilinear", align_corners=False)[0, 0]
        assert outcome.map is not None and outcome.picture is not None
        np.testing.assert_allclose(outcome.map, grown, atol=1e-6)
        np.testing.assert_array_equal(outcome.picture, np.asarray(Image.open(outcome.pair.candidate)))


def write_nan(path: Path, size: tuple[int, int] = (64, 64)) -> Path:
    values = np.full(size[::-1], 0.5, dtype=np.float32)
    values[3, 4] = np.nan
    Image.fromarray(values).save(path)
    return path


def test_what_fails_is_said_and_the_rest_is_scored(tmp_path: Path) -> None:
    """Every kind of bad file, in the midst of good ones of the same and of other references."""
    references, candidates = write_folders(tmp_path, 4, ("A", "B"))
    good = (candidates / "A_s0.png").read_bytes()
    (candidates / "C_s0.png").write_bytes(good[: len(good) // 2])
    (candidates / "D_s0.png").write_bytes(b"")
    (candidates / "E_s0.png").write_text("no image")
    write_nan(candidates / "F_s0.tif")
    write_picture(candidates / "G_s0.png", 1, (64, 66))
    (references / "s1.png").write_bytes(b"GIF89a")
    for path in (references / "s2.png", candidates / "A_s2.png", candidates / "B_s2.png"):
        write_picture(path, 1, (31, 64))
    pairs = pair_files(references, candidates).pairs
    pairs.insert(5, FilePair("gone", references / "s0.png", candidates / "gone.png"))
    outcomes = {outcome.pair.pair_id: outcome for outcome in run(ToyScorer(), pairs, NATIVE)}
    assert list(outcomes) == [pair.pair_id for pair in pairs]
    says = {
        "C_s0": r"C_s0\.png is corrupt",
        "D_s0": r"D_s0\.png is not an image",
        "E_s0": r"E_s0\.png is not an image",
        "F_s0": r"F_s0\.tif is corrupt: it has pixels that are not finite",
        "G_s0": r"G_s0\.png has 64x66 pixels, its reference s0\.png 64x64; scale one",
        "gone": r"no image .*gone\.png",
        "A_s1": r"HQ/s1\.png is (corrupt|not an image)",
        "B_s1": r"HQ/s1\.png is (corrupt|not an image)",
        "A_s2": r"HQ/s2\.png has 31x64 pixels; at least 32x32",
        "B_s2": r"HQ/s2\.png has 31x64 pixels; at least 32x32",
    }
    for name, text in says.items():
        assert outcomes[name].difference is None and re.search(text, outcomes[name].error), outcomes[name]
    for name in set(outcomes) - set(says):
        pair = outcomes[name].pair
        assert outcomes[name].error == ""
        assert outcomes[name].difference == pytest.approx(toy_score(pair.reference, pair.candidate), abs=1e-6)
    assert len(set(outcomes) - set(says)) == 4


def test_sizes_that_differ_are_refused_though_both_would_be_squashed(tmp_path: Path) -> None:
    x, y = write_picture(tmp_path / "x.png", 0, (64, 64)), write_picture(tmp_path / "y.png", 0, (64, 96))
    (outcome,) = run(ToyScorer(), [FilePair("y", x, y)], SQUASH)
    assert "has 64x96 pixels, its reference x.png 64x64" in outcome.error


def test_a_score_that_is_not_finite_is_a_failure(tmp_path: Path) -> None:
    class Endless(ToyScorer):
        def compare(self, reference: Any, candidate: Any) -> torch.Tensor:
            return super().compare(reference, candidate) * float("inf")

    pairs = pair_files(*write_folders(tmp_path, 2, ("A",))).pairs
    pairs.append(FilePair("same", pairs[0].reference, pairs[0].reference))  # 0 * inf
    outcomes = run(Endless(), pairs, NATIVE)
    assert all(outcome.difference is None and "not finite" in outcome.error for outcome in outcomes)


def test_files_are_decoded_in_threads_while_others_are_scored(
    mixed: list[FilePair], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[str] = set()
    events: list[str] = []
    read = parcels_module.read_photo

    def noting(path: Path) -> Photo:
        threads.add(threading.current_thread().name)
        events.append("read")
        return read(path)

    class Noting(ToyScorer):
        def describe(self, images: torch.Tensor) -> Any:
            events.append("describe")
            return super().describe(images)

    monkeypatch.setattr(parcels_module, "read_photo", noting)
    monkeypatch.setitem(folder_module.PASS_PIXELS, "cpu", 1)
    pairs = [
        FilePair(f"{pair.pair_id}{copy}", pair.reference, pair.candidate)
        for pair in mixed
        for copy in range(4)  # 5 + 60 images
    ]
    outcomes = score_files(Noting(), pairs, NATIVE)
    next(outcomes)
    assert events.count("read") < 65, "the whole folder was decoded before the first score"
    assert len(list(outcomes)) == 59
    assert threading.main_thread().name not in threads and len(threads) > 1


def test_nothing_to_score() -> None:
    assert run(ToyScorer(), [], NATIVE) == []


@pytest.mark.parametrize(
    ("size", "expected"),
    [("train", (64, "squash")), ("native", (None, "none")), ("96", (96, "squash")), ("32", (32, "squash"))],
)
def test_settings(size: str, expected: tuple[int | None, str]) -> None:
    settings = settings_for(ToyScorer(), size, "32", "cpu", True)
    assert (settings.image_size, settings.resize) == expected
    assert settings.device == "cpu" and settings.maps
    assert settings_for(ToyScorer(), size, "32", "auto", False).device in ("cpu", "cuda")


@pytest.mark.parametrize(
    ("facts", "arguments", "says"),
    [
        ({}, ("31", "cpu", False), "--size 31: give train, native, or a number of pixels of at least 32"),
        ({}, ("big", "cpu", False), "--size big"),
        ({}, ("-64", "cpu", False), "--size -64"),
        ({}, ("", "cpu", False), "--size "),
        ({}, ("9²", "cpu", False), "--size 9²"),
        ({"fixed_size": True}, ("native", "cpu", False), "the backbone of toys/toy takes 64x64 only"),
        ({"fixed_size": True}, ("96", "cpu", False), "the backbone of toys/toy takes 64x64 only"),
        ({"gives_maps": False}, ("train", "cpu", True), "toys/toy gives no maps; use a run of a local map model"),
        ({}, ("train", "warp", False), "--device warp: .*use auto"),
        ({}, ("train", "cuda:77", False), "--device cuda:77: .*use auto"),
    ],
)
def test_settings_that_cannot_be(facts: dict[str, Any], arguments: tuple[str, str, bool], says: str) -> None:
    size, device, maps = arguments
    with pytest.raises(UserError, match=says):
        settings_for(ToyScorer(**facts), size, "32", device, maps)


def test_sizes_that_a_fixed_backbone_or_whole_images_do_take() -> None:
    assert settings_for(ToyScorer(fixed_size=True), "64", "32", "cpu", False).image_size == 64
    whole = settings_for(ToyScorer(resize="none"), "train", "32", "cpu", False)
    assert (whole.image_size, whole.resize) == (None, "none")
    smaller = settings_for(ToyScorer(resize="none"), "96", "32", "cpu", False)
    assert (smaller.image_size, smaller.resize) == (96, "squash"), "only where it is asked for"
