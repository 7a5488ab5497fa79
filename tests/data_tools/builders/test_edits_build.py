"""`semfid build edits` on drawn COCO sets and on real photos."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from edits_support import built, files_of, picture, write_edits, write_textured
from PIL import Image
from tiny_coco import CATEGORIES, quiet_call, save, write_coco

from data_tools.builders.core.work_items import Unit
from data_tools.builders.edits.build import build
from data_tools.builders.edits.kinds import KINDS as ALL
from data_tools.builders.edits.making import Maker
from semfid.cli import main
from semfid.errors import UserError
from semfid.io.images import read_image
from semfid.io.pair_table import read_pairs
from semfid.io.sharding import Shard

SUPER = dict(CATEGORIES)


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("coco")
    write_textured(root)
    return root


@pytest.fixture(scope="module")
def whole(coco: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished set."""
    out = tmp_path_factory.mktemp("whole") / "out"
    built(coco, out)
    return out


def test_every_pair_is_what_its_row_says(coco: Path, whole: Path) -> None:
    table = read_pairs(whole / "pairs.csv").frame
    annotations = {str(one["id"]): one for one in json.loads((coco / "instances.json").read_text())["annotations"]}
    assert set(table["kind"]) >= set(ALL) - {"text", "part_hard", "same_class_hard", "refilled"}
    for row in table.to_dict("records"):
        reference, candidate = picture(whole / row["reference"]), picture(whole / row["candidate"])
        changed = picture(whole / row["map"])[..., 0]
        kind = ALL[row["kind"]]
        assert reference.shape == candidate.shape == (75, 100, 3) and set(np.unique(changed)) <= {0, 255}
        assert row["difference"] == float(kind.changes) == float(changed.any()), row["pair_id"]
        assert row["area"] == pytest.approx((changed > 0).mean(), abs=1e-6)
        if not row["after"]:
            x0, y0, x1, y1 = (int(side) for side in row["box"].split()) if row["box"] else (0, 0, 0, 0)
            outside = np.ones((75, 100), bool)
            outside[y0:y1, x0:x1] = False
            assert (reference[outside] == candidate[outside]).all(), "to the bit"
            assert not changed[outside].any()
            apart = (reference != candidate).any(-1)
            assert apart.mean() <= row["touched"] + 1e-6
            if kind.changes:
                assert np.abs(reference - candidate)[changed > 0].mean() / 255 >= 0.04
        before, after = row["category_before"], row["category_after"]
        if row["kind"].startswith(("exchange", "same_class")):
            other = "same_supercategory" if SUPER[before] == SUPER[after] else "other_supercategory"
            assert row["level"] == ("same_class" if before == after else other)
            own, donor = annotations[row["annotation_id"]], annotations[row["donor_annotation_id"]]
            names = [name for name, _ in CATEGORIES]
            assert names[own["category_id"] - 1] == before and names[donor["category_id"] - 1] == after
            assert f"{own['image_id']:03}" == row["source_id"] != row["donor_source_id"] == f"{donor['image_id']:03}"
        else:
            assert row["level"] == "none"
        operation = f"_{row['operation']}" if row["kind"] in ("local", "global") else ""
        assert row["origin"] == row["kind"] + operation + ("+sr" if row["after"] else "")
        assert row["source"] == "tiny" and row["licence"] == "Attribution License"
    assert 0.3 < (table["after"] == "sr").mean() < 0.7
    assert all(json.loads(text)["degradation"] == "bsrgan" for text in table["degradation"][table["after"] == "sr"])
    unchanged = table[(table["kind"] == "unchanged") & (table["after"] == "")]
    for row in unchanged.to_dict("records"):
        assert (picture(whole / row["reference"]) == picture(whole / row["candidate"])).all()


def test_killed_sharded_and_whole_are_the_same_to_the_byte(
    coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = "{exchange: 1, insert: 1, remove: 1, local: 1, global: 1}"
    make, made = Maker.edits, []

    def dying(maker: Maker, batch: Sequence[Unit]) -> Any:
        if len(made) == 10:
            raise KeyboardInterrupt
        made.append(batch)
        return make(maker, batch)

    monkeypatch.setattr(Maker, "edits", dying)
    with pytest.raises(KeyboardInterrupt):
        built(coco, tmp_path / "killed", kinds=kinds)
    monkeypatch.undo()
    assert not (tmp_path / "killed" / "pairs.csv").exists()
    built(coco, tmp_path / "killed", kinds=kinds)
    for index in (2, 0, 1):
        built(coco, tmp_path / "shards", kinds=kinds, shard=Shard(index, 3))
    built(coco, tmp_path / "whole", kinds=kinds)
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole") == files_of(tmp_path / "shards")


def test_more_kinds_leave_what_was_made_as_it_is(coco: Path, whole: Path, tmp_path: Path) -> None:
    few = built(coco, tmp_path / "out", kinds="{moved: 1, local: 1}")
    more = built(coco, tmp_path / "out", kinds="{moved: 1, local: 2, unchanged: 1}")
    own, those = files_of(tmp_path / "out"), files_of(whole)
    made = [name for name in own if name.startswith(("candidates", "maps", "references"))]
    assert len(more) == 2 * len(few) == 24 and {name: own[name] for name in made}.items() <= those.items()
    table = read_pairs(whole / "pairs.csv").frame.set_index("pair_id")
    assert table.loc[more["pair_id"], "unit"].tolist() == more["unit"].tolist()


def test_fractions_of_a_kind_are_drawn_per_photo(coco: Path, tmp_path: Path) -> None:
    table = built(coco, tmp_path / "out", "after.sr.share=0", kinds="{unchanged: 1.5}")
    counts = Counter(table["source_id"])
    assert set(counts.values()) == {1, 2} and len(counts) == 6 and not table["origin"].str.endswith("+sr").any()


@pytest.mark.parametrize("section", ["filters", "donors"])
def test_a_category_that_no_object_has_is_refused(coco: Path, tmp_path: Path, section: str) -> None:
    with pytest.raises(UserError, match=rf"{section}\.categories: no category 'dogs'; did you mean 'dog'\?"):
        built(coco, tmp_path / "out", f"{section}.categories=[cat, dogs]")


def test_what_a_photo_does_not_allow_is_a_reject_and_no_error(coco: Path, tmp_path: Path) -> None:
    built(coco, tmp_path / "out", "donors.categories=[bus]", kinds="{same_class: 2, unchanged: 1}")
    rejects = pd.read_csv(tmp_path / "out" / "rejects.csv", dtype=str)
    assert rejects["reason"].str.startswith("no other photo has a").any() and set(rejects["kind"]) == {"same_class"}
    assert not set(rejects["pair_id"]) & set(read_pairs(tmp_path / "out" / "pairs.csv").frame["pair_id"])
    built(coco, tmp_path / "strict", "least_change=0.9", kinds="{insert: 1, unchanged: 1}")
    rejects = pd.read_csv(tmp_path / "strict" / "rejects.csv", dtype=str)
    assert len(rejects) == 6 and rejects["reason"].str.match(r"the change is 0\.\d+, below least_change=0\.9").all()


def test_bad_photos_are_rows_and_the_others_are_built(tmp_path: Path) -> None:
    root = tmp_path / "coco"
    write_coco(root, photos=4)
    content = (root / "images" / "001.png").read_bytes()
    (root / "images" / "001.png").write_bytes(content[: len(content) // 2])
    (root / "images" / "002.png").unlink()
    failed = build(write_edits(root, tmp_path / "out", "{unchanged: 1, global: 1}"), [], quiet_call())
    errors = pd.read_csv(tmp_path / "out" / "errors.csv", dtype=str)
    assert failed == 2 and errors["sample"].tolist() == ["001", "002"]
    assert "corrupt" in errors["reason"][0] and "no image" in errors["reason"][1]
    assert set(read_pairs(tmp_path / "out" / "pairs.csv").frame["source_id"]) == {"003", "004"}
    (root / "images" / "001.png").write_bytes(content)
    assert build(write_edits(root, tmp_path / "out", "{unchanged: 1, global: 1}"), [], quiet_call()) == 1


def test_two_sources_share_no_name_but_for_the_same_photo(coco: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_coco(other, photos=2, seed=7)
    config = write_edits(coco, tmp_path / "out", "{unchanged: 1, exchange: 1}")
    second = f"photos.second={{images: {other}/images, instances: {other}/instances.json}}"
    with pytest.raises(
        UserError, match=r"photos.second: .*1.png and .*1.png are both called '001'; set photos.second.prefix"
    ):
        build(config, [second], quiet_call())
    assert build(config, [second, "photos.second.prefix=b-"], quiet_call()) == 0
    table = read_pairs(tmp_path / "out" / "pairs.csv").frame
    assert set(table["source_id"][table["source"] == "second"]) == {"b-001", "b-002"}
    shutil.copy(coco / "images" / "001.png", other / "images" / "001.png")
    shutil.copy(coco / "images" / "002.png", other / "images" / "002.png")
    lines: list[str] = []
    assert build(config, [second, f"out={tmp_path / 'twice'}"], quiet_call(lines)) == 0
    assert "left out: 2 photos of second: another source has them too" in lines
    assert set(read_pairs(tmp_path / "twice" / "pairs.csv").frame["source"]) == {"tiny"}


def test_a_square_of_a_smaller_size(coco: Path, tmp_path: Path) -> None:
    frame = ("fit={longest: 64, square: true}", "after.sr.share=0", "filters.area=[0.01, 0.9]")
    table = built(coco, tmp_path / "out", *frame, kinds="{exchange: 1, unchanged: 1}")
    for row in table.to_dict("records"):
        reference, changed = picture(tmp_path / "out" / row["reference"]), picture(tmp_path / "out" / row["map"])
        assert reference.shape == (64, 64, 3) == changed.shape and (row["width"], row["height"]) == (64, 64)
        source = picture(coco / "images" / f"{row['source_id']}.png")[:, 12:87]
        shares = np.zeros((64, 75))  # of each new pixel, how much each old one has of it
        for new in range(64):
            for old in range(75):
                shares[new, old] = max(0.0, min((new + 1) * 75 / 64, old + 1) - max(new * 75 / 64, old)) * 64 / 75
        expected = np.einsum("ab,bcx,dc->adx", shares, source, shares, optimize=True)
        assert np.abs(reference - expected).max() <= 1


def test_jpeg(coco: Path, tmp_path: Path) -> None:
    table = built(
        coco, tmp_path / "out", "format=jpg", "quality=80", "after.sr.share=0", kinds="{remove: 1, unchanged: 1}"
    )
    for row in table.to_dict("records"):
        with Image.open(tmp_path / "out" / row["candidate"]) as image:
            assert image.format == "JPEG" and row["candidate"].endswith(".jpg")
        if row["kind"] == "unchanged":
            assert (tmp_path / "out" / row["reference"]).read_bytes() == (
                tmp_path / "out" / row["candidate"]
            ).read_bytes()


def test_the_split_keeps_a_photo_on_one_side(coco: Path, tmp_path: Path) -> None:
    table = built(coco, tmp_path / "out", "split={val: 0.2, test: 0.2, seed: 1}", kinds="{unchanged: 2}")
    assert Counter(table.groupby("source_id")["split"].first()) == {"train": 4, "val": 1, "test": 1}


def test_settings_that_cannot_be_are_named(coco: Path, tmp_path: Path) -> None:
    config = write_edits(coco, tmp_path / "out")
    for override, message in {
        "kinds.exchang=1": r"kinds: no kind 'exchang'; did you mean 'exchange'",
        "kinds.exchange=-1": r"exchange=-1 must be 0 or more",
        "strength=[0.5, 0.1]": r"strength=\[0.5, 0.1\]: must be two numbers",
        "hard_area=[0, 0.1]": r"hard_area=\[0, 0.1\]: must be two numbers",
        "after.sr.share=1.2": r"after.sr.share=1.2 must be 1 or less",
        "after.more.share=0.7": r"1.2 is more than all pairs",
        "after.sr.upscaler.name=bicubik": r"bicubik",
        "after.sr.degradation.factor=2": r"after.sr.degradation.factor=2: models are for x4",
        "after.sr.shar=0.2": r"unknown key 'after.sr.shar'; did you mean 'share'",
        "photos.tiny.image=a": r"unknown key 'photos.tiny.image'; did you mean 'images'",
        "photos.tiny.images=nowhere": r"photos.tiny.images: no folder nowhere",
        "photos.more.images=a": r"photos.more.instances is missing",
        "format=gif": r"format='gif' should be one of 'png', 'jpg'",
        "quality=0": r"quality=0 must be 1 or more",
        "fit.longest=10": r"fit.longest=10 must be 64 or more",
        "filters.area=[0.5]": r"filters.area=\[0.5\]",
    }.items():
        with pytest.raises(UserError, match=message):
            build(config, [override], quiet_call())
    with pytest.raises(
        UserError, match=r"nothing is left to edit on 6 photos: 6 x exchange: the photo has no object for it"
    ):
        build(write_edits(coco, tmp_path / "none", "{exchange: 1}"), ["filters.short_side=500"], quiet_call())


def test_preview_makes_a_few_of_each_kind_and_a_sheet(coco: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    out, kinds = tmp_path / "out", "{exchange: 1, local: 1, unchanged: 1}"
    assert build(write_edits(coco, out, kinds), [], quiet_call(lines, preview=True)) == 0
    assert Counter(read_pairs(out / "pairs.csv").frame["kind"]) == {
        "exchange": 2,
        "local": 2,
        "unchanged": 2,
    }
    sheet = np.asarray(read_image(out / "preview.png"))
    assert sheet.shape[0] > 6 * 75 and sheet.std() > 20
    assert any("s and" in line and "12 left" in line for line in lines), lines
    built(coco, out, kinds=kinds)
    built(coco, tmp_path / "other", kinds=kinds)
    assert files_of(out) == files_of(tmp_path / "other")


def test_the_command(coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    config = write_edits(coco, out, "{exchange: 1, unchanged: 1}")
    assert main(["build", "edits", config, "after.sr.share=0"]) == 0
    captured = capsys.readouterr()
    assert captured.err.endswith("12 pairs (exchange 6, unchanged 6); 0 rejected; 0 errors\n")
    assert main(["build", "verify", str(out)]) == 0
    assert "0 missing, 0 changed, 0 extra" in capsys.readouterr().out
    next((out / "maps").rglob("*.png")).unlink()
    assert main(["build", "verify", str(out)]) == 1
    assert main(["build", "edits", config, "after.sr.share=0"]) == 0 and main(["build", "verify", str(out)]) == 0
    assert main(["build", "edits", config, "after.sr.share=0", "seed=1"]) == 2
    assert "was built with seed=0, and now it is 1" in capsys.readouterr().err


def test_the_table_feeds_the_datamodule(whole: Path) -> None:
    from registry import DATAMODULES

    split = {"folds": 2}
    data = DATAMODULES.build("pairs", table=str(whole / "pairs.csv"), image_size=32, batch_size=4, split=split)
    table = data.load_table()
    assert set(table.frame["difference"]) == {0.0, 1.0} and len(table) > 60
    data.prepare_data()
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch.reference.shape == (4, 3, 32, 32)


def test_ids_that_are_taken_and_damaged_annotations_cost_no_run(tmp_path: Path) -> None:
    root = tmp_path / "coco"
    content = write_coco(root, photos=4)
    for one in content["annotations"]:
        one["id"] = 1  # numbered anew in each file that was joined
    content["annotations"][0]["segmentation"] = [[1e9, 0, 5, 5, 9, 1]]
    del content["annotations"][1]["bbox"]
    save(root, content)
    lines: list[str] = []
    config = write_edits(root, tmp_path / "out", "{exchange: 2, local: 1}")
    assert build(config, ["after.sr.share=0"], quiet_call(lines)) == 0
    assert "left out: 1 annotations of tiny: it has no mask that fits its photo" in lines
    assert (
        "left out: 1 annotations of tiny: it lacks a key of COCO's, or has a value of another type or without sense"
        in lines
    )
    table = read_pairs(tmp_path / "out" / "pairs.csv").frame
    exchanged = table[(table["kind"] == "exchange") & (table["source_id"] != "001")]
    places = Counter(zip(exchanged["source_id"], exchanged["box"], strict=True))
    assert set(exchanged["annotation_id"].astype(str)) == {"1"}
    assert max(places.values()) == 1, "objects are told apart all the same"


def test_real_photos(test_data: Callable[[str], Path], tmp_path: Path) -> None:
    test_data("coco_mini")
    config = Path(__file__).parents[3] / "data_tools" / "builders" / "configs" / "edits_mini.yaml"
    out = tmp_path / "mini"
    assert build(str(config), [f"out={out}", "ocr=null", "fit.longest=256"], quiet_call(limit=4)) == 0
    table = read_pairs(out / "pairs.csv").frame
    assert len(table) >= 25 and set(table["difference"]) == {0.0, 1.0}
    assert table["source_id"].str.fullmatch(r"\d{12}").all() and table["licence_url"].str.startswith("http").all()
