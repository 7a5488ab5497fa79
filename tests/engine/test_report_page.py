"""The file: whole in itself, escaped, of a sensible size, and drawn by a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from report_support import (
    CHROMIUM,
    NASTY,
    Resources,
    data_of,
    dom,
    draw_candidate,
    finished,
    images,
    labels,
    many_variants,
    report,
)
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import engine.report.write as write
from engine.report.page import script_json
from semfid.errors import UserError


def test_nothing_is_fetched(tmp_path: Path) -> None:
    table = labels()
    runs = [finished(tmp_path, "a", table), finished(tmp_path, "b", table, noise=0.4)]
    page, _ = report(tmp_path, runs, images(tmp_path / "img", table), draw_candidate)
    text = page.read_text()
    found = Resources()
    found.feed(text)
    assert not found.fetched and not {"link", "iframe", "object", "embed", "img"} & set(found.tags)
    urls = set(re.findall(r"\w+://[^\s\"'<)]+", text))
    assert urls <= {"http://www.w3.org/2000/svg"}, "only the name of the SVG namespace"
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|eval\(|new Function|\bimport\b", text)
    assert "default-src 'none'" in text and "<noscript>" in text
    pictures = data_of(page)["pictures"]
    assert pictures and all(uri.startswith("data:image/webp;base64,") for uri in pictures.values())


def test_what_users_wrote_is_text(tmp_path: Path) -> None:
    table = labels(prefix=NASTY).assign(origin=NASTY)
    page, _ = report(tmp_path, [finished(tmp_path, NASTY, table), finished(tmp_path, "b", table)])
    text = page.read_text()
    assert "<script>alert" not in text and text.count("</script>") == 2
    data = data_of(page)
    assert data["tables"][0]["pairs"]["id"][0].startswith(NASTY) and data["tables"][0]["origins"][0]["name"] == NASTY
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_script_json_cannot_end_its_element() -> None:
    text = script_json({"a": "</script><!--&\u2028"})
    assert not set("<>&\u2028") & set(text)
    with pytest.raises(ValueError, match="JSON compliant"):
        script_json({"a": float("nan")})


def test_pictures_are_embedded_once(tmp_path: Path) -> None:
    table = labels(sources=2, each=10)
    runs = [finished(tmp_path, name, table, noise=0.2) for name in ("a", "b", "c")]
    page, _ = report(tmp_path, runs, images(tmp_path / "img", table), draw_candidate)
    content = data_of(page)["tables"][0]
    rows = {row for variant in content["variants"] for run in variant["runs"] for row in run["best"] + run["worst"]}
    assert {int(row) for row in content["pictures"]} == rows
    assert len({names[0] for names in content["pictures"].values()}) == 2, "two photos"
    shown = {name for names in content["pictures"].values() for name in names}
    maps = {name for variant in content["variants"] for name in variant["maps"].values()}
    assert len(data_of(page)["pictures"]) == len(shown | maps) == 2 + 2 * len(rows)


def test_missing_and_broken_pictures_leave_the_report_whole(tmp_path: Path) -> None:
    table = labels()
    paths = images(tmp_path / "img", table)
    runs = [finished(tmp_path, "a", table), finished(tmp_path, "b", table, noise=0.4)]
    drawn, _ = report(tmp_path, runs, paths, draw_candidate)
    gone, broken = (int(row) for row in list(data_of(drawn)["tables"][0]["pictures"])[:2])
    names = data_of(drawn)["tables"][0]["pairs"]["id"]
    paths[names[gone]][1].unlink()
    paths[names[broken]][1].write_bytes(b"no image")
    content = data_of(report(tmp_path, runs, paths, draw_candidate)[0])["tables"][0]
    for row in (gone, broken):
        assert content["pictures"][str(row)][0] is not None and content["pictures"][str(row)][1] is None
        assert all(variant["maps"].get(str(row)) is None for variant in content["variants"])
    for row in (gone, broken):
        del paths[names[row]]  # pairs that the data no longer has
    assert data_of(report(tmp_path, runs, paths, draw_candidate)[0])["tables"][0]["pictures"][str(gone)] == [None, None]
    none = data_of(report(tmp_path, runs, {}, draw_candidate)[0])
    assert none["pictures"] == {} and set(map(tuple, none["tables"][0]["pictures"].values())) == {(None, None)}


def test_a_run_without_its_backbone_says_so(tmp_path: Path) -> None:
    table = labels()
    runs = [finished(tmp_path, "a", table), finished(tmp_path, "b", table, noise=0.4)]
    said = "No heat maps: the backbone weights x.pt are missing."
    page, _ = report(tmp_path, runs, images(tmp_path / "img", table), lambda run, config: said)
    for variant in data_of(page)["tables"][0]["variants"]:
        assert variant["maps_note"] == said and "maps" not in variant


def test_heat_maps_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = labels()
    runs = [finished(tmp_path, name, table, noise=0.2) for name in ("a", "b", "c")]
    monkeypatch.setattr(write, "MOST_MAPS", 20)  # of each variant, 4 worst pairs and 4 best
    page, _ = report(tmp_path, runs, images(tmp_path / "img", table), draw_candidate)
    first, second, third = data_of(page)["tables"][0]["variants"]
    assert len(first["maps"]) == len(second["maps"]) == 8 and "maps" not in third
    assert third["maps_note"] == "No heat maps: the variants above have used up those that a report holds."


def test_example_pairs_stand_in_the_events_once(tmp_path: Path) -> None:
    table = labels()
    runs = [finished(tmp_path, "a", table, seed) for seed in (0, 1)]
    paths = images(tmp_path / "img", table)
    report(tmp_path, runs, paths)
    report(tmp_path, runs, paths, draw_candidate)  # now with heat maps
    (file,) = (runs[0].path / "events" / "examples").iterdir()
    written = file.stat().st_mtime_ns
    report(tmp_path, runs, paths, draw_candidate)
    assert file.stat().st_mtime_ns == written, "a finished run is left untouched"
    events = EventAccumulator(str(runs[0].path / "events" / "examples"), size_guidance={"images": 0}).Reload()
    assert sorted(events.Tags()["images"]) == [f"{kind}/{n}" for kind in ("best", "worst") for n in (1, 2, 3)]
    (image,) = events.Images("best/1")
    assert (image.height, image.width) == (128, 3 * 171 + 2 * 4), "reference, candidate, heat map"
    assert not (runs[1].path / "events").exists(), "the first seed's only"


def test_constant_predictions_and_no_votes_and_no_origins(tmp_path: Path) -> None:
    table = labels(votes=False).drop(columns="origin")
    page, _ = report(tmp_path, [finished(tmp_path, "flat", table, noise=None), finished(tmp_path, "a", table)])
    content = data_of(page)["tables"][0]
    assert "low" not in content["pairs"] and content["origins"] == []
    flat = next(variant for variant in content["variants"] if variant["label"] == "flat")
    assert flat["figures"]["srcc"] == "constant" and len(flat["runs"][0]["calibration"]) == 1
    assert "<i>constant</i>" in page.read_text()


def test_two_data_sets_are_two_sections(tmp_path: Path) -> None:
    one, other = labels(), labels(sources=10)
    page, results = report(tmp_path, [finished(tmp_path, "a", one), finished(tmp_path, "b", other)])
    text = page.read_text()
    assert len(results) == 2 and text.count('<section class="data-set"') == 2 and text.count('class="tab"') == 2


def test_a_run_folder_without_its_files_is_a_user_error(tmp_path: Path) -> None:
    run = finished(tmp_path, "a", labels())
    (run.path / "provenance.json").unlink()
    with pytest.raises(UserError, match=r"run-0: its config\.yaml or provenance\.json cannot be read"):
        report(tmp_path, [run])


def test_a_folder_that_cannot_be_written_is_a_user_error(tmp_path: Path) -> None:
    runs = [finished(tmp_path, "a", labels())]
    (tmp_path / "report.html").mkdir()
    with pytest.raises(UserError):
        report(tmp_path, runs)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    runs, table = many_variants(folder, pairs=500, distinct=9)
    paths = images(folder / "img", table, (192, 144), most=100)
    return report(folder, runs, paths, draw_candidate, bootstraps=20)[0]


def test_fifty_variants_make_a_file_of_sensible_size(large: Path) -> None:
    assert large.stat().st_size < 5e6
    content = data_of(large)["tables"][0]
    assert len(content["variants"]) == 51 and len(content["pictures"]) <= 100
    pictured = [variant["label"] for variant in content["variants"] if "maps" in variant]
    assert len(pictured) == 9 and "psnr" in pictured


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium binary on the path")
def test_a_browser_draws_it(tmp_path: Path) -> None:
    table = labels(prefix=NASTY).assign(origin=lambda frame: frame["origin"] + NASTY)
    runs = [finished(tmp_path, NASTY, table, seed) for seed in (0, 1)]
    runs.append(finished(tmp_path, "psnr", table, noise=0.5, learned=False))
    page, _ = report(tmp_path, runs, images(tmp_path / "img", table), draw_candidate)
    found, log = dom(page, tmp_path)
    assert log == "" and 'data-ready="yes"' in found
    body = found[: found.index('<script type="application/json"')]
    assert body.count('<circle class="dot"') == len(table)
    assert body.count('class="votes"') == len(table), "few pairs: every vote interval"
    assert 'class="curve"' in body and body.count('class="hit') == 3
    assert body.count('<article class="card">') == 8 and body.count('src="data:image/webp') == 24
    assert "<script>alert" not in body and "&lt;script&gt;alert(1)" in body
    assert "Below: seed 0 of 2 seeds" in body


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium binary on the path")
def test_a_browser_draws_fifty_variants_at_once(large: Path, tmp_path: Path) -> None:
    found, log = dom(large, tmp_path, 390)
    assert log == "" and 'data-ready="yes"' in found and found.count('<circle class="dot"') == 500
