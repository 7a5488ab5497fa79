"""COCO and ImageFolder exports, and the contact sheets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_tools.synthetic import (
    CATEGORIES,
    SceneSetConfig,
    render,
    sample_scene,
    scene_pairs,
    write_coco_set,
    write_image_folder,
)
from data_tools.synthetic.contact_sheet import category_sheet, contact_sheet
from data_tools.synthetic.dataset import write_pair_set
from data_tools.synthetic.exports import run_lengths
from semfid.errors import UserError

CONFIG = SceneSetConfig(scenes=8, size=96, seed=1, first=12)


def decoded(counts: list[int], size: list[int]) -> np.ndarray:
    values = np.repeat(np.arange(len(counts)) % 2, counts)
    return values.reshape(size[1], size[0]).T.astype(bool)


def test_coco(tmp_path: Path) -> None:
    path = write_coco_set(tmp_path, CONFIG)
    instances = json.loads(path.read_text())
    captions = json.loads((tmp_path / "annotations" / "captions_val2017.json").read_text())
    assert instances["categories"] == [
        {"id": one.id, "name": one.name, "supercategory": one.supercategory} for one in CATEGORIES
    ]
    assert [image["id"] for image in instances["images"]] == list(range(13, 21))
    assert sorted(one["image_id"] for one in captions["annotations"]) == list(range(13, 21))
    for image in instances["images"]:
        assert image["file_name"] == f"{image['id']:012d}.jpg"
        with Image.open(tmp_path / "val2017" / image["file_name"]) as picture:
            assert picture.size == (image["width"], image["height"]) == (96, 96)
    names = {one.id: one.name for one in CATEGORIES}
    assert len({one["id"] for one in instances["annotations"]}) == len(instances["annotations"]) > 12
    for one in instances["annotations"]:
        spec = sample_scene(1, one["image_id"] - 1)
        number = one["id"] - 10 * one["image_id"]
        mask = render(spec, 96).ids == number
        assert names[one["category_id"]] == spec.objects[number - 1].category
        assert np.array_equal(decoded(one["segmentation"]["counts"], one["segmentation"]["size"]), mask)
        x, y, width, height = one["bbox"]
        assert one["area"] == mask.sum() == mask[y : y + height, x : x + width].sum()
        assert mask[y].any() and mask[y + height - 1].any() and mask[:, x].any() and mask[:, x + width - 1].any()
        assert one["iscrowd"] == 0


def test_coco_as_pycocotools_reads_it(tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    api = coco.COCO(str(write_coco_set(tmp_path, CONFIG)))
    for one in api.loadAnns(api.getAnnIds()):
        mask = api.annToMask(one)
        assert mask.sum() == one["area"]
        number = one["id"] - 10 * one["image_id"]
        assert np.array_equal(mask.astype(bool), render(sample_scene(1, one["image_id"] - 1), 96).ids == number)
    assert {one["supercategory"] for one in api.loadCats(api.getCatIds())} >= {"vehicle", "animal", "food"}


@pytest.mark.parametrize("mask", [[[0, 1], [1, 1]], [[1, 0], [0, 0]], [[1, 1], [1, 1]], [[0, 0], [0, 0]]])
def test_run_lengths(mask: list[list[int]]) -> None:
    array = np.array(mask, dtype=bool)
    assert np.array_equal(decoded(run_lengths(array), [2, 2]), array)


def test_image_folder(tmp_path: Path) -> None:
    out = write_image_folder(tmp_path / "images", CONFIG)
    listed = json.loads((out / "images.json").read_text())
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*.png"))
    assert files == sorted(one["path"] for one in listed) and len(files) == 8
    folders = {f"{one.supercategory}_{one.name.replace(' ', '_')}" for one in CATEGORIES}
    assert {Path(name).parent.name for name in files} <= folders
    before = [(out / name).stat().st_mtime_ns for name in files]
    write_image_folder(out, CONFIG)
    assert before == [(out / name).stat().st_mtime_ns for name in files]


def test_contact_sheets(tmp_path: Path) -> None:
    config = SceneSetConfig(scenes=3, candidates_per_scene=3, size=64, seed=0)
    found = [pair for index in range(3) for pair in scene_pairs(config, index)]
    table = write_pair_set(tmp_path / "set", config)
    for order in ("table", "most", "least"):
        memory = contact_sheet(found, rows=2, columns=2, order=order)
        disk = contact_sheet(table, rows=2, columns=2, order=order)
        assert np.array_equal(np.asarray(memory), np.asarray(disk))
    assert category_sheet(2, 64).height == 64 * len(CATEGORIES)
    with pytest.raises(UserError, match="0 pairs"):
        contact_sheet([])
    with pytest.raises(UserError, match="no pair table"):
        contact_sheet(tmp_path / "absent.csv")
