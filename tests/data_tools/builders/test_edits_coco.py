"""COCO's masks against pycocotools, damaged annotations, and several folders as one set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_coco import HEIGHT, WIDTH, save, write_coco

from data_tools.builders.core.coco import CocoSet
from data_tools.builders.core.coco_masks import fits_photo, mask_of
from data_tools.builders.edits.photos import CocoFolder, CocoFolders
from data_tools.builders.edits.scene import Fit, Scenes
from semfid.errors import UserError

TRIANGLE = [10.0, 10.0, 60.0, 12.0, 30.0, 50.0]


def compressed(mask: np.ndarray) -> dict[str, Any]:
    from pycocotools import mask as tools

    code = tools.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(side) for side in code["size"]], "counts": code["counts"].decode()}


def run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """COCO's uncompressed code, by a loop."""
    counts, before, run = [], False, 0
    for value in mask.T.ravel():
        if value != before:
            counts.append(run)
            before, run = value, 0
        run += 1
    return {"size": list(mask.shape), "counts": [*counts, run]}


@pytest.mark.parametrize("seed", range(6))
def test_run_lengths_give_back_the_mask(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(3, 70, 2))
    coarse = rng.random((height // 3 + 1, width // 3 + 1)) < rng.random()
    mask = np.kron(coarse, np.ones((3, 3), bool))[:height, :width]
    for code in (compressed(mask), run_lengths(mask)):
        assert fits_photo(code, width, height)
        assert (mask_of(code, width, height) == mask).all()


def test_polygons_are_pycocotools_own() -> None:
    from pycocotools import mask as tools

    polygons = [TRIANGLE, [50.0, 40.0, 90.0, 40.0, 90.0, 70.0, 50.0, 70.0]]
    expected = tools.decode(tools.merge(tools.frPyObjects(polygons, HEIGHT, WIDTH))).astype(bool)
    assert fits_photo(polygons, WIDTH, HEIGHT) and (mask_of(polygons, WIDTH, HEIGHT) == expected).all()


@pytest.mark.parametrize(
    "segmentation",
    [
        None,
        [],
        "polygon",
        [[1.0, 2.0, 3.0, 4.0]],
        [[1.0, 2.0, 3.0, 4.0, 5.0]],
        [[1.0, 2.0, 3.0, 4.0, 5.0, float("nan")]],
        [[1.0, 2.0, 1e9, 4.0, 5.0, 6.0]],
        [[1.0, 2.0, "3", 4.0, 5.0, 6.0]],
        {"size": [HEIGHT, WIDTH], "counts": [10, 20]},
        {"size": [WIDTH, HEIGHT], "counts": [0, WIDTH * HEIGHT]},
        {"size": [HEIGHT, WIDTH], "counts": [WIDTH * HEIGHT + 5, -5]},
        {"size": [HEIGHT, WIDTH], "counts": [1.5, WIDTH * HEIGHT - 1.5]},
        {"size": [HEIGHT, WIDTH], "counts": "not a code"},
        {"size": [HEIGHT, WIDTH], "counts": compressed(np.ones((HEIGHT, WIDTH), bool))["counts"][:-1]},
        {"size": [HEIGHT, WIDTH]},
    ],
)
def test_what_is_no_mask_of_the_photo_is_refused(segmentation: Any) -> None:
    assert not fits_photo(segmentation, WIDTH, HEIGHT)


def opened(root: Path) -> CocoSet:
    return CocoSet(root / "images", root / "instances.json")


def test_damage_costs_one_object_and_is_counted(tmp_path: Path) -> None:
    content = write_coco(tmp_path, photos=4)
    annotations = content["annotations"]
    annotations[0]["image_id"] = 99
    annotations[1]["category_id"] = 77
    annotations[2]["segmentation"] = [[1.0, 2.0]]
    annotations[3]["bbox"] = "5 5 20 20"
    annotations[4]["area"] = None
    del annotations[5]["segmentation"]
    annotations[6]["image_id"] = [1]
    annotations[7] = None
    save(tmp_path, content)
    photos = opened(tmp_path)
    assert sum(map(len, photos.instances.values())) == 12 - 8
    assert photos.unfit == {
        "its photo is not in the JSON": 1,
        "its category is not in the JSON": 1,
        "it has no mask that fits its photo": 2,
        "it lacks a key of COCO's, or has a value of another type or without sense": 4,
    }


def test_an_id_that_is_taken_or_missing_is_given_anew(tmp_path: Path) -> None:
    content = write_coco(tmp_path, photos=2)
    before = [opened(tmp_path).mask(one) for found in opened(tmp_path).instances.values() for one in found]
    for one in content["annotations"]:
        one["id"] = 7
    del content["annotations"][4]["id"]
    content["annotations"][5]["id"] = "seven"
    save(tmp_path, content)
    photos = opened(tmp_path)
    found = [one for objects in photos.instances.values() for one in objects]
    assert [one.id for one in found] == [7, 8, 9, 10, 11, 12]
    assert photos.own_ids == {8: 7, 9: 7, 10: 7, 11: None, 12: "seven"}
    assert all((photos.mask(one) == mask).all() for one, mask in zip(found, before, strict=True))


def test_a_json_that_is_none_is_named(tmp_path: Path) -> None:
    write_coco(tmp_path, photos=1)
    for content, message in {
        "{": "is not COCO's JSON",
        "[1]": "it holds a list, not a mapping",
        '{"images": []}': "it has no annotations.*; it needs the lists images and annotations and categories",
    }.items():
        (tmp_path / "instances.json").write_text(content)
        with pytest.raises(UserError, match=message):
            opened(tmp_path)


def test_folders_are_numbered_anew_and_keep_their_masks(tmp_path: Path) -> None:
    write_coco(tmp_path / "a", photos=3)
    write_coco(tmp_path / "b", photos=2, seed=5)
    folders = {
        name: CocoFolder(
            images=str(tmp_path / name / "images"), instances=str(tmp_path / name / "instances.json"), prefix=prefix
        )
        for name, prefix in (("a", ""), ("b", "b_"))
    }
    both, own = CocoFolders(folders), {name: opened(tmp_path / name) for name in folders}
    assert list(both.source_ids.values()) == ["001", "002", "003", "b_001", "b_002"]
    ids = [one.id for objects in both.instances.values() for one in objects]
    assert ids == sorted(set(ids)) and len(ids) == 15
    for number, name, id_ in ((0, "a", 1), (2, "a", 3), (3, "b", 1)):
        assert (both.picture(number) == own[name].picture(id_)).all() and both.path(number) == own[name].path(id_)
        for one, other in zip(both.instances[number], own[name].instances[id_], strict=True):
            assert one.photo == number and both.own_ids[one.id] == other.id
            assert (both.mask(one) == own[name].mask(other)).all()


def test_a_scene_has_its_objects_in_the_frame_of_its_picture(tmp_path: Path) -> None:
    write_coco(tmp_path, photos=2)
    both = CocoFolders({"a": CocoFolder(images=str(tmp_path / "images"), instances=str(tmp_path / "instances.json"))})
    whole, half = Scenes(both, Fit()).of(0), Scenes(both, Fit.model_construct(longest=50, square=True)).of(0)
    assert whole.picture.shape == (75, 100, 3) and half.picture.shape == (50, 50, 3)
    assert (whole.photo.width, whole.photo.height, half.photo.width) == (100, 75, 50)
    for scene in (whole, half):
        for one in scene.objects:
            mask = scene.masks[one.id]
            rows, columns = np.nonzero(mask)
            assert (
                one.box == (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1) and one.area == mask.sum()
            )
    facts = {row[0]: row for row in whole.facts()}
    for one in whole.objects:
        others = np.any([whole.masks[two.id] for two in whole.objects if two is not one], axis=0)
        assert facts[one.id][2] == pytest.approx((others & whole.masks[one.id]).sum() / one.area, abs=1e-3)
    # the middle 75 columns at two thirds of their size
    first = half.masks[half.objects[0].id]
    expected = whole.masks[half.objects[0].id][:, 12:87].sum() * (50 / 75) ** 2
    assert first.sum() == pytest.approx(expected, rel=0.06)
