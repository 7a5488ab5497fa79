"""The report's section on maps: it stands in the page without a script, escaped, each picture once, within its budget."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from report_support import (
    CHROMIUM,
    NASTY,
    SETTINGS,
    Resources,
    data_of,
    dom,
    draw_candidate,
    images,
    labels,
    report,
    with_maps,
)

import engine.report.gallery as gallery
from engine.report.gallery import MapRow, MapSource, map_headline, pick
from engine.report.map_pairs import MapPair
from engine.report.pictures import thumbnail
from engine.results.maps import compare_maps
from engine.results.run_result import RunResult
from semfid.errors import UserError
from semfid.scoring.heatmap import colours, overlay


class Source:
    """Maps that depend on the candidate alone; the left half of every target is changed, its last row unknown."""

    def __init__(self, paths: dict[str, tuple[Path, Path]]) -> None:
        self.paths, self.calls = paths, 0

    def pair(self, pair_id: str) -> MapPair:
        if pair_id not in self.paths:
            raise UserError(f"no image of {pair_id}")
        x, y = (thumbnail(path) for path in self.paths[pair_id])
        target = np.zeros(x.shape[:2], dtype=np.float32)
        target[:, : x.shape[1] // 2], target[-1] = 1.0, np.nan
        tensors = [torch.from_numpy(image.copy()).permute(2, 0, 1)[None] / 255 for image in (x, y)]
        return MapPair(str(self.paths[pair_id][0]), (x, y), (tensors[0], tensors[1]), target)

    def maker(self, run: RunResult, config: Any) -> Any:
        def make(fold: int, names: Any, reference: torch.Tensor, candidate: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return candidate.mean(dim=1, keepdim=True)

        return make

    @property
    def source(self) -> MapSource:
        return MapSource(self.pair, self.maker)


def section(page: Path) -> str:
    text = page.read_text()
    return text[text.index("Maps: where did the meaning change?") : text.index("What differs between")]


def test_a_gallery_without_a_script(tmp_path: Path) -> None:
    table = labels()
    paths = images(tmp_path / "img", table)
    runs = [with_maps(tmp_path, "a", table, 0.7, seed) for seed in (0, 1)] + [with_maps(tmp_path, "b", table, 0.3)]
    runs.append(with_maps(tmp_path, "ssim", table, 0.9, learned=False))
    source = Source(paths)
    page, _ = report(tmp_path, runs, paths, draw_candidate, source.source)
    text = section(page)
    assert re.findall(r"<summary>(.*?)</summary>", text) == ["a", "b", "ssim"], "learned ones first"
    assert text.count("<details") == 3 and text.count(" open>") == 1 and "Seed 0 of 2 seeds." in text
    assert text.count('<figure class="map-row">') == 3 * 7 == source.calls
    assert (
        "ssim has the highest average precision: 0.8" in text
        and "48 images of 12 sources, 32 with a changed region" in text
    )
    assert text.count("linearGradient id") == 1 and text.count("<stop ") == 7

    # every picture is embedded once, those of the script's cards included
    whole = page.read_text()
    embedded = re.findall(
        r'<image id="picture-(\w+)" width="(\d+)" height="(\d+)" href="(data:image/webp[^"]+)"', whole
    )
    used = re.findall(r'href="#picture-(\w+)"', text)
    assert {name for name, *_ in embedded} == set(used) and len(used) == 5 * 21
    uris = [uri for *_, uri in embedded] + list(data_of(page)["pictures"].values())
    assert len(set(uris)) == len(uris) and all((w, h) == ("40", "30") for _, w, h, _ in embedded)
    found = Resources()
    found.feed(whole)
    assert all(item.startswith("image data:image/webp;base64,") for item in found.fetched)

    # worst first, as the figures say
    figures = pd.read_csv(runs[0].path / "maps.csv")
    order = figures[figures["changed"] > 0].sort_values("average_precision")["pair_id"].tolist()
    quiet = figures[figures["changed"] == 0].sort_values("predicted", ascending=False)["pair_id"].tolist()
    shown = re.findall(r"<figcaption><b>(.*?)</b>", text)[:7]
    assert shown == [*order[:4], *quiet[:2], order[-1]]


def test_what_users_wrote_is_text(tmp_path: Path) -> None:
    table = labels(prefix=NASTY).assign(origin=NASTY)
    paths = images(tmp_path / "img", table)
    runs = [with_maps(tmp_path, NASTY, table, 0.7), with_maps(tmp_path, "b", table, 0.4)]
    page, _ = report(tmp_path, runs, paths, maps=Source(dict(list(paths.items())[5:])).source)
    text = page.read_text()
    assert "<script>alert" not in text and text.count("</script>") == 2
    assert "&lt;script&gt;alert(1)" in section(page)


def test_pictures_are_what_they_are_called(tmp_path: Path) -> None:
    table = labels()
    paths = images(tmp_path / "img", table)
    pair = Source(paths).pair("pair_00000")
    predicted = pair.images[1].mean(dim=1)[0].numpy()
    reference, candidate, target, map_, laid = gallery._pictures(pair, predicted)
    np.testing.assert_array_equal(reference, thumbnail(paths["pair_00000"][0]))
    np.testing.assert_array_equal(map_, colours(predicted))
    np.testing.assert_array_equal(laid, overlay(candidate, predicted))
    assert (target[:-1, :20] == colours(np.ones((1, 1)))).all() and (
        target[:-1, 20:] == colours(np.zeros((1, 1)))
    ).all()
    assert (target[-1] == 128).all(), "unknown"


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = labels()
    paths = images(tmp_path / "img", table)
    runs = [with_maps(tmp_path, name, table, shift) for name, shift in (("a", 0.7), ("b", 0.5), ("c", 0.3))]
    source = Source(paths)
    page, _ = report(tmp_path, runs, paths, maps=Source({}).source)
    assert section(page).count('<p class="missing-row">no image of pair_') == 21 and "<use" not in section(page)
    page, _ = report(tmp_path, runs, paths, maps=MapSource(source.pair, lambda run, config: "the backbone is <gone>"))
    assert section(page).count("No pictures: the backbone is &lt;gone&gt;.") == 3 and source.calls == 0
    page, _ = report(tmp_path, runs, paths)
    assert "map-variant" not in section(page) and "colour-bar" not in section(page), "the table alone"

    monkeypatch.setattr(gallery, "MOST_PAIRS", 15)
    page, _ = report(tmp_path, runs, paths, maps=source.source)
    assert source.calls == 14 and section(page).count("have used up those that a report holds") == 1


def test_few_pairs_are_shown_once(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"pair_id": ["a", "b", "c"], "average_precision": [0.5, 0.2, np.nan], "changed": [0.1, 0.1, 0]}
    ).assign(predicted=0.1, iou=0.0, hit=np.nan, srcc=np.nan, mse=0.01)
    groups = pick(frame)
    assert [[row.pair_id for row in rows] for _, rows in groups] == [["b"], ["c"], ["a"]]
    alone = pick(frame.iloc[:1])
    assert [[row.pair_id for row in rows] for _, rows in alone] == [["a"]]
    nan = float("nan")
    row = MapRow("a", "inter", nan, iou=0.0, hit=nan, srcc=nan, mse=0.01, changed=0.0, predicted=0.1)
    assert row.caption() == "inter, IoU 0.00, MSE 0.0100, 0 % changed, mean prediction 0.100"
    tied = replace(row, average_precision=0.5, hit=0.25, changed=0.123)
    assert tied.caption().startswith("inter, AP 0.500, IoU 0.00, pointing is tied, MSE")
    assert pick(frame.assign(origin="x").iloc[:1])[0][1][0].caption().startswith("x, AP 0.500")


def test_headline(tmp_path: Path) -> None:
    table = labels()
    good, bad = with_maps(tmp_path, "good", table, 0.8), with_maps(tmp_path, "bad", table, 0.3, leaky=True)

    def said(*runs: RunResult) -> list[str]:
        maps = compare_maps(runs, SETTINGS)
        assert maps is not None
        return map_headline(maps)

    assert said(good)[0].endswith("There is no other variant to compare it with.")
    assert said(good, bad)[0].endswith("Every other variant is worse beyond chance.")
    twin = with_maps(tmp_path, "twin", table, 0.8)
    assert said(good, twin)[1].startswith("Not distinguishable from it: ")
    assert "LEAKY" in said(bad)[-1]
    frame = pd.read_csv(bad.path / "maps.csv").assign(average_precision=np.nan)
    frame.to_csv(bad.path / "maps.csv", index=False)
    assert said(bad)[0].startswith("No image has both")


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium binary on the path")
def test_a_browser_draws_it(tmp_path: Path) -> None:
    table = labels()
    paths = images(tmp_path / "img", table)
    runs = [with_maps(tmp_path, "a", table, 0.7), with_maps(tmp_path, "b", table, 0.4)]
    page, _ = report(tmp_path, runs, paths, draw_candidate, Source(paths).source)
    assert any(
        name not in data_of(page)["pictures"]
        for names in data_of(page)["tables"][0]["pictures"].values()
        for name in names
    )
    found, log = dom(page, tmp_path)
    assert log == "" and 'data-ready="yes"' in found
    assert found.count('<article class="card">') == 8 and found.count('<img src="data:image/webp') == 24
