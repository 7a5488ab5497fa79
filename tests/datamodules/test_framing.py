"""Windows, mirrors and tints: the same for both images and the map, and drawn from seed, epoch and row alone."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from datamodules import PairDataModule, to_float
from datamodules.batches import PairBatch
from datamodules.framing import (
    changed_box,
    draw_tint,
    frame_image,
    object_window,
    parse_bbox,
    random_window,
    square_at,
    tinted,
)
from registry import DATAMODULES
from semfid.errors import UserError
from semfid.io.images import Resize, resize_image
from semfid.io.maps import frame_of

SIZE = (96, 64)
ALL = ["crop", "flip", "colour"]


def ramp() -> Any:
    """(H, W, 3) uint8: red counts columns, green counts rows, blue is the map."""
    x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    return np.stack([x * 2, y * 2, x + y], -1).astype(np.uint8)


@pytest.fixture
def coordinates(tmp_path: Path) -> Path:
    """Pairs whose pixels say where they come from; the map is the blue channel."""
    pixels = ramp()
    Image.fromarray(pixels).save(tmp_path / "image.png")
    Image.fromarray(pixels).save(tmp_path / "same.png")
    Image.fromarray(pixels[..., 2]).save(tmp_path / "map.png")
    rows = [
        {"pair_id": f"p{i}", "source_id": f"s{i}", "reference": "image.png", "candidate": "same.png", "map": "map.png"}
        for i in range(12)
    ]
    pd.DataFrame(rows).assign(difference=[0.0, 1.0] * 6).to_csv(tmp_path / "pairs.csv", index=False)
    return tmp_path / "pairs.csv"


def module(table: Path, **keywords: Any) -> PairDataModule:
    own = {"image_size": 32, "batch_size": 4, "split": {"val": 0.2, "test": 0.2}, **keywords}
    made = DATAMODULES.build("pairs", table=str(table), **own)
    assert isinstance(made, PairDataModule)
    made.select(made.parts[0], own.get("seed", 0), maps=True)
    return made


def epoch(data: PairDataModule, number: int) -> list[PairBatch]:
    loader = data.train_dataloader()
    loader.batch_sampler.set_epoch(number)  # type: ignore[union-attr]
    return [to_float(batch) for batch in loader]


def by_row(batches: list[PairBatch]) -> dict[int, tuple[torch.Tensor, ...]]:
    return {
        row: (batch.reference[at], batch.candidate[at], batch.map[at])  # type: ignore[index]
        for batch in batches
        for at, row in enumerate(batch.row.tolist())
    }


def equal(a: dict[int, tuple[torch.Tensor, ...]], b: dict[int, tuple[torch.Tensor, ...]]) -> bool:
    return all(torch.equal(x.nan_to_num(2), y.nan_to_num(2)) for row in a for x, y in zip(a[row], b[row], strict=True))


class TestAugmentation:
    @pytest.mark.parametrize("augment", [["crop"], ["flip"], ["crop", "flip"]])
    @pytest.mark.parametrize("resize", ["squash", "letterbox", "center_crop"])
    def test_map_and_images_stay_aligned(self, coordinates: Path, augment: list[str], resize: str) -> None:
        data = module(coordinates, augment=augment, resize=resize)
        widths, mirrored = [], 0
        for number in range(2):
            for batch in epoch(data, number):
                assert torch.equal(batch.reference, batch.candidate)
                for image, shown in zip(batch.reference, batch.map, strict=True):  # type: ignore[arg-type]
                    inside = ~shown[0].isnan()
                    assert inside.any() and (inside.all() or resize == "letterbox")
                    apart = (image[2] - shown[0])[inside].abs()
                    assert apart.max() < 6 / 255 and apart.mean() < 1.5 / 255
                    middle = image[0, 16] * 255
                    mirrored += bool(middle[4] > middle[-4])
                    widths.append(float((middle[-1] - middle[0]).abs()))
        assert (0 < mirrored < len(widths)) == ("flip" in augment)
        if resize == "squash":
            assert (len({round(width) for width in widths}) > 5) == ("crop" in augment)

    def test_drawn_from_seed_epoch_and_row_alone(self, coordinates: Path) -> None:
        first = by_row(epoch(module(coordinates, augment=ALL), 1))
        for own in ({"batch_size": 7}, {"workers": 2}, {"in_memory": True}):
            assert equal(first, by_row(epoch(module(coordinates, augment=ALL, **own), 1))), own
        assert not equal(first, by_row(epoch(module(coordinates, augment=ALL), 2)))
        other = module(coordinates, augment=ALL)
        other.select(other.parts[0], 5, maps=True)
        assert not equal(first, by_row(epoch(other, 1)))

    def test_training_pairs_only(self, coordinates: Path) -> None:
        plain, data = module(coordinates), module(coordinates, augment=ALL)
        for make in (lambda d: d.test_dataloader(), lambda d: d.val_dataloader(), lambda d: d.calibration_batches(5)):
            for a, b in zip(make(plain), make(data), strict=True):
                assert torch.equal(a.reference, b.reference) and torch.equal(a.map, b.map)
        assert plain.loader.augment is None and data.loader.augment == ALL
        assert plain.fixed_images and not data.fixed_images
        assert not module(coordinates, object_crop=1.0).fixed_images

    def test_references_with_other_draws_are_not_shared(self, coordinates: Path) -> None:
        for batch in epoch(module(coordinates, augment=["flip"], batch_size=12), 0):
            assert torch.equal(batch.reference, batch.reference[batch.first])
            assert len({*batch.first.tolist()}) == 2, "mirrored or not"
        (batch,) = epoch(module(coordinates, augment=["crop"], batch_size=12), 0)
        assert batch.first.tolist() == list(range(len(batch.row)))

    def test_lightning_sets_the_epoch(self, coordinates: Path, tmp_path: Path) -> None:
        class Watch(L.LightningModule):
            def __init__(self) -> None:
                super().__init__()
                self.seen: dict[int, list[PairBatch]] = {}
                self.weight = torch.nn.Parameter(torch.zeros(()))

            def training_step(self, batch: PairBatch, index: int) -> torch.Tensor:
                self.seen.setdefault(self.current_epoch, []).append(batch)
                return self.weight * batch.map.mean()  # type: ignore[union-attr]

            def configure_optimizers(self) -> Any:
                return torch.optim.SGD([self.weight], lr=0.1)

        watch, data = Watch(), module(coordinates, augment=["crop"], split={"val": 0, "test": 0.2})
        L.Trainer(
            accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, enable_model_summary=False,
            enable_checkpointing=False, max_epochs=2, default_root_dir=tmp_path,
        ).fit(watch, datamodule=data)  # fmt: skip
        for number in range(2):
            assert equal(by_row(watch.seen[number]), by_row(epoch(data, number)))

    def test_goes_to_spawned_workers(self, coordinates: Path) -> None:
        data = module(coordinates, augment=ALL, object_crop=1.5)
        again = pickle.loads(pickle.dumps(data.dataset.view(maps=True, augmented=True, seed=3)))
        assert torch.equal(again[(2, 1.0, 1)].reference, data.dataset.view(True, True, 3)[(2, 1.0, 1)].reference)

    def test_tint(self) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
        grey = np.full((3, 2, 2), 100, np.uint8)
        means = set()
        for seed in range(20):
            matrix = draw_tint(np.random.default_rng(seed))
            whole = tinted(pixels, matrix)
            np.testing.assert_array_equal(whole[:, 2:5, 1:6], tinted(pixels[:, 2:5, 1:6], matrix))
            np.testing.assert_allclose(matrix[:, :3].sum(1), matrix[0, :3].sum(), rtol=1e-5)
            shade = tinted(grey, matrix)
            assert np.ptp(shade) == 0, "grey stays grey"
            means.add(int(shade[0, 0, 0]))
            expected = np.clip(matrix[:, :3] @ pixels[:, 3, 4].astype(float) + matrix[:, 3], 0, 255)
            assert np.abs(whole[:, 3, 4] - expected).max() <= 0.51
        assert len(means) > 8 and min(means) > 70 and max(means) < 130
        np.testing.assert_array_equal(tinted(pixels, np.eye(3, 4, dtype=np.float32)), pixels)

    def test_colour_touches_both_images_alike_and_no_map(self, coordinates: Path) -> None:
        plain, data = module(coordinates), module(coordinates, augment=["colour"])
        before, after = by_row(epoch(plain, 0)), by_row(epoch(data, 0))
        for row, (reference, candidate, shown) in after.items():
            assert torch.equal(reference, candidate) and torch.equal(shown, before[row][2])
            assert not torch.equal(reference, before[row][0])


class TestFrames:
    @pytest.mark.parametrize("how", ["squash", "letterbox", "center_crop", "bounded", "none"])
    @pytest.mark.parametrize("size", [(40, 24), (24, 41), (32, 32), (16, 16), (7, 90), (101, 17)])
    def test_of_a_whole_image(self, how: Resize, size: tuple[int, int]) -> None:
        """Bit for bit what `resize_image` makes of it."""
        pixels = np.random.default_rng(1).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
        image = Image.fromarray(pixels)
        found = frame_image(image, frame_of(size, 16, how))
        np.testing.assert_array_equal(np.asarray(found), np.asarray(resize_image(image, 16, how)))

    def test_of_a_window(self) -> None:
        image = Image.fromarray(ramp())
        window = (8.0, 16.0, 40.0, 48.0)
        found = np.asarray(frame_image(image, frame_of(SIZE, 32, "squash", window)))
        np.testing.assert_array_equal(found, ramp()[16:48, 8:40])
        mirrored = np.asarray(frame_image(image, frame_of(SIZE, 32, "squash", window, flip=True)))
        np.testing.assert_array_equal(mirrored, found[:, ::-1])

    def test_random_windows(self) -> None:
        shares, aspects = [], []
        for seed in range(200):
            left, top, right, bottom = random_window((10.0, 4.0, 90.0, 60.0), 0.5, np.random.default_rng(seed))
            assert 10 <= left < right <= 90 and 4 <= top < bottom <= 60
            assert all(edge == int(edge) for edge in (left, top, right, bottom))
            shares.append((right - left) * (bottom - top) / (80 * 56))
            aspects.append((right - left) / (bottom - top))
        assert 0.44 < min(shares) < 0.6 and max(shares) > 0.9
        assert 0.72 < min(aspects) < 0.9 and 1.25 < max(aspects) < 1.45
        assert random_window((3.0, 3.0, 4.0, 4.0), 0.5, np.random.default_rng(0)) == (3.0, 3.0, 4.0, 4.0)


class TestObjects:
    @pytest.mark.parametrize(
        ("box", "factor", "expected"),
        [
            ((40, 20, 60, 30), 1.0, (40, 15, 60, 35)),
            ((40, 20, 60, 30), 1.5, (35, 10, 65, 40)),
            ((0, 0, 10, 10), 2.0, (0, 0, 20, 20)),
            ((86, 54, 96, 64), 2.0, (76, 44, 96, 64)),
            ((10, 10, 80, 50), 1.0, (10, 0, 80, 64)),
            ((0, 0, 96, 64), 3.0, (0, 0, 96, 64)),
        ],
    )
    def test_windows(self, box: Any, factor: float, expected: Any) -> None:
        assert object_window(box, factor, SIZE) == expected

    def test_squares(self) -> None:
        assert square_at(0, 0, 0.2, SIZE) == (0, 0, 1, 1)
        assert square_at(96, 64, 10, SIZE) == (86, 54, 96, 64)

    def test_changed_boxes(self) -> None:
        values = np.full((6, 8), 0.2, np.float32)
        values[0, 0] = np.nan
        assert changed_box(values) is None
        values[2:4, 5] = 0.5
        values[3, 1] = 0.9
        assert changed_box(values) == (1, 2, 6, 4)

    def test_bboxes(self) -> None:
        assert parse_bbox("[1, 2.5, 3, 4]", "x") == (1, 2.5, 4, 6.5) == parse_bbox("1 2.5 3 4", "x")
        assert parse_bbox("", "x") is None and parse_bbox(float("nan"), "x") is None
        for bad, says in (("[1, 2, 3]", "it must be"), ("[1, 2, 0, 4]", "has no area"), ("a b c d", "it must be")):
            with pytest.raises(UserError, match=f"pair 'p': bbox .*{says}"):
                parse_bbox(bad, "pair 'p'")

    @pytest.fixture
    def objects(self, coordinates: Path) -> Path:
        """Row 0 changes at a place, row 1 nowhere, row 2 has neither map nor change, row 3 another place."""
        frame = pd.read_csv(coordinates)
        for name, box in (("a", (60, 10, 80, 26)), ("b", None), ("d", (4, 40, 20, 52))):
            values = np.zeros(SIZE[::-1], np.uint8)
            if box:
                values[box[1] : box[3], box[0] : box[2]] = 255
            Image.fromarray(values).save(coordinates.parent / f"{name}.png")
        frame["map"] = ["a.png", "b.png", "", "d.png"] * 3
        frame.to_csv(coordinates, index=False)
        return coordinates

    @staticmethod
    def seen(data: PairDataModule, row: int) -> tuple[float, float, float, float, torch.Tensor]:
        """The window that a batch shows, read off the pixels (to about a pixel), and the map."""
        (batch,) = data.load([[(row, 1.0)]], maps=True)  # type: ignore[arg-type]
        image = to_float(batch).reference[0] * 255 / 2
        step = [(float(image[c, 16, 16]) - float(image[c, 16 - 8 * c, 8 + 8 * c])) / 8 for c in (0, 1)]
        x, y = float(image[0, 0, 16]), float(image[1, 16, 0])
        half = [16.5 * step[0], 16.5 * step[1]]
        return x - half[0], y - half[1], 32 * step[0], 32 * step[1], to_float(batch).map[0, 0]  # type: ignore[index]

    def test_around_what_changed(self, objects: Path) -> None:
        data = module(objects, object_crop=1.5)
        for row, box in ((0, (55, 3, 30, 30)), (3, (0, 34, 24, 24))):
            *window, shown = self.seen(data, row)
            np.testing.assert_allclose(window, box, atol=1.2)
            assert 0.2 < float(shown.mean()) < 0.5
        parts = data.parts[0]
        assert all(len(rows) for rows in (parts.train, parts.val, parts.test))
        for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
            for batch in map(to_float, loader):
                for row, shown in zip(batch.row.tolist(), batch.map, strict=True):  # type: ignore[arg-type]
                    assert (row % 4 in (1, 2)) == (not shown.nan_to_num(0).max() > 0)

    def test_pairs_without_a_change(self, objects: Path) -> None:
        first, again = module(objects, object_crop=1.5), module(objects, object_crop=1.5, workers=1)
        windows = []
        for row in (1, 2, 5, 6, 9, 10):
            (a,), (b,) = (list(data.load([[(row, 1.0)]], maps=True)) for data in (first, again))  # type: ignore[arg-type]
            assert torch.equal(a.reference, b.reference)
            *window, shown = self.seen(first, row)
            assert shown.isnan().all() if row % 4 == 2 else float(shown.abs().max()) == 0
            assert any(abs(window[2] - side) < 2.5 for side in (24, 30)), "the size of other pairs' windows"
            windows.append(tuple(round(edge) for edge in window[:2]))
        assert len({*windows}) > 3

    def test_the_tables_box(self, objects: Path) -> None:
        frame = pd.read_csv(objects, keep_default_na=False)
        frame.assign(bbox=["", "[30, 20, 16, 8]", "[30, 20, 16, 8]", ""] * 3).to_csv(objects, index=False)
        data = module(objects, object_crop=1.0)
        for row in (1, 2):
            np.testing.assert_allclose(self.seen(data, row)[:4], (30, 16, 16, 16), atol=1.2)
        np.testing.assert_allclose(self.seen(data, 0)[:4], (60, 8, 20, 20), atol=1.2)
        frame.assign(bbox="oops").to_csv(objects, index=False)
        with pytest.raises(UserError, match=r"pair 'p0': bbox is 'oops'; it must be \[x, y, width, height\]"):
            module(objects, object_crop=1.0)
        module(objects)  # who crops nothing does not mind

    def test_with_augmentation(self, objects: Path) -> None:
        data = module(objects, object_crop=2.0, augment=["crop", "flip"])
        plain = by_row([to_float(b) for b in data.load([[(int(r), 1.0)] for r in data.parts[0].train], maps=True)])  # type: ignore[arg-type]
        for row, (reference, candidate, _) in by_row(epoch(data, 0)).items():
            assert torch.equal(reference, candidate)
            low, high = plain[row][0].flatten(1).min(1).values, plain[row][0].flatten(1).max(1).values
            assert (reference.flatten(1).min(1).values >= low - 0.02).all(), "a window inside the object's"
            assert (reference.flatten(1).max(1).values <= high + 0.02).all()


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"augment": ["crop"], "resize": "none"}, "data.augment: crop makes S x S images"),
        ({"object_crop": 2.0, "resize": "none"}, "data.object_crop makes S x S images"),
        ({"object_crop": 0.5}, "data.object_crop is 0.5; it must be at least 1"),
        ({"object_crop": float("inf")}, "data.object_crop is inf"),
        ({"least_crop": 0.0}, "data.least_crop is 0"),
        ({"augment": ["degrade"]}, "should be"),
        ({"augment": "flip"}, "should be"),
    ],
    ids=str,
)
def test_bad_settings(coordinates: Path, keywords: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        module(coordinates, **keywords)


def test_object_crop_needs_objects(coordinates: Path) -> None:
    pd.read_csv(coordinates).drop(columns="map").to_csv(coordinates, index=False)
    data = DATAMODULES.build("pairs", table=str(coordinates), object_crop=1.5)
    with pytest.raises(
        UserError, match=r"data\.object_crop needs the column map or bbox, and .*pairs\.csv has neither"
    ):
        data.prepare()
