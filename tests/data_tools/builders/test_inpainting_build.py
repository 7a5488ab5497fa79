"""`semfid build inpainting` on a drawn COCO set and on real photos."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tiny_coco import CATEGORIES, quiet_call, save, write_coco, write_config

from data_tools.builders.core.journal import latest_entries
from data_tools.builders.core.work_items import Unit
from data_tools.builders.inpainting.build import build
from data_tools.builders.inpainting.inpaint import Painter
from semfid.cli import main
from semfid.errors import UserError
from semfid.io.images import read_image
from semfid.io.pair_table import read_pairs
from semfid.io.sharding import Shard

SUPER = dict(CATEGORIES)


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    write_coco(tmp_path / "coco")
    return tmp_path / "coco"


def files_of(out: Path) -> dict[str, str]:
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.parent.name != "journals" and path.suffix != ".lock"
    }


def built(coco: Path, out: Path, *overrides: str, **options: Any) -> pd.DataFrame:
    assert build(write_config(coco, out), overrides, quiet_call(**options)) == 0
    return read_pairs(out / "pairs.csv").frame


def grey(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode == "L"
        return np.asarray(image)


def test_every_pair_is_what_its_row_says(coco: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    table = built(coco, out, "instances_per_image=3", "split={val: 0.2, test: 0.2, seed: 1}")
    content = json.loads((coco / "instances.json").read_text())
    annotations = {one["id"]: one for one in content["annotations"]}
    people = sum(one["category_id"] == 1 for one in annotations.values())
    assert Counter(table["level"]) == {"same_class": 18, "same_supercategory": 18 - people, "other_supercategory": 18}
    names = [name for name, _ in CATEGORIES]
    for row in table.to_dict("records"):
        before, after = row["category_before"], row["category_after"]
        annotation = annotations[row["annotation_id"]]
        assert names[annotation["category_id"] - 1] == before and str(annotation["image_id"]) == row["source_id"]
        relation = (
            "same_class"
            if before == after
            else "same_supercategory"
            if SUPER[before] == SUPER[after]
            else "other_supercategory"
        )
        assert row["level"] == row["origin"] == relation
        source, candidate = (np.asarray(read_image(out / row[side])) for side in ("reference", "candidate"))
        paste = grey(out / row["mask_paste"])
        assert (candidate[paste == 0] == source[paste == 0]).all(), "to the bit"
        original, dilated, repaint = (
            grey(out / row[f"mask_{name}"]) > 0 for name in ("original", "dilated", "repaint")
        )
        assert (original <= dilated).all() and (original <= repaint).all() and (paste[repaint] == 255).all()
        changed = grey(out / row["map"])
        assert set(np.unique(changed)) <= {0, 255}
        if relation == "same_class":
            assert row["difference"] == 0.0 and not changed.any()
        else:
            assert row["difference"] == 1.0 and (changed[original] == 255).all() and (changed[~repaint] == 0).all()
        donor = annotations[int(row["donor_annotation_id"])]
        assert names[donor["category_id"] - 1] == after and donor["image_id"] != annotation["image_id"]
        assert row["source_sha256"] == hashlib.sha256((out / row["reference"]).read_bytes()).hexdigest()
        assert (row["licence"], row["source_url"]) == ("Attribution License", f"http://flickr/{row['source_id']}")
        assert row["changed_outside"] == 0 and row["changed_inside"] > 0.02 and row["seed"] == 0
        assert row["changed"] == pytest.approx((changed > 0).mean(), abs=1e-6)
    sides = table.groupby("source_id")["split"].nunique()
    assert (sides == 1).all() and Counter(table.groupby("source_id")["split"].first()) == {
        "train": 4,
        "val": 1,
        "test": 1,
    }
    summary = json.loads((out / "summary.json").read_text())
    assert summary["skipped"] == {} and summary["objects"]["kept"] == 18


def test_person_is_skipped_and_counted(coco: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    config = write_config(coco, tmp_path / "out")
    assert build(config, ["filters.categories=[person]"], quiet_call(lines)) == 0
    assert "skipped: 2 x same_supercategory: person is alone in its supercategory" in lines
    assert set(read_pairs(tmp_path / "out" / "pairs.csv").frame["level"]) == {
        "same_class",
        "other_supercategory",
    }


def test_killed_sharded_and_whole_are_the_same_to_the_byte(
    coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built(coco, tmp_path / "whole")
    whole, make, made = files_of(tmp_path / "whole"), Painter.make, []

    def dying(painter: Painter, batch: Sequence[Unit]) -> Any:
        if len(made) == 5:
            raise KeyboardInterrupt
        made.append(batch)
        return make(painter, batch)

    monkeypatch.setattr(Painter, "make", dying)
    with pytest.raises(KeyboardInterrupt):
        built(coco, tmp_path / "killed")
    monkeypatch.undo()
    assert not (tmp_path / "killed" / "pairs.csv").exists()
    built(coco, tmp_path / "killed")
    for index in (2, 0, 1):
        built(coco, tmp_path / "shards", shard=Shard(index, 3))
    assert files_of(tmp_path / "killed") == whole == files_of(tmp_path / "shards")


def test_bad_photos_are_rows_and_the_others_are_built(coco: Path, tmp_path: Path) -> None:
    images, out = coco / "images", tmp_path / "out"
    whole = (images / "001.png").read_bytes()
    (images / "001.png").write_bytes(whole[: len(whole) // 2])
    (images / "002.png").unlink()
    turned = Image.open(images / "003.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(images / "003.png", exif=exif)
    Image.open(images / "004.png").convert("L").save(images / "004.png")
    buffer = io.BytesIO()
    Image.open(images / "005.png").convert("CMYK").save(buffer, "JPEG", quality=95)
    (images / "005.png").write_bytes(buffer.getvalue())
    Image.fromarray(np.asarray(Image.open(images / "006.png").convert("L")).astype(np.uint16) * 257).save(
        images / "006.png"
    )
    failed = build(write_config(coco, out), [], quiet_call())
    errors = pd.read_csv(out / "errors.csv", keep_default_na=False)
    assert len(errors) == failed and errors["reason"][errors["stage"] == "paint"].str.match("none of . donors of").all()
    photos = errors[errors["stage"] == "inspect"]
    reasons = dict(zip(photos["sample"], photos["reason"], strict=True))
    assert set(reasons) == {1, 2, 3} and "corrupt" in reasons[1] and "no image" in reasons[2]
    assert "003.png is 75x100 when upright, and its annotations are for 100x75" in reasons[3]
    table = read_pairs(out / "pairs.csv").frame
    assert set(table["source_id"]) == {"4", "5", "6"}
    for row in table.to_dict("records"):
        source, candidate = (np.asarray(read_image(out / row[side])) for side in ("reference", "candidate"))
        outside = grey(out / row["mask_paste"]) == 0
        assert (candidate[outside] == source[outside]).all()
    (images / "001.png").write_bytes(whole)  # a mended photo is seen to be another; no --retry-failed is needed
    assert build(write_config(coco, out), [], quiet_call()) < failed
    assert "1" in set(read_pairs(out / "pairs.csv").frame["source_id"])


def test_annotations_without_images_and_the_reverse(coco: Path, tmp_path: Path) -> None:
    content = json.loads((coco / "instances.json").read_text())
    content["annotations"][0]["image_id"] = 99
    content["annotations"][1]["category_id"] = 77
    content["annotations"][2]["segmentation"] = [[1.0, 2.0]]
    content["annotations"] = [one for one in content["annotations"] if one["image_id"] != 6]
    save(coco, content)
    lines: list[str] = []
    assert build(write_config(coco, tmp_path / "out"), [], quiet_call(lines)) == 0
    assert [line for line in lines if line.startswith("left out")] == [
        "left out: 1 annotations: its photo is not in the JSON",
        "left out: 1 annotations: its category is not in the JSON",
        "left out: 1 annotations: it has no mask that fits its photo",
    ]
    assert set(read_pairs(tmp_path / "out" / "pairs.csv").frame["source_id"]) == {"2", "3", "4", "5"}


def test_nothing_left_says_which_filter_removed_how_many(coco: Path, tmp_path: Path) -> None:
    config = write_config(coco, tmp_path / "out")
    with pytest.raises(
        UserError, match=r"nothing is left to paint over of 18 objects on 6 photos: short_side removed 18;"
    ):
        build(config, ["filters.short_side=500"], quiet_call())
    with pytest.raises(UserError, match=r"sharpness removed 18; relax filters"):
        build(config, ["filters.sharpness=1e9"], quiet_call())
    with pytest.raises(UserError, match=r"\d x same_class: no donor for dog"):
        build(config, ["donors.short_side=500", "levels=[same_class]"], quiet_call())
    with pytest.raises(UserError, match=r"filters\.categories: no category 'dogs'; did you mean 'dog'\?"):
        build(config, ["filters.categories=[dogs]"], quiet_call())


def test_a_category_without_donors_is_not_drawn(coco: Path, tmp_path: Path) -> None:
    table = built(coco, tmp_path / "out", "donors.categories=[bus]", "levels=[same_supercategory, other_supercategory]")
    assert set(table["category_after"]) == {"bus"} and "bus" not in set(table["category_before"])


def test_rejects_stay_with_their_reason(coco: Path, tmp_path: Path) -> None:
    table = built(coco, tmp_path / "out", "checks.changed_inside=0.25")
    rejects = pd.read_csv(tmp_path / "out" / "rejects.csv")
    assert len(table) + len(rejects) == 18 - 0 and len(table) > 2 and len(rejects) > 2
    assert not set(table["pair_id"]) & set(rejects["pair_id"])
    assert (table["changed_inside"] >= 0.25).all() and (rejects["changed_inside"] < 0.25).all()
    assert rejects["reason"].str.match(r"changed_inside 0\.\d+ is below 0\.25").all()
    assert all((tmp_path / "out" / name).is_file() for name in rejects["candidate"])
    assert len(built(coco, tmp_path / "off", "checks.changed_inside=null")) == 18
    lines: list[str] = []
    assert build(write_config(coco, tmp_path / "all"), ["checks.changed_inside=0.9"], quiet_call(lines)) == 0
    assert not (tmp_path / "all" / "pairs.csv").exists() and len(pd.read_csv(tmp_path / "all" / "rejects.csv")) == 18


@pytest.mark.parametrize("name", ["../images/001.png", "{root}/images/001.png"])
def test_a_photo_outside_of_its_folder_is_not_copied_out_of_the_set(tmp_path: Path, name: str) -> None:
    content = write_coco(tmp_path / "coco", photos=2)
    content["images"][0]["file_name"] = name.format(root=tmp_path / "coco")
    save(tmp_path / "coco", content)
    assert len(built(tmp_path / "coco", tmp_path / "source")) > 0
    with pytest.raises(UserError, match=r"001\.png leads out of photos\.images.*set references: source"):
        built(tmp_path / "coco", tmp_path / "out", "references=copy")


def test_copies_of_the_photos_make_the_folder_whole(coco: Path, tmp_path: Path) -> None:
    built(coco, tmp_path / "out", "references=copy", "table=pairs.csv")
    shutil.move(tmp_path / "out", tmp_path / "moved")
    frame = read_pairs(tmp_path / "moved" / "pairs.csv").frame
    for name in frame["reference"]:
        assert (tmp_path / "moved" / name).read_bytes() == (coco / "images" / Path(name).name).read_bytes()


def test_preview_makes_a_few_units_a_sheet_and_an_estimate(coco: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    out = tmp_path / "out"
    assert build(write_config(coco, out), [], quiet_call(lines, preview=True)) == 0
    assert Counter(read_pairs(out / "pairs.csv").frame["level"]) == dict.fromkeys(
        ("same_class", "same_supercategory", "other_supercategory"), 3
    )
    sheet = np.asarray(read_image(out / "preview.png"))
    assert sheet.shape[0] > 9 * 75 and sheet.std() > 20
    assert any("s and" in line and "MB a unit; 9 left" in line for line in lines), lines
    before = files_of(out)
    built(coco, out)
    built(coco, tmp_path / "whole")
    after = files_of(out)
    assert {name: after[name] for name in before if name.startswith("candidates")}.items() <= before.items()
    assert {name: digest for name, digest in after.items() if name != "preview.png"} == files_of(tmp_path / "whole")


def test_limit_goes_on_later(coco: Path, tmp_path: Path) -> None:
    assert len(set(built(coco, tmp_path / "out", limit=2)["source_id"])) == 2
    assert len(set(built(coco, tmp_path / "out")["source_id"])) == 6


def test_a_changed_photo_is_painted_anew(coco: Path, tmp_path: Path) -> None:
    before = built(coco, tmp_path / "out")
    image = np.array(Image.open(coco / "images" / "001.png"))
    image[:3] = 255
    Image.fromarray(image).save(coco / "images" / "001.png")
    after = built(coco, tmp_path / "out")
    same = before["unit"].to_numpy() == after["unit"].to_numpy()
    assert (same == (before["source_id"] != "1").to_numpy()).all() and not same.all()
    assert (after["source_sha256"] != before["source_sha256"]).sum() == 3


def test_the_prompt_and_the_caption(coco: Path, tmp_path: Path) -> None:
    captions = f"photos.captions={coco / 'captions.json'}"
    table = built(coco, tmp_path / "out", "prompt={article} {category}. {caption}", captions)
    row = table.iloc[0]
    assert row["prompt"] == f"a {row['category_after']}. Photo {row['source_id']}."


def test_the_table_feeds_the_datamodule(coco: Path, tmp_path: Path) -> None:
    from registry import DATAMODULES

    built(coco, tmp_path / "out", "table=pairs.csv", "split={val: 0.2, test: 0.2}")
    data = DATAMODULES.build("inpainting", table=str(tmp_path / "out" / "pairs.csv"), image_size=32, batch_size=4)
    table = data.load_table()
    assert len(table) == 18 and len(data.unchanged) == 6
    assert set(table.frame["difference"]) == {0.0, 1.0}
    data.prepare_data()
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch.reference.shape == (4, 3, 32, 32)


def test_the_command(coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, out = write_config(coco, tmp_path / "out"), tmp_path / "out"
    assert main(["build", "inpainting", config, "--shard", "0/2"]) == 0
    assert "yet to be made, in all shards" in capsys.readouterr().err
    assert main(["build", "inpainting", config, "--shard", "1/2", "seed=0"]) == 0
    captured = capsys.readouterr()
    assert captured.err.endswith(
        "18 pairs (same_class 6, same_supercategory 6, other_supercategory 6); 0 rejected; 0 errors\n"
    )
    assert "[1-of-2] objects: 18 kept; removed by no filter" in captured.err
    assert main(["build", "verify", str(out)]) == 0
    assert "0 missing, 0 changed, 0 extra" in capsys.readouterr().out
    next((out / "maps").rglob("*.png")).unlink()
    assert main(["build", "verify", str(out)]) == 1
    assert capsys.readouterr().out.startswith("missing: maps/")
    assert main(["build", "inpainting", config, "seed=1"]) == 2
    assert "was built with seed=0, and now it is 1; set it back" in capsys.readouterr().err
    assert main(["build", "inpainting", config, "inpainter.soften=3"]) == 2
    assert "was built with inpainter=" in capsys.readouterr().err
    assert main(["build", "inpainting", config, "inpainter.name=patch"]) == 2
    assert "no inpainter 'patch'; did you mean 'patch_donor'" in capsys.readouterr().err


def test_real_photos(test_data: Callable[[str], Path], tmp_path: Path) -> None:
    test_data("coco_mini")
    config = Path(__file__).parents[3] / "data_tools" / "builders" / "configs" / "inpainting_mini.yaml"
    out = tmp_path / "mini"
    assert build(str(config), [f"out={out}", "instances_per_image=1"], quiet_call(limit=8)) == 0
    table = read_pairs(out / "pairs.csv").frame
    assert len(table) >= 15 and set(table["level"]) == {"same_class", "same_supercategory", "other_supercategory"}
    assert table["licence_url"].str.startswith("http").all() and (table["changed_outside"] == 0).all()
    assert len(latest_entries(out / "journals")) >= 8 + len(table)
