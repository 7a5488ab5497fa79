"""The pipeline: what it writes, what it does not do twice, and what it says of bad input."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data_tools.region_maps import map_builder as mapping
from data_tools.region_maps.pipeline import MapSettings, MapTools, label_maps
from models.captioners import Captioner
from models.captioners.stored import read_captions
from models.segmenters import Segmentation
from models.segmenters.contract import Segmenter
from models.segmenters.region_store import read_ids
from models.text_encoders import TextEncoder, build_text_encoder
from semfid.errors import UserError
from semfid.io.images import pixel_hash, read_image
from semfid.io.locks import lock
from semfid.io.pair_table import read_pairs
from semfid.progress import silent

NAMES = {(255, 0, 0): "a red car", (0, 255, 0): "a green tree", (0, 0, 255): "the blue sea", (255, 255, 0): ""}
VOID = (0, 0, 0)


class Colours(Segmenter):
    """Each colour is a segment, black is void."""

    identity, batch_size = "colours", 2

    def __init__(self, fail_at: int = -1) -> None:
        self.seen, self.fail_at = 0, fail_at

    def _segment(self, images: Sequence[Image.Image]) -> list[Segmentation]:
        if 0 <= self.fail_at <= self.seen:
            raise KeyboardInterrupt
        self.seen += len(images)
        found = []
        for image in images:
            pixels = np.asarray(image).astype(np.int32)
            ids = pixels[..., 0] // 255 + pixels[..., 1] // 255 * 2 + pixels[..., 2] // 255 * 4
            found.append(Segmentation(ids.astype(np.int32), {1: "red"}, {1: 0.75}))
        return found


class Names(Captioner):
    """Says the colour inside the outline."""

    identity, batch_size = "names", 2

    def __init__(self, fail_at: int = -1) -> None:
        self.seen, self.fail_at = 0, fail_at
        self.prompts: set[str] = set()

    def caption_regions(self, regions: Any, prompt: str, contour: Any = 3) -> list[str]:
        if 0 <= self.fail_at <= self.seen:
            raise KeyboardInterrupt
        self.seen += len(regions)
        self.prompts.add(prompt)
        return [NAMES[tuple(np.asarray(one.image)[one.ids == one.segment][0].tolist())] for one in regions]


class Embedder(TextEncoder):
    identity, dim = "embedder", 512

    def __init__(self, fail_at: int = -1) -> None:
        self.inner, self.seen, self.fail_at = build_text_encoder("hashed_words", {}), 0, fail_at

    def embed(self, texts: Sequence[str]) -> Any:
        if 0 <= self.fail_at <= self.seen:
            raise KeyboardInterrupt
        self.seen += len(texts)
        return self.inner.embed(texts)


def paint(path: Path, *stripes: tuple[int, int, int], size: tuple[int, int] = (24, 20)) -> Path:
    """An image of upright stripes of equal width."""
    width, height = size
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    for number, colour in enumerate(stripes):
        pixels[:, number * width // len(stripes) : (number + 1) * width // len(stripes)] = colour
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


RED, GREEN, BLUE, YELLOW = list(NAMES)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Four pairs of five distinct pictures."""
    paint(tmp_path / "set/a.png", RED, GREEN)
    paint(tmp_path / "set/b.png", RED, BLUE)
    paint(tmp_path / "set/same.png", RED, GREEN)
    paint(tmp_path / "set/c.png", BLUE, GREEN, RED)
    paint(tmp_path / "set/d.png", RED, VOID, GREEN)
    paint(tmp_path / "set/e.png", BLUE, BLUE, YELLOW)
    rows = [("p0", "a", "b"), ("p1", "a", "same"), ("p2", "c", "d"), ("p/3", "b", "e")]
    pd.DataFrame(
        [
            {"pair_id": p, "source_id": x, "reference": f"{x}.png", "candidate": f"{y}.png", "difference": 0.25}
            for p, x, y in rows
        ]
    ).to_csv(tmp_path / "set/pairs.csv", index=False)
    return tmp_path / "set/pairs.csv"


def run(table: Path, out: Path, tools: MapTools | None = None, **settings: Any) -> dict[str, str]:
    tools = tools or MapTools(Colours(), Names(), Embedder())
    return label_maps(read_pairs(table), out, out.with_name("work"), tools, MapSettings(**settings), silent)


def tree(folder: Path) -> dict[str, str]:
    """Digest of every file; chunks of vectors have random names."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != ".lock":
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str((path.parent / digest if path.suffix == ".safetensors" else path).relative_to(folder))] = digest
    return found


def read(out: Path) -> pd.DataFrame:
    return pd.read_csv(out, keep_default_na=False).set_index("pair_id")


class TestWhatIsWritten:
    def test_maps_and_figures(self, table: Path) -> None:
        out = table.parent / "out.csv"
        tools = MapTools(Colours(), Names(), Embedder())
        assert run(table, out, tools) == {}
        rows = read(out)
        assert (rows["difference"] == 0.25).all() and (rows["map_error"] == "").all()
        sentences = [*NAMES.values()][:3]
        red, green, blue = Embedder().embed(sentences)
        values = np.load(table.parent / rows.loc["p0", "map"])
        assert values.dtype == np.float16 and values.shape == (20, 24)
        assert (values[:, :12] == 0).all(), "the same caption gives exactly nothing"
        np.testing.assert_allclose(values[:, 12:], np.clip(1 - green @ blue, 0, 1), atol=1e-3)
        values = np.load(table.parent / rows.loc["p2", "map"])
        assert np.isnan(values[:, 8:16]).all() and not np.isnan(values[:, :8]).any()
        np.testing.assert_allclose(values[:, 16:], np.clip(1 - red @ green, 0, 1), atol=1e-3)
        assert rows.loc["p2", "map_unknown"] == pytest.approx(1 / 3)
        known = values[~np.isnan(values)].astype(float)
        assert float(rows.loc["p2", "map_mean"]) == pytest.approx(known.mean(), abs=1e-3)
        assert rows.loc["p2", ["reference_captions", "candidate_captions"]].tolist() == [3, 2]
        read_pairs(out).paths("map")

    def test_identical_pictures(self, table: Path) -> None:
        run(table, table.parent / "out.csv")
        row = read(table.parent / "out.csv").loc["p1"]
        values = np.load(table.parent / row["map"])
        assert not values.view(np.uint16).any() and float(row["map_mean"]) == 0

    def test_an_empty_caption_is_unknown_and_named(self, table: Path) -> None:
        assert run(table, table.parent / "out.csv") == {}
        row = read(table.parent / "out.csv").loc["p/3"]
        values = np.load(table.parent / row["map"])
        assert np.isnan(values[:, 16:]).all() and not np.isnan(values[:, :16]).any()
        assert row["map_note"] == "candidate: empty caption of region 2" and row["candidate_captions"] == 1
        assert "/" not in Path(row["map"]).name

    def test_what_each_picture_costs(self, table: Path) -> None:
        tools = MapTools(Colours(), Names(), Embedder())
        run(table, table.parent / "out.csv", tools)
        assert tools.segmenter.seen == 5, "a.png and same.png show the same"
        assert tools.captioner.seen == 2 + 2 + 3 + 2 + 2
        assert tools.embedder.seen == 3, "each sentence once, blanks never"
        assert tools.captioner.prompts == {"Please describe the object outlined in magenta."}

    def test_storage(self, table: Path) -> None:
        run(table, table.parent / "out.csv")
        (regions,) = (table.parent / "work").glob("regions-*")
        name = pixel_hash(read_image(table.parent / "d.png"))
        stored = Image.open(regions / f"{name}.png")
        assert stored.mode == "I;16" and stored.size == (24, 20)
        assert np.unique(read_ids(regions / f"{name}.png")).tolist() == [0, 1, 2]
        info = json.loads((regions / f"{name}.json").read_text())
        assert info["regions"] == [
            {"id": 1, "area": 160, "raw": 1, "label": "red", "score": 0.75},
            {"id": 2, "area": 160, "raw": 2},
        ]
        assert (info["image"], info["width"], info["height"]) == (name, 24, 20)
        (captions,) = regions.glob("captions-*.jsonl")
        assert read_captions(captions)[name, 2] == "a green tree"
        assert json.loads(captions.with_suffix(".json").read_text())["captioner"] == "names"
        assert json.loads((regions / "settings.json").read_text())["segmenter"] == "colours"

    def test_eight_bits(self, table: Path) -> None:
        run(table, table.parent / "out.csv", map_format="png")
        rows = read(table.parent / "out.csv")
        picture = Image.open(table.parent / rows.loc["p2", "map"])
        run(table, table.parent / "other.csv")
        exact = np.load(table.parent / read(table.parent / "other.csv").loc["p2", "map"]).astype(float)
        assert picture.mode == "L"
        np.testing.assert_allclose(np.asarray(picture) / 255, np.nan_to_num(exact), atol=0.5 / 255 + 1e-3)

    def test_a_table_in_another_folder(self, table: Path, tmp_path: Path) -> None:
        frame = pd.read_csv(table).assign(map=["a.png", "", "a.png", "a.png"])
        frame.to_csv(table, index=False)
        out = tmp_path / "far/away/out.parquet"
        run(table, out)
        found = read_pairs(out)
        assert all(path.is_file() for column in ("reference", "candidate", "map") for path in found.paths(column))
        assert found.frame["map_before"].tolist()[:2] == ["../../set/a.png", ""]
        run(out, out.with_name("again.csv"))
        assert [name for name in read(out.with_name("again.csv")).columns if name.startswith("map")] == [
            "map_before", "map", "map_mean", "map_unknown", "map_note", "map_error"
        ]  # fmt: skip
        again = read_pairs(out.with_name("again.csv")).frame
        assert again["map_before"].tolist() == found.frame["map_before"].tolist(), "the first map, not the second"

    def test_small_regions_join(self, table: Path) -> None:
        run(table, table.parent / "out.csv", min_area=0.4)  # thirds are small
        assert read(table.parent / "out.csv").loc["p2", "reference_captions"] == 1


class TestNothingTwice:
    @pytest.mark.parametrize("where", ["segment", "caption", "embed", "map", "map figures", "table"])
    def test_killed_and_started_again(
        self, table: Path, tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("models.text_encoders.cache.CHUNK", 2)
        whole = tmp_path / "whole"
        run(table, whole / "out.csv")
        out = tmp_path / "cut" / "out.csv"
        first = MapTools(
            Colours(2 if where == "segment" else -1),
            Names(3 if where == "caption" else -1),
            Embedder(2 if where == "embed" else -1),
        )
        with monkeypatch.context() as patch:
            if where == "map":
                written: list[Path] = []

                def write(path: Path, *rest: Any, put: Any = mapping.write_map) -> None:
                    if len(written) == 2:
                        raise KeyboardInterrupt
                    written.append(path)
                    put(path, *rest)

                patch.setattr(mapping, "write_map", write)
            elif where == "map figures":  # the map is there, its line is not

                def note(self: Any, objects: Any, put: Any = mapping.JsonLines.append) -> None:
                    if self.path.name == "maps.jsonl" and self.read():
                        raise KeyboardInterrupt
                    put(self, objects)

                patch.setattr(mapping.JsonLines, "append", note)
            elif where == "table":
                patch.setattr(
                    "data_tools.region_maps.pipeline.write_pairs", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
                )
            with pytest.raises(KeyboardInterrupt):
                run(table, out, first)
        assert not out.exists()
        second = MapTools(Colours(), Names(), Embedder())
        assert run(table, out, second) == {}
        assert tree(whole) == tree(out.parent)
        assert first.segmenter.seen + second.segmenter.seen == 5
        assert first.captioner.seen + second.captioner.seen == 11
        assert first.embedder.seen + second.embedder.seen == 3

    def test_a_finished_run_does_nothing(self, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        out = table.parent / "out.csv"
        run(table, out)
        before = tree(table.parent)
        monkeypatch.setattr(mapping, "write_map", lambda *_: pytest.fail("a map was written twice"))
        monkeypatch.setattr("models.image_index.read_image", lambda *_: pytest.fail("an image was decoded again"))
        tools = MapTools(Colours(), Names(), Embedder())
        run(table, out, tools)
        assert tree(table.parent) == before
        assert (tools.segmenter.seen, tools.captioner.seen, tools.embedder.seen) == (0, 0, 0)

    def test_killed_while_a_line_was_written(self, table: Path, tmp_path: Path) -> None:
        run(table, tmp_path / "whole/out.csv")
        out = tmp_path / "cut/out.csv"
        run(table, out)
        (captions,) = out.parent.glob("work/regions-*/captions-*.jsonl")
        for path in (captions, out.parent / "work/maps.jsonl", *out.parent.glob("work/images-*.jsonl")):
            path.write_bytes(path.read_bytes()[:-9])
        out.unlink()
        tools = MapTools(Colours(), Names(), Embedder())
        run(table, out, tools)
        assert tree(tmp_path / "whole") == tree(out.parent)
        assert tools.captioner.seen <= tools.captioner.batch_size

    def test_more_rows(self, table: Path) -> None:
        out = table.parent / "out.csv"
        run(table, out)
        frame = pd.read_csv(table)
        paint(table.parent / "new.png", GREEN, BLUE)
        extra = frame.iloc[[0]].assign(pair_id="p9", candidate="new.png")
        pd.concat([frame, extra]).to_csv(table, index=False)
        tools = MapTools(Colours(), Names(), Embedder())
        run(table, out, tools)
        assert tools.segmenter.seen <= 2 and tools.captioner.seen == 2 and tools.embedder.seen == 0
        assert len(read(out)) == 5

    def test_other_settings_get_work_of_their_own(self, table: Path) -> None:
        out = table.parent / "out.csv"
        run(table, out)
        tools = MapTools(Colours(), Names(), Embedder())
        run(table, out, tools, prompt="What is it?")
        assert tools.segmenter.seen == 0 and tools.captioner.seen == 11 and tools.embedder.seen == 0
        tools = MapTools(Colours(), Names(), Embedder())
        run(table, out, tools, min_area=0.4)
        assert tools.segmenter.seen == 5

    def test_an_image_that_changed(self, table: Path) -> None:
        out = table.parent / "out.csv"
        run(table, out)
        old = read(out).loc["p0", "map"]
        paint(table.parent / "b.png", GREEN, RED)
        run(table, out)
        new = read(out).loc["p0", "map"]
        assert new != old and np.load(table.parent / new).min() > 0


class TestBadInput:
    def test_faults_are_rows(self, table: Path) -> None:
        (table.parent / "b.png").write_bytes(b"not an image")  # of p0 and p/3
        paint(table.parent / "same.png", RED, size=(30, 20))
        paint(table.parent / "d.png", VOID)
        out = table.parent / "out.csv"
        found = run(table, out)
        assert set(found) == {"p0", "p1", "p2", "p/3"}
        rows = read(out)
        assert "b.png is not an image" in rows.loc["p0", "map_error"]
        assert "reference is 24x20, candidate 30x20" in rows.loc["p1", "map_error"]
        assert "d.png: the segmentation is void everywhere" in rows.loc["p2", "map_error"]
        assert (rows["map"] == "").all() and (rows["map_mean"] == "").all() and (rows["reference_captions"] == 0).all()
        read_pairs(out)

    def test_the_others_are_done_and_a_mended_one_is_tried_again(self, table: Path) -> None:
        out = table.parent / "out.csv"
        (table.parent / "b.png").unlink()
        assert set(run(table, out)) == {"p0", "p/3"}
        rows = read(out)
        assert rows.loc["p1", "map"] and "no image" in rows.loc["p/3", "map_error"]
        paint(table.parent / "b.png", RED, BLUE)
        assert run(table, out) == {}
        assert (read(out)["map_error"] == "").all()

    def test_void_beside_good_ones_in_a_batch(self, table: Path) -> None:
        paint(table.parent / "b.png", VOID)
        assert set(run(table, table.parent / "out.csv")) == {"p0", "p/3"}

    def test_nothing_known_on_both_sides(self, table: Path) -> None:
        paint(table.parent / "a.png", RED, VOID)
        paint(table.parent / "b.png", VOID, RED)
        paint(table.parent / "same.png", YELLOW)
        found = run(table, table.parent / "out.csv")
        assert "no pixel is known on both sides (the regions of one lie on void" in found["p0"]
        assert "no pixel is known on both sides (candidate: empty caption of region 1" in found["p1"]

    def test_a_wordless_caption(self, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(NAMES, YELLOW, "...")
        run(table, table.parent / "out.csv")
        row = read(table.parent / "out.csv").loc["p/3"]
        assert row["map_note"] == "candidate: caption without a word that counts of region 2"
        assert float(row["map_unknown"]) == pytest.approx(1 / 3)

    def test_one_writer(self, table: Path) -> None:
        out = table.parent / "out.csv"
        with (
            lock(out.with_name("work") / ".lock", ""),
            pytest.raises(UserError, match=r"another process is working in .*work; wait for it"),
        ):
            run(table, out)
        run(table, out)

    def test_damaged_work(self, table: Path) -> None:
        out = table.parent / "out.csv"
        run(table, out)
        (table.parent / "work/maps.jsonl").write_text('{"map": 3}\n')
        with pytest.raises(UserError, match=r"maps\.jsonl is not what semfid wrote"):
            run(table, out)
        (table.parent / "work/maps.jsonl").unlink()
        (vectors,) = (table.parent / "work/embeddings").glob("*/*.safetensors")
        vectors.write_bytes(b"x")
        tools = MapTools(Colours(), Names(), Embedder())
        run(table, out, tools)
        assert tools.embedder.seen == 3, "what is damaged is made anew"
