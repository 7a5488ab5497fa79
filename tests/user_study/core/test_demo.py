"""The pairs that a study starts with."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data_tools.synthetic import render, sample_scene
from semfid.io.pair_table import read_pairs
from user_study.demo import TABLE

FRAME = read_pairs(TABLE).frame


def _pixels(name: str) -> np.ndarray:
    with Image.open(TABLE.parent / name) as image:
        assert image.format == "WEBP" and image.mode == "RGB"
        return np.asarray(image)


def test_it_is_small_and_has_everything_that_a_study_needs() -> None:
    size = sum(file.stat().st_size for file in TABLE.parent.rglob("*") if file.suffix in (".webp", ".csv"))
    assert size < 6_000_000
    kinds = FRAME["kind"].value_counts()
    assert kinds["main"] == 40 and kinds["trap"] >= 8 and kinds["training"] == 6 and kinds["example"] == 6
    main = FRAME[FRAME["kind"] == "main"]
    assert main["source_id"].nunique() == 20 and main["origin"].nunique() == 4
    assert main["true_rate"].between(0.02, 0.98).all() and main["true_rate"].std() > 0.2
    known = FRAME[FRAME["kind"] != "main"]
    assert (
        known.groupby("kind")["truth"].value_counts().unstack().apply(lambda row: row["yes"] == row["no"], axis=1).all()
    )
    assert (known[known["truth"] == "yes"]["true_rate"] > 0.8).all() and (
        known[known["truth"] == "no"]["true_rate"] < 0.1
    ).all()
    told = FRAME["kind"].isin(["training", "example"])
    assert FRAME[told]["explanation"].str.match(r"(Yes|No): ").all() and (FRAME[~told]["explanation"] == "").all()
    assert not set(main["source_id"]) & set(known["source_id"])


def test_files_do_not_say_which_is_which() -> None:
    for row in FRAME.to_dict("records"):
        reference, candidate = _pixels(row["reference"]), _pixels(row["candidate"])
        assert reference.shape == candidate.shape == (256, 256, 3)
        assert (reference != candidate).any(), row["pair_id"]
    for file in (TABLE.parent / "images").iterdir():
        assert not any(word in file.read_bytes() for word in (b"EXIF", b"ICCP", b"XMP "))


def test_pictures_are_what_the_scenes_render() -> None:
    np.testing.assert_array_equal(_pixels("images/0003.webp"), render(sample_scene(4242, 3), 256).image)


@pytest.mark.parametrize("polarity", ["yes", "no"])
def test_traps_are_plain(polarity: str) -> None:
    """A substitution is far larger than a cut of a pixel or two, once that is taken back."""
    rows = FRAME[(FRAME["kind"] == "trap") & (FRAME["truth"] == polarity)]
    apart = []
    for row in rows.to_dict("records"):
        reference, candidate = (_pixels(row[side]).astype(float) for side in ("reference", "candidate"))
        places = [reference[dy : 254 + dy, dx : 254 + dx] for dy in range(3) for dx in range(3)]
        apart.append(min(np.abs(place - candidate[:254, :254]).mean() for place in places))
    assert max(apart) < 3.0 if polarity == "no" else min(apart) > 4.0, apart


def test_the_table_is_a_table_for_everybody() -> None:
    text = TABLE.read_text()
    assert pd.read_csv(io.StringIO(text))["pair_id"].is_unique and "/work" not in text
