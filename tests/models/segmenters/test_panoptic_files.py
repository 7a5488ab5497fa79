"""COCO's panoptic files, against a naive reading of their colours and pycocotools' masks of the same objects."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from models.captioners.errors import LabelError
from models.segmenters import Segmenter, build_segmenter
from semfid.errors import UserError
from semfid.io.images import read_image

SIZE = (12, 8)
SEGMENTS = {70000: 1, 300: 2, 5: 2}  # id to category: each colour channel is used


def colours(ids: np.ndarray) -> np.ndarray:
    return np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)


def truth(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).choice([0, *SEGMENTS], (SIZE[1], SIZE[0]))


def content(photos: int = 2) -> dict[str, Any]:
    return {
        "images": [{"id": n, "file_name": f"{n}.png", "width": SIZE[0], "height": SIZE[1]} for n in range(photos)],
        "annotations": [
            {
                "image_id": n,
                "file_name": f"map{n}.png",
                "segments_info": [{"id": one, "category_id": kind} for one, kind in SEGMENTS.items()],
            }
            for n in range(photos)
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "sky-other-merged"}],
    }


def save_panoptic(root: Path, content: dict[str, Any], photos: int = 2) -> dict[str, Any]:
    """Write photos, maps and the JSON; the keywords that read them."""
    for folder in ("photos", "panoptic"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for n in range(photos):
        pixels = np.random.default_rng(100 + n).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "photos" / f"{n}.png")
        Image.fromarray(colours(truth(n))).save(root / "panoptic" / f"map{n}.png")
    (root / "panoptic.json").write_text(json.dumps(content))
    return {"annotations": str(root / "panoptic.json"), "images": str(root / "photos")}


def photo(root: Path, number: int) -> Image.Image:
    return read_image(root / "photos" / f"{number}.png")


def built(root: Path, **other: Any) -> Segmenter:
    return build_segmenter("panoptic_files", {**save_panoptic(root, content()), **other})


def test_ids_and_labels(tmp_path: Path) -> None:
    found = built(tmp_path).segment([photo(tmp_path, 1), photo(tmp_path, 0)])
    for one, number in zip(found, (1, 0), strict=True):
        ids = truth(number)
        assert np.array_equal(one.ids, ids) and one.ids.dtype == np.int32
        kinds = {1: "cat", 2: "sky-other-merged"}
        assert one.labels == {n: kinds[SEGMENTS[n]] for n in sorted(set(ids.ravel().tolist()) - {0})}


def test_another_picture_has_no_regions(tmp_path: Path) -> None:
    segmenter = built(tmp_path)
    edited = photo(tmp_path, 0)
    edited.putpixel((0, 0), (1, 2, 3))
    for image in (edited, Image.new("RGB", (5, 5))):
        with pytest.raises(LabelError, match="regions of its own photos alone"):
            segmenter.segment([image])


def test_only_photos_that_are_there(tmp_path: Path) -> None:
    keywords = save_panoptic(tmp_path, content(3), photos=2)
    segmenter = build_segmenter("panoptic_files", keywords)
    assert segmenter.segment([photo(tmp_path, 0)])[0].ids.any()
    with pytest.raises(UserError, match="holds none of the photos"):
        build_segmenter("panoptic_files", {**keywords, "images": str(tmp_path / "panoptic")})


def test_ids_that_the_json_lacks_are_named(tmp_path: Path) -> None:
    listed = content()
    for one in listed["annotations"]:
        one["segments_info"] = one["segments_info"][:1]
    segmenter = build_segmenter("panoptic_files", save_panoptic(tmp_path, listed))
    pixels = int(np.isin(truth(0), [5, 300]).sum())
    with pytest.raises(
        LabelError, match=rf"map0.png holds 2 ids that .*panoptic.json does not have \(5, 300; {pixels} pixels\)"
    ):
        segmenter.segment([photo(tmp_path, 0)])


def test_bad_maps_are_faults_of_one_photo(tmp_path: Path) -> None:
    segmenter = built(tmp_path)
    path = tmp_path / "panoptic" / "map0.png"
    Image.fromarray(truth(0).astype(np.uint8)).save(path)
    with pytest.raises(LabelError, match=r"map0.png is L; COCO's are 8-bit RGB"):
        segmenter.segment([photo(tmp_path, 0)])
    Image.fromarray(colours(truth(0))[:4]).save(path)
    with pytest.raises(LabelError, match=r"map0.png is 12x4, its photo 12x8"):
        segmenter.segment([photo(tmp_path, 0)])
    path.unlink()
    with pytest.raises(LabelError, match=r"map0.png cannot be read"):
        segmenter.segment([photo(tmp_path, 0)])
    assert segmenter.segment([photo(tmp_path, 1)])[0].ids.any()


def test_identity_follows_the_files(tmp_path: Path) -> None:
    one = built(tmp_path / "a").identity
    assert built(tmp_path / "b").identity == one, "a folder's path says nothing of what lies in it"
    Image.fromarray(colours(truth(7))).save(tmp_path / "b" / "panoptic" / "map0.png")
    keywords = {"annotations": str(tmp_path / "b" / "panoptic.json"), "images": str(tmp_path / "b" / "photos")}
    assert build_segmenter("panoptic_files", keywords).identity != one


def change(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Set what lies at a path such as ``annotations/0/image_id``; None: delete it."""

    def apply(content: Any) -> None:
        *way, last = [int(key) if key.isdecimal() else key for key in path.split("/")]
        for key in way:
            content = content[key]
        if value is None:
            del content[last]
        else:
            content[last] = value

    return apply


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("annotations/0/image_id", 99, "annotations, row 1 is no panoptic annotation"),
        ("annotations/1/segments_info", None, "annotations, row 2 is no panoptic annotation"),
        ("annotations/0/segments_info/0/id", "x", "row 1 is no panoptic annotation"),
        ("annotations/0/segments_info/0/id", 0, "segment id 0 is not above 0"),
        ("annotations/0/segments_info/0/id", 5, "segment id 5 stands twice"),
        ("annotations/0/segments_info/0/category_id", 7, "segment 70000 has the category 7, which is not listed"),
        ("annotations/0/file_name", None, "row 1: its file_name is missing"),
        ("images/0/width", None, "row 1 is no panoptic annotation"),
        ("images/1/id", 0, "images, rows 1 and 2 have one id"),
        ("categories/0/name", None, "its name is missing"),
        ("categories", None, "it has no categories"),
    ],
)
def test_a_json_of_another_kind(path: str, value: Any, message: str, tmp_path: Path) -> None:
    listed = content()
    change(path, value)(listed)
    with pytest.raises(UserError, match=message) as caught:
        build_segmenter("panoptic_files", save_panoptic(tmp_path, listed))
    assert "panoptic" in str(caught.value)


def test_folders_that_are_not_there(tmp_path: Path) -> None:
    for key in ("images", "maps"):
        with pytest.raises(UserError, match=f"{key} finds no folder"):
            built(tmp_path, **{key: str(tmp_path / "nowhere")})
    with pytest.raises(UserError, match="cannot read"):
        built(tmp_path, annotations=str(tmp_path / "nowhere.json"))


def test_coco_itself(test_data: Callable[[str], Path]) -> None:
    """The instance masks of the same objects, drawn by pycocotools, lie inside segments of their category."""
    root = test_data("coco128")
    listed = json.loads((root / "annotations" / "panoptic_train2017.json").read_text())
    segmenter = build_segmenter(
        "panoptic_files",
        {"annotations": str(root / "annotations" / "panoptic_train2017.json"), "images": str(root / "train2017")},
    )
    instances = COCO(root / "annotations" / "instances_train2017.json")
    shares = []
    for annotation in listed["annotations"][:6]:
        photo = instances.imgs[annotation["image_id"]]
        (found,) = segmenter.segment([read_image(root / "train2017" / photo["file_name"])])
        areas = {int(n): int((found.ids == n).sum()) for n in np.unique(found.ids) if n}
        assert areas == {one["id"]: one["area"] for one in annotation["segments_info"]}
        for one in instances.loadAnns(instances.getAnnIds(annotation["image_id"], iscrowd=False)):
            mask = instances.annToMask(one).astype(bool)
            kind = instances.cats[one["category_id"]]["name"]
            same = [n for n, label in found.labels.items() if label == kind]
            if mask.sum() > 2000:
                shares.append(np.isin(found.ids[mask], same).mean())
    assert len(shares) > 8 and np.median(shares) > 0.95
