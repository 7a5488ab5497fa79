from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage
from skimage.metrics import structural_similarity
from sr_support import picture

from data_tools.builders.core.photo_folder import SourceFiles
from data_tools.builders.sr_outputs.scores import Lpips, quality_of, ssim
from data_tools.builders.sr_outputs.selection import SelectionSettings, left_out, select, shares
from metrics.sharpness import blockiness, deblocked_sharpness, sharpness
from semfid.errors import UserError
from semfid.io.splits import deal


def test_ssim_is_that_of_scikit_image() -> None:
    for seed in range(3):
        x = picture(seed, 60, 83)
        y = np.uint8(np.clip(x + np.random.default_rng(seed).normal(0, 20, x.shape), 0, 255))
        expected = structural_similarity(
            x, y, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
        )
        assert ssim(x, y) == pytest.approx(expected, abs=1e-4)
    assert ssim(x, x) == pytest.approx(1.0)
    with pytest.raises(UserError, match="at least 11x11 pixels"):
        ssim(x[:8], x[:8])


def test_lpips_reads_torchvisions_checkpoint(tmp_path: Path) -> None:
    import torchvision
    from torchmetrics.functional.image.lpips import _LPIPS

    torch.manual_seed(0)
    net = torchvision.models.alexnet(weights=None)
    torch.save(net.state_dict(), tmp_path / "alexnet.pth")
    x, y = picture(1, 64, 80), picture(2, 64, 80)
    measure = Lpips("alex", str(tmp_path / "alexnet.pth"), "cpu")
    reference = _LPIPS(pretrained=True, net="alex", pnet_rand=True)
    layers = [layer for part in reference.net.children() for layer in part.children()]
    with torch.no_grad():
        for mine, theirs in zip(layers, net.features, strict=False):
            if hasattr(mine, "weight"):
                mine.weight.copy_(theirs.weight)
                mine.bias.copy_(theirs.bias)
    planes = [torch.from_numpy(one).permute(2, 0, 1)[None].float() / 255 for one in (x, y)]
    assert measure(x, y) == pytest.approx(float(reference.eval()(*planes, normalize=True)), rel=1e-5)
    assert measure(x, y) > 0 and measure(x, x) == 0
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="not torchvision's checkpoint"):
        Lpips("alex", str(tmp_path / "other.pth"), "cpu")


def test_clearness_falls_with_blur_and_blocks() -> None:
    sharp = picture(3, 256, 256)
    values = [deblocked_sharpness(cv2.GaussianBlur(sharp, (0, 0), sigma)) for sigma in (0.1, 1.0, 2.0, 4.0)]
    assert values == sorted(values, reverse=True) and values[0] > values[-1] + 0.05
    luma = cv2.cvtColor(sharp, cv2.COLOR_RGB2GRAY).astype(np.float32)
    lost = []
    for axis in (0, 1):  # Crete's definition, with scipy
        soft = ndimage.uniform_filter1d(luma.astype(float), 11, axis=axis, mode="reflect")
        before, after = (np.abs(np.diff(one, axis=axis)) for one in (luma.astype(float), soft))
        lost.append(np.maximum(0, before - after).sum() / before.sum())
    assert sharpness(luma) == pytest.approx(min(lost), abs=1e-4)
    blocks = cv2.resize(
        cv2.resize(luma, (8, 8), interpolation=cv2.INTER_AREA), (256, 256), interpolation=cv2.INTER_NEAREST
    )
    assert blockiness(0.7 * luma + 0.3 * blocks) > blockiness(luma) + 0.2
    assert (
        blockiness(np.zeros((64, 64), np.float32)) == 0
        and 0 <= deblocked_sharpness(np.zeros((64, 64, 3), np.uint8)) <= 1
    )


def own_measure(image: np.ndarray) -> float:
    return float(image.mean())


def test_a_measure_of_ones_own_is_found_by_name() -> None:
    found = quality_of(f"{__name__}:own_measure")
    assert found is not None and found(np.full((4, 4, 3), 7, np.uint8)) == 7.0
    assert quality_of(None) is None


def frame_of(seed: int, photos: int = 60) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    rows = [
        {"pair_id": f"p{n}:{model}:{strength:g}", "model": model, "strength": strength, "ssim": draw.random() - strength / 2,
         "lpips": draw.random(), "quality": draw.random()}
        for n in range(photos) for model in "abcde" for strength in (0.3, 0.7, 1.0)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_selection_keeps_the_bands_and_balances() -> None:
    frame = frame_of(0)
    every = select(frame, SelectionSettings(ssim=[20, 80], lpips=None, quality=None), 0)
    for _, rows in frame.assign(kept=every).groupby("strength"):
        low, high = np.percentile(rows["ssim"], [20, 80])
        assert (rows["kept"] == rows["ssim"].between(low, high)).all()
    some = select(frame, SelectionSettings(target=150), 0)
    assert some.sum() == 150
    assert frame[some].groupby(["model", "strength"]).size().tolist() == [10] * 15
    assert (some <= select(frame, SelectionSettings(), 0)).all()
    reasons = pd.Series(left_out(frame, SelectionSettings(target=150), 0))
    assert set(reasons[~some].str.split("; ").explode()) == {
        *(f"{measure} outside its band" for measure in ("ssim", "lpips", "quality")),
        "beyond target",
    }
    assert (reasons[some] == "").all()
    # rows in any order, the same pairs; another seed, others
    mixed = frame.sample(frac=1, random_state=1)
    assert set(mixed["pair_id"][select(mixed, SelectionSettings(target=150), 0)]) == set(frame["pair_id"][some])
    assert (select(frame, SelectionSettings(target=150), 1) != some).any()
    # a measure that nobody took, and one that a model lacks
    unmeasured = frame.assign(lpips=np.nan)
    assert select(unmeasured, SelectionSettings(), 0).sum() > 0
    assert select(frame, SelectionSettings(target=10**6), 0).sum() == select(frame, SelectionSettings(), 0).sum()


@pytest.mark.parametrize(
    ("sizes", "target", "expected"),
    [
        ([10, 10, 10], 9, [3, 3, 3]),
        ([1, 10, 10], 9, [1, 4, 4]),
        ([10, 0, 10], 9, [5, 0, 4]),
        ([2, 3, 4], 100, [2, 3, 4]),
        ([5, 5], 1, [1, 0]),
    ],
)
def test_shares_fill_from_small_cells_to_large(sizes: list[int], target: int, expected: list[int]) -> None:
    cells = {("m", float(number)): size for number, size in enumerate(sizes)}
    found = shares(cells, target)
    assert sorted(found.values()) == sorted(expected) and sum(found.values()) == min(target, sum(sizes))
    assert all(found[cell] <= size for cell, size in cells.items())


def test_splits_go_by_name_and_come_near_their_shares() -> None:
    sides = [deal(f"photo{n}", 0.1, 0.2, 0) for n in range(4000)]
    assert sides.count("val") == pytest.approx(400, abs=80) and sides.count("test") == pytest.approx(800, abs=110)
    assert sides != [deal(f"photo{n}", 0.1, 0.2, 1) for n in range(4000)]
    assert {deal(f"photo{n}", 0.0, 0.0, 0) for n in range(50)} == {"train"}


def test_hashes_are_kept_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo, cache = tmp_path / "a.jpg", tmp_path / "cache" / "sources.jsonl"
    photo.write_bytes(b"one")
    first = list(SourceFiles(tmp_path, cache).hashes(["a.jpg"]))
    with monkeypatch.context() as patch:
        patch.setattr("hashlib.file_digest", lambda *_: pytest.fail("hashed again"))
        assert list(SourceFiles(tmp_path, cache).hashes(["a.jpg"])) == first
    photo.write_bytes(b"other")
    with cache.open("ab") as file:
        file.write(b'["a.jp')  # as a killed process leaves it
    assert list(SourceFiles(tmp_path, cache).hashes(["a.jpg"])) != first
    with pytest.raises(UserError, match=r"gone\.jpg"):
        list(SourceFiles(tmp_path, cache).hashes(["gone.jpg"]))
