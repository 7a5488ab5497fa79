"""Damaged COCO files through the readers of both builders: what is read is what the whole file holds, and the rest is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_coco import HEIGHT, WIDTH, write_coco

from data_tools.builders.core.coco import CocoSet
from data_tools.builders.core.errors import UnitError
from data_tools.builders.core.instance_filters import Filters
from data_tools.builders.edits.photos import CocoFolder, CocoFolders
from data_tools.builders.inpainters.object_bank import ObjectBank
from semfid.errors import ImageError, UserError

Content = dict[str, Any]
Objects = dict[tuple[str, str, tuple[float, ...], float, bool, bytes], int]
NAN, PIXELS = float("nan"), WIDTH * HEIGHT
WHOLE = 9
"""Objects of the whole file, three a photo."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photos; of the objects of the second, two are given as run lengths."""
    root = tmp_path_factory.mktemp("whole")
    content = write_coco(root, photos=3)
    photos = CocoSet(root / "images", root / "instances.json")
    for one, instance in zip(content["annotations"][3:5], photos.instances[2][:2], strict=True):
        flat = np.concatenate([[False], photos.mask(instance).T.ravel()])
        ends = np.flatnonzero(np.diff(flat)).tolist()
        one["segmentation"] = {"size": [HEIGHT, WIDTH], "counts": np.diff([0, *ends, PIXELS]).tolist()}
    (root / "instances.json").write_text(json.dumps(content))
    return root


def of_set(photos: CocoSet | CocoFolders) -> Objects:
    """All that is known of each object on photos that can be opened, and how often, but for the numbers that readers give."""
    found: Objects = {}
    for number, objects in photos.instances.items():
        try:
            photos.picture(number)
        except (UnitError, ImageError):  # costs the units of this photo
            continue
        for one in objects:
            assert one.photo == number
            facts = (photos.photos[number].file, one.category, one.box, one.area, one.crowd, photos.mask(one).tobytes())
            found[facts] = found.get(facts, 0) + 1
    return found


def through_inpainting(root: Path, instances: Path) -> tuple[Objects, int]:
    """Objects, and how many annotations are said to be left out, as `semfid build inpainting` reads them."""
    photos = CocoSet(root / "images", instances)
    donors = ObjectBank(photos, Filters(area=(0, 1), box_side=1, border=0))
    for category in photos.supercategory:
        for donor in donors.of(category, photo=-1):
            try:
                donors.cut(donor)
            except (UnitError, ImageError):
                continue
    return of_set(photos), sum(photos.unfit.values())


def through_edits(root: Path, instances: Path) -> tuple[Objects, int]:
    """The same of `semfid build edits`."""
    photos = CocoFolders({"tiny": CocoFolder(images=str(root / "images"), instances=str(instances))})
    return of_set(photos), sum(photos.left_out.values())


READERS = {"inpainting": through_inpainting, "edits": through_edits}


def first(section: str, **values: Any) -> Callable[[Content], object]:
    """A damage to the first record of a section; a value of ``...`` takes the key away."""

    def damage(content: Content) -> None:
        record = content[section][0]
        for name, value in values.items():
            if value is ...:
                del record[name]
            else:
                record[name] = value

    return damage


def every(section: str, name: str, make: Callable[[Any], Any]) -> Callable[[Content], object]:
    """A damage to all records of a section."""
    return lambda content: [one.update({name: make(one[name])}) for one in content[section]]


def texts(content: Content) -> None:
    every("images", "id", lambda id_: f"photo {id_}")(content)
    every("annotations", "image_id", lambda id_: f"photo {id_}")(content)


def eighty_bits(content: Content) -> None:
    every("images", "id", lambda id_: id_ + 2**80)(content)
    every("annotations", "image_id", lambda id_: str(id_ + 2**80))(content)


def runs(size: list[int], counts: Any) -> Callable[[Content], object]:
    return first("annotations", segmentation={"size": size, "counts": counts})


# damages that take the sense from an annotation: it alone is left out, and counted
LEFT_OUT: dict[str, Callable[[Content], object]] = {
    "no annotation": lambda content: content["annotations"].__setitem__(0, None),
    "a list for an annotation": lambda content: content["annotations"].__setitem__(0, [1, 2]),
    "image_id of no photo": first("annotations", image_id=99),
    "image_id null": first("annotations", image_id=None),
    "image_id missing": first("annotations", image_id=...),
    "category_id of no category": first("annotations", category_id=77),
    "category_id a list": first("annotations", category_id=[1]),
    "bbox missing": first("annotations", bbox=...),
    "bbox null": first("annotations", bbox=None),
    "bbox NaN": first("annotations", bbox=[8, NAN, 30, 36]),
    "bbox of negative width": first("annotations", bbox=[8, 10, -30, 36]),
    "bbox of three": first("annotations", bbox=[8, 10, 30]),
    "bbox a text": first("annotations", bbox="8 10 30 36"),
    "area missing": first("annotations", area=...),
    "area infinite": first("annotations", area=float("inf")),
    "area negative": first("annotations", area=-5),
    "iscrowd a word": first("annotations", iscrowd="yes"),
    "segmentation missing": first("annotations", segmentation=...),
    "segmentation null": first("annotations", segmentation=None),
    "segmentation empty": first("annotations", segmentation=[]),
    "polygon of odd length": first("annotations", segmentation=[[1, 2, 30, 4, 20, 60, 7]]),
    "polygon of two corners": first("annotations", segmentation=[[1, 2, 30, 40]]),
    "polygon not in a list": first("annotations", segmentation=[1, 2, 30, 4, 20, 60]),
    "polygon with NaN": first("annotations", segmentation=[[1, 2, 30, NAN, 20, 60]]),
    "polygon far outside": first("annotations", segmentation=[[1, 2, 1e9, 4, 20, 60]]),
    "polygon of texts": first("annotations", segmentation=[["1", "2", "30", "4", "20", "60"]]),
    "polygon of truths": first("annotations", segmentation=[[True, 2, 30, 4, 20, 60]]),
    "run lengths null": runs([HEIGHT, WIDTH], None),
    "run lengths too long": runs([HEIGHT, WIDTH], [10, PIXELS]),
    "run lengths too short": runs([HEIGHT, WIDTH], [10, 20]),
    "run lengths negative": runs([HEIGHT, WIDTH], [PIXELS + 5, -5]),
    "run lengths of the other side first": runs([WIDTH, HEIGHT], [10, PIXELS - 10]),
    "run lengths of no code": runs([HEIGHT, WIDTH], "\u1234"),
}
# damages that leave the meaning: nothing changes
ALIKE: dict[str, Callable[[Content], object]] = {
    "ids of annotations anew in each photo": every("annotations", "id", lambda id_: id_ % 100),
    "ids of annotations all 0": every("annotations", "id", lambda id_: 0),
    "ids of annotations null": every("annotations", "id", lambda id_: None),
    "ids of annotations texts": every("annotations", "id", str),
    "ids of images texts": every("images", "id", lambda id_: f"{id_:012}"),
    "ids of images floats": every("images", "id", float),
    "ids of annotations of 80 bits": every("annotations", "id", lambda id_: id_ + 2**80),
    "ids of images of 80 bits": eighty_bits,
    "image_id texts": every("annotations", "image_id", str),
    "category_id texts": every("annotations", "category_id", str),
    "ids of images words": texts,
    "sides texts": every("images", "width", str),
    "iscrowd null": every("annotations", "iscrowd", lambda _: None),
    "iscrowd missing": lambda content: [one.pop("iscrowd") for one in content["annotations"]],
    "licences null": lambda content: content.update(licenses=None),
    "a licence null": lambda content: content["licenses"].append(None),
    "supercategory null": every("categories", "supercategory", lambda _: None),
    "bbox of texts": every("annotations", "bbox", lambda box: [str(side) for side in box]),
}
# damages to what many objects hang on: one line
REFUSED: dict[str, tuple[Callable[[Content], object], str]] = {
    "images missing": (lambda content: content.pop("images"), "it has no images"),
    "annotations null": (lambda content: content.update(annotations=None), "annotations is a NoneType"),
    "categories a mapping": (lambda content: content.update(categories={}), "categories is a dict"),
    "an image null": (lambda content: content["images"].append(None), "images, row 4 has no id"),
    "an image without id": (first("images", id=...), "images, row 1 has no id"),
    "an image's id true": (first("images", id=True), "images, row 1 has no id"),
    "two images of one id": (first("images", id=2), "images, rows 1 and 2 have one id"),
    "two images of one id, once as text": (first("images", id="02"), "images, rows 1 and 2 have one id"),
    "two images of one file": (first("images", file_name="002.png"), "have one file, 002.png"),
    "file_name null": (first("images", file_name=None), "its file_name is null and no text"),
    "file_name missing": (first("images", file_name=...), "its file_name is missing"),
    "file_name with a zero": (first("images", file_name="a\0.png"), "holds a broken letter"),
    "file_name of half a letter": (first("images", file_name="\ud800.png"), "holds a broken letter"),
    "width missing": (first("images", width=...), "its width is None"),
    "width negative": (first("images", width=-5), "its width is -5"),
    "width a fraction": (first("images", width=99.5), r"its width is 99\.5"),
    "height NaN": (first("images", height=NAN), "its height is nan"),
    "two categories of one id": (first("categories", id=2), "categories, rows 1 and 2 have one id"),
    "a category without a name": (first("categories", name=None), "its name is null and no text"),
    "one name for two categories": (
        first("categories", name="bus"),
        "two categories 'bus' of different supercategories",
    ),
}
# damages that a photo itself shows when it is opened
OF_A_PHOTO = {
    "file that is not there": first("images", file_name="gone.png"),
    "sides the wrong way round": first("images", width=HEIGHT, height=WIDTH),
    "another photo's size": first("images", width=2 * WIDTH, height=2 * HEIGHT),
}
SPOILT_BYTES: dict[str, Callable[[bytes], bytes]] = {
    "cut short": lambda text: text[:-300],
    "nothing": lambda text: b"",
    "a list": lambda text: b"[" + text + b"]",
    "another encoding": lambda text: text.replace(b"person", b"pers\xf6n"),
    "nested too deep": lambda text: b"[" * 200_000,
    "a key twice": lambda text: text.replace(b'"iscrowd": 0', b'"iscrowd": 0, "area": 7.0', 1),
}


def damaged(whole: Path, folder: Path, damage: Callable[[Content], object]) -> Path:
    content = json.loads((whole / "instances.json").read_text())
    damage(content)
    path = folder / "instances.json"
    path.write_text(json.dumps(content))
    return path


def test_the_whole_file_is_what_it_is_compared_with(whole: Path) -> None:
    objects, left_out = through_inpainting(whole, whole / "instances.json")
    assert sum(objects.values()) == len(objects) == WHOLE and left_out == 0
    assert through_edits(whole, whole / "instances.json") == (objects, 0)
    assert len(LEFT_OUT) + len(ALIKE) + len(REFUSED) + len(OF_A_PHOTO) + len(SPOILT_BYTES) >= 40


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", LEFT_OUT)
def test_one_object_is_left_out_and_counted(whole: Path, tmp_path: Path, reader: str, name: str) -> None:
    before, _ = READERS[reader](whole, whole / "instances.json")
    objects, left_out = READERS[reader](whole, damaged(whole, tmp_path, LEFT_OUT[name]))
    assert left_out == 1 and sum(objects.values()) == WHOLE - 1
    assert set(objects) < set(before)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ALIKE)
def test_what_means_the_same_is_read_the_same(whole: Path, tmp_path: Path, reader: str, name: str) -> None:
    assert READERS[reader](whole, damaged(whole, tmp_path, ALIKE[name])) == READERS[reader](
        whole, whole / "instances.json"
    )


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", OF_A_PHOTO)
def test_one_photo_fails_alone(whole: Path, tmp_path: Path, reader: str, name: str) -> None:
    before, _ = READERS[reader](whole, whole / "instances.json")
    objects, left_out = READERS[reader](whole, damaged(whole, tmp_path, OF_A_PHOTO[name]))
    # run lengths and polygons of the photo are checked against its sides in the JSON: what does not fit is counted
    assert left_out <= 3 and objects == {facts: 1 for facts in before if facts[0] != "001.png"}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", REFUSED)
def test_what_many_objects_hang_on_is_refused_in_one_line(whole: Path, tmp_path: Path, reader: str, name: str) -> None:
    damage, says = REFUSED[name]
    path = damaged(whole, tmp_path, damage)
    with pytest.raises(UserError, match=says) as error:
        READERS[reader](whole, path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", SPOILT_BYTES)
def test_what_is_no_json_is_refused_in_one_line(whole: Path, tmp_path: Path, reader: str, name: str) -> None:
    path = tmp_path / "instances.json"
    path.write_bytes(SPOILT_BYTES[name]((whole / "instances.json").read_bytes()))
    with pytest.raises(UserError, match="is not COCO's JSON") as error:
        READERS[reader](whole, path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_marks_and_encodings_of_json_are_read(whole: Path, tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "instances.json"
    path.write_text((whole / "instances.json").read_text(), encoding=encoding)
    assert through_edits(whole, path) == through_edits(whole, whole / "instances.json")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (first("annotations", caption=None), r"annotations, row 1 \(image 1\): its caption is null and no text"),
        (first("annotations", caption=404), r"annotations, row 1 \(image 1\): its caption is 404 and no text"),
        (first("annotations", caption=["a"]), r"row 1 \(image 1\): its caption is \[\"a\"\] and no text"),
        (first("annotations", caption="  "), r"row 1 \(image 1\): its caption is \"  \" and no text"),
        (first("annotations", caption=...), r"row 1 \(image 1\): its caption is missing"),
        (first("annotations", image_id=None), "row 1 has no image_id"),
        (lambda content: content["annotations"].append(None), "row 4 has no image_id"),
        (lambda content: content.update(annotations={}), "annotations is a dict"),
    ],
)
def test_captions_that_are_no_texts_are_named(
    whole: Path, tmp_path: Path, damage: Callable[[Content], object], says: str
) -> None:
    content = json.loads((whole / "captions.json").read_text())
    damage(content)
    (tmp_path / "captions.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"photos\.captions.*{says}"):
        CocoSet(whole / "images", whole / "instances.json", tmp_path / "captions.json")


def test_captions_find_photos_by_any_spelling_of_their_ids(whole: Path, tmp_path: Path) -> None:
    content = json.loads((whole / "captions.json").read_text())
    content["annotations"] = [{**one, "image_id": f"{one['image_id']:06}"} for one in content["annotations"]]
    content["annotations"].append({"id": 0, "image_id": 1, "caption": "The first\nby its id."})
    content["annotations"].append({"id": 9, "image_id": 77, "caption": "of no photo"})
    (tmp_path / "captions.json").write_text(json.dumps(content))
    found = CocoSet(whole / "images", whole / "instances.json", tmp_path / "captions.json").captions
    assert found == {1: "The first by its id.", 2: "Photo 2.", 3: "Photo 3."}
