"""joined: several sets of pairs under one split, and no photo on two sides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from datamodules import PairDataModule
from registry import DATAMODULES
from semfid.errors import UserError
from semfid.io.images import load_pixels

Photo = Callable[..., Path]


@pytest.fixture
def sets(tmp_path: Path, write_photo: Photo) -> dict[str, dict[str, Any]]:
    """Graded pairs of photos 0 to 5 with votes; edits of photos 4 to 9 with maps."""
    graded, edits = [], []
    for photo in range(10):
        write_photo(tmp_path / "hq" / f"{photo}.png", photo)
        row = {"pair_id": f"p{photo}", "source_id": f"s{photo}", "reference": f"../hq/{photo}.png"}
        if photo < 6:
            write_photo(tmp_path / "graded" / f"{photo}.png", 100 + photo)
            graded.append({**row, "candidate": f"{photo}.png", "grade": photo / 2, "yes_votes": photo % 3, "votes": 2})
        if photo >= 4:
            size = Image.open(write_photo(tmp_path / "edits" / f"{photo}.png", 200 + photo)).size
            Image.new("L", size, 255 * (photo % 2)).save(tmp_path / "edits" / f"map{photo}.png")
            edits.append(
                {**row, "candidate": f"{photo}.png", "difference": photo % 2, "map": f"map{photo}.png", "origin": "e"}
            )
    pd.DataFrame(graded).to_csv(tmp_path / "graded" / "t.csv", index=False)
    pd.DataFrame(edits).to_csv(tmp_path / "edits" / "t.csv", index=False)
    columns = {"difference": "grade"}
    return {
        "graded": {"name": "pairs", "table": str(tmp_path / "graded" / "t.csv"), "columns": columns, "scale": 4},
        "edits": {"name": "pairs", "table": str(tmp_path / "edits" / "t.csv")},
    }


def build(sets: Any, **keywords: Any) -> PairDataModule:
    made = DATAMODULES.build("joined", sets=sets, **{"split": {"folds": 3, "val": 0}, "image_size": 16, **keywords})
    assert isinstance(made, PairDataModule)
    return made


def test_pairs_stand_side_by_side_and_a_photo_on_one_side(sets: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    data = build(sets)
    frame = data.table.frame
    assert frame["pair_id"].tolist() == [f"graded:p{n}" for n in range(6)] + [f"edits:p{n}" for n in range(4, 10)]
    np.testing.assert_allclose(frame["difference"], [n / 8 for n in range(6)] + [0, 1, 0, 1, 0, 1])
    assert frame["origin"].tolist() == ["graded"] * 6 + ["edits: e"] * 6
    assert "votes" not in frame.columns, "edits have none"
    for part in data.parts:
        train, test = (set(frame["source_id"].iloc[rows]) for rows in (part.train, part.test))
        assert train and test and not train & test
    row = frame.index[frame["pair_id"] == "edits:p5"].item()
    np.testing.assert_array_equal(
        data.dataset.image(data.dataset.candidate[row]), load_pixels(tmp_path / "edits" / "5.png", 16, "squash")
    )
    data.select(data.parts[0], 0, maps=True)
    for batch in data.test_dataloader():
        for number, own in zip(batch.row.tolist(), batch.map, strict=True):
            if frame["origin"][number] == "edits: e":
                assert bool((own == frame["difference"][number]).all())
            else:
                assert bool(own.isnan().all()), "nobody said where"


@pytest.mark.parametrize(
    ("change", "keywords", "says"),
    [
        ({}, {"weights": "votes"}, "weights: votes needs the column votes, which graded and edits lacks"),
        (
            {"edits": {"name": "pairs", "table": "x.csv", "image_size": 8}},
            {},
            "data.sets.edits.image_size has no effect",
        ),
        ({"edits": {"name": "image_folder", "path": "x"}}, {}, "'image_folder' gives no pairs"),
        ({"edits": {"name": "joined", "sets": {}}}, {}, "joined cannot stand inside itself"),
        ({"edits": {"name": "pairs", "tabel": "x.csv"}}, {}, "tabel"),
    ],
)
def test_what_cannot_be(
    sets: dict[str, dict[str, Any]], change: dict[str, Any], keywords: dict[str, Any], says: str
) -> None:
    with pytest.raises(UserError, match=says):
        build({**sets, **change}, **keywords).prepare()


def test_a_set_without_labels_is_named(sets: dict[str, dict[str, Any]]) -> None:
    del sets["graded"]["columns"], sets["graded"]["scale"]
    table = pd.read_csv(sets["graded"]["table"])
    table.drop(columns=["yes_votes", "votes"]).to_csv(sets["graded"]["table"], index=False)
    with pytest.raises(UserError, match=r"data\.sets\.graded: .* has no column difference; name its label in columns"):
        build(sets).prepare()


def test_no_set() -> None:
    with pytest.raises(UserError, match=r"data\.sets must name at least one set"):
        build({})
