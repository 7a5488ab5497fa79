"""Sets of single images: what is read, how it is split, augmented and batched, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from datamodules import ImageDataModule
from datamodules.image_dataset import random_crop
from registry import DATAMODULES
from semfid.errors import UserError

Photo = Callable[..., Path]


def images(name: str, **keywords: Any) -> ImageDataModule:
    made = DATAMODULES.build(name, **{"image_size": 16, "batch_size": 4, **keywords})
    assert isinstance(made, ImageDataModule)
    made.prepare()
    return made


@pytest.fixture
def class_folder(tmp_path: Path, write_photo: Photo) -> Path:
    for label, kind in enumerate(("cat", "dog", "owl")):
        for number in range(6):
            write_photo(tmp_path / "set" / kind / f"{number}.png", 10 * label + number)
    return tmp_path / "set"


@pytest.fixture
def captioned(tmp_path: Path, write_photo: Photo) -> Callable[..., Path]:
    def make(**columns: list[str]) -> Path:
        paths = [f"photos/{number}.png" for number in range(8)]
        for number, path in enumerate(paths):
            write_photo(tmp_path / path, number)
        frame = pd.DataFrame({"path": paths, "caption": [f"thing {number}" for number in range(8)]}).assign(**columns)
        frame.to_csv(tmp_path / "captions.csv", index=False)
        return tmp_path / "captions.csv"

    return make


def test_folder_of_classes(class_folder: Path) -> None:
    data = images("image_folder", path=str(class_folder), split={"val": 0.2, "test": 0.2})
    assert data.listed.classes == ("cat", "dog", "owl")
    assert data.table.paths[0] == "cat/0.png" and data.listed.label.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    parts = [set(data.rows[part].tolist()) for part in ("train", "val", "test")]
    assert [len(part) for part in parts] == [10, 4, 4] and set.union(*parts) == set(range(18))
    assert data.test_part == "test" and data.listed.test.tolist() == data.rows["test"].tolist()
    again = images("image_folder", path=str(class_folder), split={"val": 0.2, "test": 0.2, "seed": 1})
    assert again.rows["val"].tolist() != data.rows["val"].tolist()


def test_flat_folder_has_no_classes(tmp_path: Path, write_photo: Photo) -> None:
    for number in range(5):
        write_photo(tmp_path / f"{number}.jpg", number)
    (tmp_path / "notes.txt").write_text("no image")
    data = images("image_folder", path=str(tmp_path))
    assert len(data.table.paths) == 5 and data.listed.classes == () and data.listed.label.tolist() == [-1] * 5
    assert data.test_part == "val" and len(data.test_rows) == 1


def test_folders_train_and_val_are_the_split(tmp_path: Path, write_photo: Photo) -> None:
    for part in ("train", "val"):
        for kind in ("cat", "dog"):
            for number in range(2):
                write_photo(tmp_path / part / kind / f"{number}.png", number)
    data = images("image_folder", path=str(tmp_path))
    assert data.listed.classes == ("cat", "dog")
    assert [data.table.paths[row].split("/")[0] for row in data.rows["val"]] == ["val"] * 4


def test_captions_of_a_table_and_of_coco(captioned: Callable[..., Path], tmp_path: Path) -> None:
    table = images("captions", table=str(captioned(**{"class": ["a", "b"] * 4})))
    assert table.listed.captions[3] == ("thing 3",) and table.listed.classes == ("a", "b")
    coco = {
        "images": [{"id": 7 + number, "file_name": f"{number}.png"} for number in range(8)],
        "annotations": [{"image_id": 7 + n % 8, "caption": f" thing {n % 8}, said {n // 8} "} for n in range(16)],
    }
    (tmp_path / "captions.json").write_text(json.dumps(coco))
    data = images("captions", table=str(tmp_path / "captions.json"), images=str(tmp_path / "photos"))
    assert data.listed.captions[2] == ("thing 2, said 0", "thing 2, said 1")
    sentences = [data.dataset[(2, 1.0, epoch)][1] for epoch in range(4)]
    assert sentences == ["thing 2, said 0", "thing 2, said 1"] * 2, "an epoch takes one of several captions"
    assert data.dataset[(2, 1.0, -1)][1] == "thing 2, said 0"


def test_renamed_columns_and_a_given_split(captioned: Callable[..., Path]) -> None:
    path = captioned(part=["train"] * 5 + ["test"] * 3)
    data = images("captions", table=str(path), columns={"split": "part"})
    assert data.rows["test"].tolist() == [5, 6, 7] and data.rows["val"].tolist() == []


def test_scenes(tmp_path: Path) -> None:
    data = images("scene_images", folder=str(tmp_path), scenes=6, size=64)
    assert len(data.table.paths) == 6 and all(len(sentences) == 1 for sentences in data.listed.captions)
    assert all(name.replace(" ", "_") in path for name, path in zip(data.table.classes, data.table.paths, strict=True))
    other = images("scene_images", folder=str(tmp_path), scenes=6, size=64, seed=1)
    assert other.content_digest() != data.content_digest()


def batches(data: ImageDataModule, epoch: int) -> list[tuple[list[int], torch.Tensor, tuple[str, ...]]]:
    loader = data.train_dataloader()
    loader.batch_sampler.set_epoch(epoch)  # type: ignore[attr-defined]
    return [(batch.row.tolist(), batch.image, batch.caption) for batch in loader]


def test_augmentation_depends_on_seed_epoch_and_row_alone(class_folder: Path) -> None:
    keywords = {"path": str(class_folder), "augment": ["crop", "flip", "degrade", "bsrgan"]}
    data = images("image_folder", **keywords)
    first = batches(data, 0)
    kept = images("image_folder", **keywords, in_memory=True, workers=0)
    for _ in range(2):  # the second time from memory
        for (rows, pixels, _), (same_rows, same, _) in zip(first, batches(kept, 0), strict=True):
            assert rows == same_rows and torch.equal(pixels, same)
    by_row = {row: image for rows, pixels, _ in first for row, image in zip(rows, pixels, strict=True)}
    later = {row: image for rows, pixels, _ in batches(data, 1) for row, image in zip(rows, pixels, strict=True)}
    assert by_row.keys() == later.keys() and any(not torch.equal(by_row[row], later[row]) for row in by_row)
    wide = images("image_folder", **keywords, in_memory=True)
    wide.loader = wide.loader.__class__(**{**wide.loader.__dict__, "batch_size": 9})
    for rows, pixels, _ in batches(wide, 0):
        for row, image in zip(rows, pixels, strict=True):
            assert torch.equal(image, by_row[row]), "the size of the batch must not matter"
    data.select(5)
    assert [rows for rows, _, _ in batches(data, 0)] != [rows for rows, _, _ in first]


def test_workers_give_the_same_images(class_folder: Path) -> None:
    keywords = {"path": str(class_folder), "augment": ["crop", "flip", "degrade", "bsrgan"]}
    alone, helped = images("image_folder", **keywords), images("image_folder", **keywords, workers=2)
    for (rows, pixels, _), (same_rows, same, _) in zip(batches(alone, 3), batches(helped, 3), strict=True):
        assert rows == same_rows and torch.equal(pixels, same)


def test_held_out_images_are_left_as_they_are(class_folder: Path) -> None:
    plain = images("image_folder", path=str(class_folder))
    changed = images("image_folder", path=str(class_folder), augment=["crop", "flip", "degrade", "bsrgan"])
    for a, b in zip(plain.test_dataloader(), changed.test_dataloader(), strict=True):
        assert torch.equal(a.image, b.image) and a.image.dtype == torch.uint8
        unit = plain.on_after_batch_transfer(a, 0).image
        assert unit.dtype == torch.float32 and torch.equal(unit, a.image / 255.0)


def test_random_windows() -> None:
    ramp = np.tile(np.arange(0, 240, 4, dtype=np.uint8)[None, :, None], (40, 1, 3))  # (40, 60, 3)
    widths = []
    for seed in range(50):
        window = random_crop(Image.fromarray(ramp), 16, 0.4, np.random.default_rng(seed))
        assert window.shape == (3, 16, 16)
        widths.append(int(window[0, 8, -1]) - int(window[0, 8, 0]))  # proportional to the window's width
    assert min(widths) > 80 and max(widths) > 180 and len({*widths}) > 20
    whole = random_crop(Image.fromarray(ramp[:, :40]), 40, 1.0, np.random.default_rng(0))
    assert whole.shape == (3, 40, 40)


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"split": {"vall": 0.1}}, "no key 'vall'; did you mean 'val'"),
        ({"split": {"val": 0, "test": 0}}, "hold something out"),
        ({"split": {"val": 0.6, "test": 0.5}}, "leave something to train on"),
        ({"split": {"val": "some"}}, "must be a number"),
        ({"batch_size": 0}, "data.batch_size is 0"),
        ({"least_crop": 0.0}, "data.least_crop is 0"),
        ({"augment": ["crop"], "resize": "none"}, "cannot go with data.resize: none"),
        ({"augment": ["crp"]}, "should be"),
        ({"augment": "crop"}, "should be"),
    ],
    ids=str,
)
def test_bad_settings(class_folder: Path, keywords: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        images("image_folder", path=str(class_folder), **keywords)


def test_bad_folders(tmp_path: Path, write_photo: Photo) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no image below"):
        images("image_folder", path=str(tmp_path / "empty"))
    with pytest.raises(UserError, match=r"data\.path: no such file or folder"):
        images("image_folder", path=str(tmp_path / "gone"))
    for number in range(3):
        write_photo(tmp_path / "one" / "cat" / f"{number}.png", number)
    write_photo(tmp_path / "one" / "dog" / "0.png")
    with pytest.raises(UserError, match="the class 'dog' has one image"):
        images("image_folder", path=str(tmp_path / "one"))
    write_photo(tmp_path / "one" / "dog" / "1.png")
    write_photo(tmp_path / "one" / "stray.png")
    with pytest.raises(UserError, match=r"holds both folders and the photo stray\.png"):
        images("image_folder", path=str(tmp_path / "one"))
    write_photo(tmp_path / "two" / "0.png")
    with pytest.raises(UserError, match="has 1 images: too few"):
        images("image_folder", path=str(tmp_path / "two"))


def test_corrupt_image_is_named(class_folder: Path) -> None:
    (class_folder / "dog" / "3.png").write_bytes(b"no image")
    data = images("image_folder", path=str(class_folder))
    with pytest.raises(UserError, match=r"dog/3\.png is not an image"):
        data.check_images(lambda done, total: None)
    (class_folder / "dog" / "3.png").unlink()
    with pytest.raises(UserError, match=r"no image .*dog/3\.png"):
        data.content_digest()


def test_bad_caption_tables(captioned: Callable[..., Path], tmp_path: Path) -> None:
    def refused(says: str, **keywords: Any) -> None:
        with pytest.raises(UserError, match=says):
            images("captions", **keywords)

    path = captioned(caption=["a"] * 5 + ["  "] + ["b"] * 2)
    refused(r"row 6 \(photos/5\.png\) has no caption \(1 such rows\)", table=str(path))
    refused("no column 'captoin'; did you mean 'caption'", table=str(path), columns={"caption": "captoin"})
    refused("no key 'captions'; did you mean 'caption'", table=str(path), columns={"captions": "x"})
    refused("has the split 'trian'", table=str(captioned(split=["trian"] * 8)))
    refused("has a split without val or test", table=str(captioned(split=["train"] * 8)))
    refused("no such file", table=str(tmp_path / "gone.csv"))
    (tmp_path / "x.json").write_text('{"images": []}')
    refused(r"not COCO's JSON \(it has no annotations\)", table=str(tmp_path / "x.json"))
    (tmp_path / "empty.csv").write_text("")
    refused("cannot be read as a table: it is empty", table=str(tmp_path / "empty.csv"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"caption": None}, r"annotations, row 2 \(image 1\): its caption is null and no text"),
        ({"caption": 404}, r"annotations, row 2 \(image 1\): its caption is 404 and no text"),
        ({"caption": " "}, r"annotations, row 2 \(image 1\): its caption is \" \" and no text"),
        ({"image_id": 9}, r"annotations, row 2 is of image 9, which images lack"),
        ({"image_id": []}, r"annotations, row 2 has no image_id"),
    ],
)
def test_coco_captions_that_are_no_texts_are_named(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    images_of = [{"id": "01", "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}]
    rows = [{"id": number, "image_id": number, "caption": f"Photo {number}."} for number in (2, 1)]
    path = tmp_path / "captions.json"
    path.write_text(json.dumps({"images": images_of, "annotations": rows}))
    table = DATAMODULES.build("captions", table=str(path)).load_images()
    assert (list(table.paths), list(table.captions)) == (["a.png", "b.png"], [("Photo 1.",), ("Photo 2.",)])
    path.write_text(json.dumps({"images": images_of, "annotations": [rows[0], {**rows[1], **change}]}))
    with pytest.raises(UserError, match=rf"data\.table: .*captions\.json: {says}"):
        DATAMODULES.build("captions", table=str(path)).load_images()
