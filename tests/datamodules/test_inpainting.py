"""Inpainted photos: a pair table with masks, and the source project's folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from datamodules import PairDataModule, to_float
from datamodules.batches import PairBatch
from datamodules.sources.inpainting import fault_of
from registry import DATAMODULES
from semfid.errors import UserError

SIZE = (24, 20)
Photo = Callable[..., Path]


def build(**keywords: Any) -> PairDataModule:
    own = {"image_size": 16, "batch_size": 4, "split": {"val": 0, "test": 0.4}, **keywords}
    made = DATAMODULES.build("inpainting", **own)
    assert isinstance(made, PairDataModule)
    return made


def batch_of(data: PairDataModule, *names: str) -> PairBatch:
    rows = [data.table.frame["pair_id"].tolist().index(name) for name in names]
    (batch,) = data.load([[(row, float(len(rows))) for row in rows]], maps=True)  # type: ignore[arg-type]
    return to_float(batch)


def mask(path: Path, box: tuple[int, int, int, int] | None, size: tuple[int, int] = SIZE, mode: str = "L") -> Path:
    values = np.zeros(size[::-1], np.uint8)
    if box is not None:
        values[box[1] : box[3], box[0] : box[2]] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).convert(mode).save(path)
    return path


@pytest.fixture
def table(tmp_path: Path, write_photo: Photo) -> Callable[..., Path]:
    """Four photos, three levels of each; masks of a quarter of the image for what was substituted."""

    def make(drop: tuple[str, ...] = (), **columns: list[object]) -> Path:
        rows = []
        for number in range(4):
            write_photo(tmp_path / f"photos/{number}.png", number)
            for level in ("same_class", "same_supercategory", "other_supercategory"):
                name = f"{number}-{level}"
                write_photo(tmp_path / f"candidates/{name}.png", 100 + len(rows))
                if level != "same_class":
                    mask(tmp_path / f"masks/{name}.png", (6, 5, 18, 15))
                rows.append(
                    {
                        "pair_id": name,
                        "source_id": f"photo{number}",
                        "reference": f"photos/{number}.png",
                        "candidate": f"candidates/{name}.png",
                        "level": level,
                        "map": "" if level == "same_class" else f"masks/{name}.png",
                        "category_before": "cat",
                        "bbox": "[8, 7, 6, 6]",
                    }
                )
        pd.DataFrame(rows).assign(**columns).drop(columns=list(drop)).to_csv(tmp_path / "pairs.csv", index=False)
        return tmp_path / "pairs.csv"

    return make


class TestTable:
    def test_levels_become_labels_and_maps(self, table: Callable[..., Path]) -> None:
        data = build(table=str(table()))
        frame = data.table.frame.set_index("pair_id")
        assert frame["difference"].tolist() == [0.0, 1.0, 1.0] * 4
        assert frame["origin"].tolist() == frame["level"].tolist() and frame["category_before"].eq("cat").all()
        batch = batch_of(data, "0-same_class", "0-other_supercategory")
        assert batch.map is not None and not batch.map.isnan().any()
        assert batch.map[0].max() == 0, "without a map of its own, the same class changed nothing"
        assert batch.map[1].mean() == pytest.approx(0.25, abs=0.01) and batch.map[1, 0, 8, 8] == 1
        assert batch.first.tolist() == [0, 0]
        data.check_images(lambda done, total: None)

    def test_area(self, table: Callable[..., Path]) -> None:
        data = build(table=str(table()), difference="area")
        assert data.table.frame["difference"].tolist() == pytest.approx([0.0, 0.25, 0.25] * 4)

    def test_a_given_difference_counts(self, table: Callable[..., Path]) -> None:
        given = [0.1, 0.5, 0.9] * 4
        assert build(table=str(table(difference=given)), difference="area").table.frame["difference"].tolist() == given

    def test_origin_serves_as_level(self, table: Callable[..., Path]) -> None:
        data = build(table=str(table(drop=("level",), origin=["same_class", "x", "y"] * 4)))
        assert data.table.frame["difference"].tolist() == [0.0, 1.0, 1.0] * 4

    @pytest.mark.parametrize("workers", [0, 1])
    def test_crops_around_the_object(self, table: Callable[..., Path], workers: int) -> None:
        data = build(table=str(table()), object_crop=1.5, workers=workers)
        batch = batch_of(data, "1-same_class", "1-same_supercategory")
        assert batch.map is not None
        assert batch.map[0].max() == 0
        assert batch.map[1].mean() == pytest.approx(12 * 10 / 18**2, abs=0.005), "an 18 px window around 12 by 10"

    @pytest.mark.parametrize(
        ("box", "says"),
        [
            (None, "its mask is empty, though something was substituted"),
            ((0, 0, 24, 20), r"its mask covers 100\.0% of the image"),
            ((0, 0, 24, 19), ""),
        ],
    )
    def test_bad_masks(self, table: Callable[..., Path], tmp_path: Path, box: Any, says: str) -> None:
        path = table()
        mask(tmp_path / "masks" / "2-other_supercategory.png", box)
        data = build(table=str(path))
        dropping = build(table=str(path), on_bad_mask="drop", split={"val": 0, "test": 0.2})
        if not says:
            data.check_images(lambda done, total: None)
            assert len(dropping.table) == 12 and dropping.notes == []
            return
        with pytest.raises(UserError, match=rf"pair '2-other_supercategory': {says}"):
            data.check_images(lambda done, total: None)
        with pytest.raises(UserError, match=rf"pair '2-other_supercategory': {says}"):
            batch_of(data, "2-other_supercategory")
        assert "2-other_supercategory" not in dropping.table.frame["pair_id"].tolist() and len(dropping.table) == 11
        assert dropping.describe().endswith("; 1 pairs left out for masks that are empty or cover the image")
        assert batch_of(dropping, "2-same_class", "3-same_class").map.max() == 0  # type: ignore[union-attr]

    def test_judgement(self) -> None:
        assert fault_of(0.0, substituted=False) is None and fault_of(0.3, substituted=True) is None
        assert "map calls 30.0% of the image changed" in str(fault_of(0.3, substituted=False))
        assert "covers 96.0%" in str(fault_of(0.96, substituted=True)) and fault_of(0.95, substituted=True) is None
        assert "is empty" in str(fault_of(float("nan"), substituted=True)), "nothing known is nothing changed"

    def test_a_map_that_contradicts_its_level(self, table: Callable[..., Path]) -> None:
        path = table()
        frame = pd.read_csv(path, keep_default_na=False)
        frame.loc[0, "map"] = "masks/0-other_supercategory.png"
        frame.to_csv(path, index=False)
        with pytest.raises(UserError, match=r"pair '0-same_class': its level is same_class, and its map calls 25\.0%"):
            build(table=str(path)).check_images(lambda done, total: None)

    def test_every_mask_bad(self, table: Callable[..., Path], tmp_path: Path) -> None:
        path = table()
        frame = pd.read_csv(path, keep_default_na=False)
        frame[frame["level"] != "same_class"].to_csv(path, index=False)
        for file in (tmp_path / "masks").iterdir():
            mask(file, None)
        with pytest.raises(UserError, match="every mask is empty or covers the image"):
            build(table=str(path), on_bad_mask="drop").prepare()

    @pytest.mark.parametrize(
        ("keywords", "columns", "says"),
        [
            ({}, {"drop": ("level",)}, r"needs the column level \(or origin\)"),
            ({}, {"level": ["", "a", "b"] * 4}, "pair '0-same_class' has no level; give same_class, or the kind"),
            (
                {},
                {"map": ["", "", "masks/0-other_supercategory.png"] * 4},
                r"pair '0-same_supercategory' has no mask in the column map \(4 such pairs\)",
            ),
            ({"difference": "area"}, {"map": [""] * 12}, "area needs masks, and pair '0-same_supercategory' has none"),
            ({"root": "."}, {}, r"give either data\.table .* or data\.root"),
            ({"maps_csv": "x"}, {}, r"data\.maps_csv belongs to data\.root"),
        ],
    )
    def test_faults(self, table: Callable[..., Path], keywords: Any, columns: Any, says: str) -> None:
        with pytest.raises(UserError, match=says) as error:
            build(table=str(table(**columns)), **keywords).prepare()
        assert "\n" not in str(error.value)

    def test_one_source_is_needed(self) -> None:
        with pytest.raises(UserError, match=r"give either data\.table"):
            build()

    def test_global_training_needs_no_masks(self, table: Callable[..., Path]) -> None:
        data = build(table=str(table(drop=("map",))))
        assert data.table.frame["difference"].tolist() == [0.0, 1.0, 1.0] * 4


class TestSizes:
    @pytest.fixture
    def rounded(self, table: Callable[..., Path], tmp_path: Path) -> Path:
        """An inpainter that rounds sizes down to multiples of 16; photo and output count columns."""
        path = table()
        wide = np.tile(np.linspace(0, 255, 40).round().astype(np.uint8)[None, :, None], (36, 1, 3))
        Image.fromarray(wide).save(tmp_path / "photos/3.png")
        small = Image.fromarray(wide).resize((32, 32), Image.Resampling.BICUBIC)
        for level in ("same_class", "same_supercategory", "other_supercategory"):
            small.save(tmp_path / f"candidates/3-{level}.png")
        mask(tmp_path / "masks/3-same_supercategory.png", (20, 0, 40, 36), (40, 36))
        mask(tmp_path / "masks/3-other_supercategory.png", (16, 0, 32, 32), (32, 32))
        return path

    def test_strict(self, rounded: Path) -> None:
        says = r"pair '3-same_class': the photo .*3\.png is 40x36 and its candidate 32x32; .*sizes: resize_reference"
        with pytest.raises(UserError, match=says):
            build(table=str(rounded)).prepare()

    @pytest.mark.parametrize("resize", ["squash", "letterbox", "center_crop", "none"])
    def test_resize_reference(self, rounded: Path, resize: str) -> None:
        data = build(table=str(rounded), sizes="resize_reference", resize=resize)
        batch = batch_of(data, "3-same_supercategory", "3-other_supercategory")
        assert batch.reference.shape[-1] == (32 if resize == "none" else 16)
        assert (batch.reference - batch.candidate).abs().max() < 0.03, "the photo lies on its candidate"
        assert batch.map is not None and torch.equal(batch.map[0], batch.map[1]), "a mask may have either size"
        assert batch.first.tolist() == [0, 0]
        data.check_images(lambda done, total: None)
        assert data.fixed_images == (resize == "squash")

    def test_upright_sizes(self, table: Callable[..., Path], tmp_path: Path) -> None:
        path = table()
        with Image.open(tmp_path / "photos/1.png") as image:
            turned = image.transpose(Image.Transpose.ROTATE_90)
            exif = Image.Exif()
            exif[0x0112] = 6
            turned.save(tmp_path / "photos/1.png", exif=exif)
        build(table=str(path)).prepare()


class TestFolder:
    @pytest.fixture
    def folder(self, tmp_path: Path, write_photo: Photo) -> Path:
        """Three instances of two photos; two proposals each but one discarded, positives of two instances."""
        root = tmp_path / "set"
        instances = []
        for row, (annotation, photo) in enumerate([(700, "a"), (701, "a"), (900, "b")]):
            write_photo(tmp_path / f"coco/{photo}.jpg", row)
            instances.append(
                {"id": annotation, "bbox": f"[{row}.5, 2.0, 8.0, 6.25]", "gt_image_path": f"coco/{photo}.jpg"}
            )
            for number in range(2):
                write_photo(root / f"impainted_proposals/{row}_dog_{number}.png", 10 * row + number)
        for name in ("700_1", "700_2", "700_3", "900_1"):
            write_photo(root / f"positive_pairs/{name}.png", 50 + int(name[-1]))
        write_photo(root / "discarded_proposals/1_dog_0.png", 5)
        pd.DataFrame(instances).to_csv(root / "instances.csv", index=False)
        maps = []
        for row, photo in enumerate("aab"):
            for number in range(2):
                mask(root / f"masks/{row}_{number}.png", (4 + number, 4, 12, 12), mode="RGB" if row else "L")
                maps.append(
                    {
                        "gt_image_path": f"coco/{photo}.jpg",
                        "impainted_pth": f"set/impainted_proposals/{row}_dog_{number}.png",
                        "segmentation_map_path": "" if (row, number) == (2, 1) else f"set/masks/{row}_{number}.png",
                    }
                )
        pd.DataFrame(maps).to_csv(root / "maps.csv", index=False)
        return root

    def test_with_masks(self, folder: Path) -> None:
        data = build(root=str(folder), maps_csv=str(folder / "maps.csv"))
        frame = data.table.frame.set_index("pair_id")
        assert sorted(frame.index) == [
            "positive_700_1", "positive_700_2", "positive_700_3", "positive_900_1",
            "proposal_0_dog_0", "proposal_0_dog_1", "proposal_1_dog_1", "proposal_2_dog_0", "proposal_2_dog_1",
        ]  # fmt: skip
        assert frame.loc["proposal_1_dog_1", ["origin", "source_id", "bbox"]].tolist() == [
            "other_class", "a", "[1.5, 2.0, 8.0, 6.25]",
        ]  # fmt: skip
        assert frame.loc["proposal_2_dog_1", ["origin", "map", "difference"]].tolist() == ["same_class", "", 0.0]
        assert frame.loc["positive_700_2", ["origin", "source_id", "difference"]].tolist() == ["same_class", "a", 0.0]
        assert frame["difference"].sum() == 4
        assert Path(frame.loc["positive_900_1", "reference"]).name == "b.jpg"
        assert data.describe().endswith("9 pairs of 2 sources; 1 discarded proposals left out")
        batch = batch_of(data, "proposal_1_dog_1", "positive_700_1", "proposal_2_dog_1")
        assert batch.map is not None
        assert batch.map[0].mean() == pytest.approx(7 * 8 / 480, abs=1e-3) and batch.map[1:].abs().max() == 0
        data.check_images(lambda done, total: None)

    def test_positives_with_one_another(self, folder: Path) -> None:
        data = build(root=str(folder), maps_csv=str(folder / "maps.csv"), same_class="all")
        frame = data.table.frame.set_index("pair_id")
        both = [name for name in frame.index if name.count("_") == 4]
        assert both == ["positive_700_1_700_2", "positive_700_1_700_3", "positive_700_2_700_3"]
        assert (frame.loc[both, "source_id"] == "a").all() and (frame.loc[both, "difference"] == 0).all()
        none = build(root=str(folder), maps_csv=str(folder / "maps.csv"), same_class="none")
        assert len(none.table) == 5

    def test_discarded_files_may_be_gone(self, folder: Path) -> None:
        (folder / "impainted_proposals/1_dog_0.png").unlink()
        assert len(build(root=str(folder), maps_csv=str(folder / "maps.csv")).table) == 9

    def test_without_masks(self, folder: Path) -> None:
        data = build(root=str(folder))
        frame = data.table.frame.set_index("pair_id")
        assert len(frame) == 9 and frame.loc["proposal_2_dog_1", "difference"] == 1.0
        batch = batch_of(data, "proposal_2_dog_1", "positive_900_1")
        assert batch.map is not None and batch.map[0].isnan().all() and batch.map[1].max() == 0

    def test_a_level_column(self, folder: Path) -> None:
        maps = pd.read_csv(folder / "maps.csv")
        maps.assign(level="same_supercategory").to_csv(folder / "maps.csv", index=False)
        data = build(root=str(folder), maps_csv=str(folder / "maps.csv"))
        assert set(data.table.frame["origin"]) == {"same_supercategory", "same_class"}

    @pytest.mark.parametrize(
        ("spoil", "says"),
        [
            (lambda root: (root / "instances.csv").unlink(), r"data\.root: no file .*instances\.csv"),
            (lambda root: (root / "instances.csv").write_text("id,bbox\n1,2\n"), "lacks the column gt_image_path"),
            (lambda root: (root / "instances.csv").write_text(""), r"instances\.csv cannot be read as a table"),
            (
                lambda root: (root / "positive_pairs/9_1.png").write_bytes(b"x"),
                r"9_1\.png begins with the annotation 9, which instances\.csv does not have",
            ),
            (
                lambda root: (root / "positive_pairs/dog.png").write_bytes(b"x"),
                r"dog\.png must begin with a number and '_'",
            ),
            (
                lambda root: (root.parent / "coco/b.jpg").unlink(),
                r"data\.root: no file coco/b\.jpg below .*, where the paths of .* begin",
            ),
            (lambda root: (root / "masks/0_0.png").unlink(), r"no file set/masks/0_0\.png"),
            (
                lambda root: (root / "maps.csv").write_text("a,b\n1,2\n"),
                "lacks the column gt_image_path, impainted_pth",
            ),
        ],
    )
    def test_faults(self, folder: Path, spoil: Callable[[Path], object], says: str) -> None:
        spoil(folder)
        with pytest.raises(UserError, match=says) as error:
            build(root=str(folder), maps_csv=str(folder / "maps.csv")).prepare()
        assert "\n" not in str(error.value)

    def test_proposals_of_no_instance(self, folder: Path, write_photo: Photo) -> None:
        write_photo(folder / "impainted_proposals/3_x.png")
        with pytest.raises(UserError, match=r"3_x\.png is of row 3, and instances\.csv has 3 rows, from 0"):
            build(root=str(folder)).prepare()
