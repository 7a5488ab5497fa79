"""Regions and captions of scenes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from data_tools.synthetic import SceneSetConfig, render, sample_scene, write_pair_set, write_region_set
from data_tools.synthetic.regions import region_captions
from semfid.io.images import pixel_hash, read_image
from semfid.io.pair_table import read_pairs

CONFIG = SceneSetConfig(scenes=3, candidates_per_scene=3, size=64, seed=2)


def captions(out: Path) -> dict[tuple[str, int], str]:
    lines = [json.loads(line) for line in (out / "regions/captions.jsonl").read_text().splitlines()]
    return {(line["image"], line["segment"]): line["caption"] for line in lines}


def test_every_picture_has_its_regions(tmp_path: Path) -> None:
    table = read_pairs(write_region_set(tmp_path, CONFIG))
    said = captions(tmp_path)
    for path in {*table.paths("reference"), *table.paths("candidate")}:
        name = pixel_hash(read_image(path))
        stored = Image.open(tmp_path / f"regions/{name}.png")
        ids = np.asarray(stored)
        assert stored.mode == "I;16" and ids.shape == (64, 64) and ids.min() == 1
        present = [int(one) for one in np.unique(ids)]
        info = json.loads((tmp_path / f"regions/{name}.json").read_text())
        assert [(one["id"], one["area"]) for one in info["regions"]] == [(k, int((ids == k).sum())) for k in present]
        assert {segment for image, segment in said if image == name} == {0, *present}
    for _, row in table.frame.iterrows():
        for side in ("reference", "candidate"):
            assert said[pixel_hash(read_image(tmp_path / row[side])), 0] == row[f"{side}_caption"]


def test_ids_and_captions_of_a_reference(tmp_path: Path) -> None:
    write_region_set(tmp_path, CONFIG)
    spec = sample_scene(2, 1)
    drawn = render(spec, 64)
    name = pixel_hash(Image.fromarray(drawn.image))
    assert np.array_equal(np.asarray(Image.open(tmp_path / f"regions/{name}.png")), drawn.ids.astype(int) + 1)
    words = region_captions(spec)
    assert len(words) == 1 + len(spec.objects) and words[0].startswith("the background, ")
    assert all(text.endswith(one.category) for text, one in zip(words[1:], spec.objects, strict=True))
    assert captions(tmp_path)[name, 2] == words[1]


def test_the_pair_set_is_the_same(tmp_path: Path) -> None:
    table = write_region_set(tmp_path / "a", CONFIG)
    plain = write_pair_set(tmp_path / "b", CONFIG)
    assert table.read_bytes() == plain.read_bytes()
    for path in (tmp_path / "b").rglob("*"):
        if path.is_file():
            assert (tmp_path / "a" / path.relative_to(tmp_path / "b")).read_bytes() == path.read_bytes()


def test_what_is_missing_is_written(tmp_path: Path) -> None:
    write_region_set(tmp_path, CONFIG)
    whole = {path: path.read_bytes() for path in (tmp_path / "regions").iterdir()}
    (tmp_path / "regions/captions.jsonl").unlink()
    next((tmp_path / "regions").glob("*.png")).unlink()
    write_region_set(tmp_path, CONFIG)
    assert {path: path.read_bytes() for path in (tmp_path / "regions").iterdir()} == whole
    write_region_set(tmp_path, CONFIG)
