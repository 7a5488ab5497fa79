"""True regions and true names: panoptic files and their categories through the whole pipeline, against a loop over pixels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data_tools.region_maps.pipeline import MapSettings, MapTools, label_maps
from models.captioners import build_captioner
from models.segmenters import build_segmenter
from models.text_encoders import build_text_encoder
from semfid.io.pair_table import read_pairs
from semfid.progress import silent

SIDE = 8
NAMES = {1: "cat", 2: "sky-other-merged", 3: "dining-table"}


def write(root: Path) -> Path:
    """Photos a and b of one size, with two rows of segments each; a third one whose map holds an id too many."""
    layouts = {"a": [1, 2], "b": [1, 3], "c": [1, 9]}
    for folder in ("photos", "maps"):
        (root / folder).mkdir(parents=True)
    content: dict[str, list[dict[str, object]]] = {"images": [], "annotations": [], "categories": []}
    content["categories"] = [{"id": number, "name": name} for number, name in NAMES.items()]
    for number, (name, kinds) in enumerate(layouts.items()):
        pixels = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "photos" / f"{name}.png")
        ids = np.repeat(np.repeat([kinds], SIDE // 2, axis=1), SIDE, axis=0)
        ids[0] = 0  # void
        Image.fromarray(np.stack([ids, ids * 0, ids * 0], axis=-1).astype(np.uint8)).save(root / "maps" / f"{name}.png")
        content["images"].append({"id": number, "file_name": f"{name}.png", "width": SIDE, "height": SIDE})
        segments = [{"id": kind, "category_id": kind} for kind in kinds if kind in NAMES]
        content["annotations"].append({"image_id": number, "file_name": f"{name}.png", "segments_info": segments})
    (root / "truth.json").write_text(json.dumps(content))
    rows = [("same", "a", "a"), ("other", "a", "b"), ("stray", "a", "c")]
    table = pd.DataFrame(
        {
            "pair_id": [row[0] for row in rows],
            "source_id": [row[1] for row in rows],
            "reference": [f"photos/{row[1]}.png" for row in rows],
            "candidate": [f"photos/{row[2]}.png" for row in rows],
        }
    )
    table.to_csv(root / "pairs.csv", index=False)
    return root / "pairs.csv"


def test_maps_of_true_regions_and_names(tmp_path: Path) -> None:
    pairs = read_pairs(write(tmp_path))
    words = {
        "annotations": str(tmp_path / "truth.json"),
        "images": str(tmp_path / "photos"),
        "maps": str(tmp_path / "maps"),
    }
    encoder = build_text_encoder("hashed_words", {})
    tools = MapTools(build_segmenter("panoptic_files", words), build_captioner("category_names", {}), encoder)
    faults = label_maps(pairs, tmp_path / "out.csv", tmp_path / "work", tools, MapSettings(min_area=0.0), silent)
    assert list(faults) == ["stray"] and "holds 1 ids that" in faults["stray"] and "(9;" in faults["stray"]
    made = pd.read_csv(tmp_path / "out.csv").set_index("pair_id")
    same, other = (np.load(tmp_path / made.loc[one, "map"]).astype(float) for one in ("same", "other"))
    said = {1: "cat", 2: "sky", 3: "dining table"}
    vectors = dict(zip(said, encoder.embed(list(said.values())), strict=True))
    for row in range(SIDE):
        for column in range(SIDE):
            left, right = (1, 1) if column < SIDE // 2 else (2, 3)
            if row == 0:
                assert np.isnan(same[row, column]) and np.isnan(other[row, column])
            else:
                assert same[row, column] == 0
                assert other[row, column] == pytest.approx(1 - float(vectors[left] @ vectors[right]), abs=2e-3)
    assert made.loc["other", "map_unknown"] == pytest.approx(1 / SIDE) and made.loc["other", "reference_captions"] == 2
