"""train_test: one set of pairs trains, another is tested, and no photo stands on both sides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from datamodules import PairDataModule
from registry import DATAMODULES
from semfid.errors import UserError
from semfid.io.images import load_pixels

Photo = Callable[..., Path]
Make = Callable[..., Path]


@pytest.fixture
def table(tmp_path: Path, write_photo: Photo) -> Make:
    """A pair table of two candidates a photo, in a folder of its own; equal numbers of photos are equal files."""

    def make(folder: str, photos: list[int], name: str = "s{}", **columns: Any) -> Path:
        rows = []
        for photo in photos:
            for number in range(2):
                write_photo(tmp_path / folder / "hq" / f"{photo}.png", photo)
                write_photo(tmp_path / folder / "sr" / f"{photo}_{number}.png", 100 + 2 * photo + number)
                row = {"pair_id": f"p{photo}_{number}", "source_id": name.format(photo), "origin": f"m{number}"}
                row |= {"reference": f"hq/{photo}.png", "candidate": f"sr/{photo}_{number}.png"}
                rows.append(row)
        frame = pd.DataFrame(rows)
        for column, value in columns.items():
            frame[column] = value(frame) if callable(value) else value
        frame.to_csv(tmp_path / folder / "pairs.csv", index=False)
        return tmp_path / folder / "pairs.csv"

    return make


def labels(frame: pd.DataFrame) -> list[float]:
    return [0.01 * row for row in range(len(frame))]


def study(table: Make, photos: list[int], folder: str = "study") -> Path:
    return table(folder, photos, yes_votes=lambda f: [row % 5 for row in range(len(f))], votes=4)


def build(labelled: Path, answers: Path, **keywords: Any) -> PairDataModule:
    own: dict[str, Any] = {
        "train": {"name": "pairs", "table": str(labelled), "columns": {"difference": "c2c"}},
        "test": {"name": "user_study", "answers": str(answers)},
        "split": {"val": 0.3},
        "image_size": 16,
        "batch_size": 3,
        **keywords,
    }
    made = DATAMODULES.build("train_test", **own)
    assert isinstance(made, PairDataModule)
    return made


def test_one_trains_and_the_other_is_tested(table: Make, tmp_path: Path) -> None:
    train, test = table("sr", [0, 1, 2, 3, 4, 5], c2c=labels), study(table, [10, 11, 12])
    data = build(train, test)
    (part,) = data.parts
    frame = data.table.frame
    assert len(frame) == 12 + 6
    assert frame["pair_id"].iloc[part.test].tolist() == pd.read_csv(test)["pair_id"].tolist()
    sides = {side: set(frame["source_id"].iloc[getattr(part, side)]) for side in ("train", "val", "test")}
    assert len(sides["val"]) == 2 and len(sides["train"]) == 4 and sides["test"] == {"s10", "s11", "s12"}
    assert not sides["train"] & sides["val"]
    expected = pd.concat([pd.read_csv(train)["c2c"], pd.read_csv(test)["yes_votes"] / 4], ignore_index=True)
    np.testing.assert_allclose(frame["difference"], expected)
    assert frame["votes"].iloc[part.test].tolist() == [4] * 6 and frame["votes"].iloc[part.train].isna().all()
    # the pixels of each pair are its own
    data.select(part, 0)
    for batch in (*data.train_dataloader(), *data.test_dataloader()):
        for row, image in zip(batch.row.tolist(), batch.candidate, strict=True):
            path = {0: train, 1: test}[int(row >= 12)].parent / pd.read_csv((train, test)[int(row >= 12)])["candidate"][
                row % 12
            ]
            assert torch.equal(image, torch.from_numpy(load_pixels(path, 16, "squash")))
    assert build(train, test).content_digest() == data.content_digest()


def test_labels_and_images_of_both_sides_count_in_the_hash(table: Make, write_photo: Photo) -> None:
    train, test = table("sr", [0, 1, 2], c2c=labels), study(table, [10, 11])
    before = build(train, test).content_digest()
    for place in (train.parent / "sr" / "0_0.png", test.parent / "hq" / "10.png"):
        write_photo(place, 999 if place.parent.parent == train.parent else 998)
        after = build(train, test).content_digest()
        assert after != before
        before = after
    frame = pd.read_csv(train)
    frame.assign(note="of no meaning").to_csv(train, index=False)
    assert build(train, test).content_digest() == before, "columns that nobody reads"
    frame.assign(c2c=frame["c2c"] / 2).to_csv(train, index=False)
    assert build(train, test).content_digest() != before


@pytest.mark.parametrize("name", ["s{}", "another name of {}"])
def test_photos_on_both_sides(table: Make, name: str) -> None:
    """By their name, and by their content under another name."""
    train, test = table("sr", [0, 1, 2, 3, 4], name, c2c=labels), study(table, [3, 4, 10])
    with pytest.raises(
        UserError, match=r"photo '.*3' of .* is tested in .* \(2 such photos\); set data.on_overlap: drop"
    ):
        build(train, test).prepare()
    data = build(train, test, on_overlap="drop")
    assert len(data.table) == 6 + 6 and len(data.parts[0].test) == 6
    assert data.notes == ["train: 4 pairs of 2 photos left out, for they are tested"]
    assert "left out, for they are tested" in data.describe()
    with pytest.raises(UserError, match=r"no pair of .* is left to train on: train: 2 pairs of 1 photos left out"):
        build(table("few", [3], c2c=labels), test, on_overlap="drop").prepare()


def test_equal_names_of_other_pairs(table: Make) -> None:
    """Pairs, not photos: a study names its pairs as the set does."""
    train, test = table("sr", [0, 1, 2], c2c=labels), study(table, [10, 11])
    frame = pd.read_csv(train)
    frame["pair_id"] = ["p10_0", *frame["pair_id"][1:]]
    frame.to_csv(train, index=False)
    names = build(train, test).table.frame["pair_id"].tolist()
    assert names[0] == "train:p10_0" and names.count("p10_0") == 1


def test_a_split_of_its_own(table: Make) -> None:
    """Pairs that a builder kept for a test do not train, unless they are asked to."""
    sides = ["train", "train", "val", "test", "test"]
    train = table("sr", [0, 1, 2, 3, 4], c2c=labels, split=[side for side in sides for _ in range(2)])
    test = study(table, [10, 11])
    data = build(train, test)
    part = data.parts[0]
    assert (len(part.train), len(part.val), len(part.test)) == (4, 2, 4)
    assert data.notes == ["train: 4 pairs left out for their split, test (data.own_split)"]
    data = build(train, test, own_split=False, split={"val": 0.2})
    part = data.parts[0]
    assert (len(part.train), len(part.val), len(part.test)) == (8, 2, 4) and not data.notes
    # a photo of the study among those that do not train anyhow is no leak
    assert len(build(train, study(table, [4, 11], "other")).parts[0].train) == 4


def test_pairs_that_could_not_be_labelled(table: Make) -> None:
    """They do not train, and are counted; a tested pair without a label is a mistake."""
    gaps = lambda f: [None if row in (0, 3) else 0.01 * row for row in range(len(f))]  # noqa: E731
    data = build(table("sr", [0, 1, 2], c2c=gaps), study(table, [10, 11]))
    assert len(data.table) == 4 + 4 and data.notes == ["train: 2 pairs left out, for they have no label"]
    tested = {"name": "pairs", "table": str(table("sr_test", [10, 11], difference=gaps))}
    with pytest.raises(UserError, match=r"pair 'p10_0' has no difference \(2 pairs\); label or drop it"):
        build(table("sr", [0, 1, 2], c2c=labels), Path(), test=tested).prepare()


def test_maps_are_read_as_their_datamodule_reads_them(table: Make) -> None:
    """A threshold of one side is none of the other's."""
    tables = []
    for folder, photos in (("sr", [0, 1, 2]), ("sr_test", [10, 11])):
        path = table(folder, photos, difference=labels, map=lambda f: [f"{row}.npy" for row in range(len(f))])
        for row in range(2 * len(photos)):
            np.save(path.parent / f"{row}.npy", np.full((20, 24), 0.3, np.float16))
        tables.append(str(path))
    data = build(
        Path(),
        Path(),
        train={"name": "sr_outputs", "table": tables[0], "threshold": 0.9},
        test={"name": "sr_outputs", "table": tables[1]},
    )
    part = data.parts[0]
    data.select(part, 0, maps=True)
    (trained, *_), (tested, *_) = data.train_dataloader(), data.test_dataloader()
    assert trained.map is not None and (trained.map == 1).all()
    assert tested.map is not None and ((tested.map.float() - 0.3).abs() < 1e-2).all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train": {"name": "pairs", "table": "x.csv", "image_size": 64}}, r"data.train.image_size has no effect"),
        ({"test": {"name": "pairs", "table": "x.csv", "split": {"val": 0}}}, r"data.test.split has no effect"),
        ({"train": {"name": "pears", "table": "x.csv"}}, r"data.train: no datamodule 'pears'; did you mean 'pairs'"),
        ({"train": {"name": "image_folder", "path": "x"}}, r"data.train: datamodule 'image_folder' gives no pairs"),
        ({"train": {"table": "x.csv"}}, r"data.train must be a name or a mapping with a name"),
        ({"split": {"folds": 5}}, r"data.split.folds has no meaning in train_test"),
        ({"weights": "votes"}, r"weights: votes, but pair 'p0_0' of .* has none \(6 pairs\)"),
        ({"train": {"name": "pairs", "table": "{sr}"}}, r"data.train: .* has no column difference"),
    ],
)
def test_mistakes(table: Make, changes: dict[str, Any], said: str) -> None:
    train, test = table("sr", [0, 1, 2], c2c=labels), study(table, [10, 11])
    filled = {
        key: {k: str(train) if v == "{sr}" else v for k, v in value.items()} if isinstance(value, dict) else value
        for key, value in changes.items()
    }
    with pytest.raises(UserError, match=said):
        build(train, test, **filled).prepare()


def test_constant_labels_of_a_side(table: Make) -> None:
    train, test = table("sr", [0, 1], c2c=0.5), study(table, [10, 11])
    with pytest.raises(UserError, match=r"data.train: every difference of .* is 0.5; constant labels"):
        build(train, test).prepare()
