"""`semfid score` as it is typed: what it prints, writes, resumes, refuses."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import torch
from PIL import Image
from scoring_support import Runs, ToyScorer, naive_scores, regressor, toy_score, write_folders, write_picture

import semfid.scoring.score
from semfid.cli import main
from semfid.errors import UserError
from semfid.scoring.heatmap import colours
from semfid.scoring.map_files import MapFolder
from semfid.scoring.scorer import Scorer

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `semfid score`; returns exit code, standard output, standard error."""

    def run(*arguments: Any) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["score", *map(str, arguments)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out, captured.err

    return run


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> ToyScorer:
    """Put in the place of whatever --run names."""
    scorer = ToyScorer()
    monkeypatch.setattr(semfid.scoring.score, "load_scorer", lambda *_: scorer)
    return scorer


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("name", ["linear", "embedding", "fixed", "full"])
def test_a_run_scores_its_own_test_images_as_it_predicted_them(
    runs: Runs, tmp_path: Path, command: Command, name: str
) -> None:
    out = tmp_path / "scores.csv"
    code, _, err = command("--run", runs[name], "--pairs", runs.table(name, tmp_path / "pairs.csv"), "--out", out)
    assert code == 0, err
    scores = pd.read_csv(out, dtype={"pair_id": str}).sort_values("pair_id").reset_index(drop=True)
    pairs = runs.pairs(name)
    assert scores["pair_id"].tolist() == pairs["pair_id"].tolist()
    np.testing.assert_allclose(scores["difference"], pairs["predicted"], atol=1e-5)
    assert set(scores["run"]) == {f"{name}/{runs[name].name}"} and scores["weights"].str.fullmatch("[0-9a-f]{16}").all()
    side = 160 if name == "fixed" else 64
    assert set(scores["size"]) == {f"{side}x{side} squash"} and f"size {side}x{side} squash" in err
    assert f"{len(pairs)} pairs, mean difference {pairs['predicted'].mean():.4f}" in err
    for origin, values in pairs.groupby("origin")["predicted"]:
        assert f"  {origin}: {values.mean():.4f} ({len(values)} pairs)" in err
    highest = pairs.sort_values("predicted", ascending=False, kind="stable").iloc[0]
    assert "highest" in err and f"  {highest['predicted']:.3f}  {highest['pair_id']}" in err


def test_folds_by_mean_and_by_part(runs: Runs, tmp_path: Path, command: Command) -> None:
    x, y = write_picture(tmp_path / "x.png", 1), write_picture(tmp_path / "y.png", 1, changed=3)
    by_fold = [naive_scores(regressor(runs, "folds", part), [(x, y)], 64)[0] for part in range(3)]
    assert float(command(x, y, "--run", runs["folds"])[1]) == pytest.approx(np.mean(by_fold), abs=2e-6)
    assert float(command(x, y, "--run", runs["folds"], "--part", 2)[1]) == pytest.approx(by_fold[2], abs=2e-6)
    code, out, err = command(x, y, "--run", runs["folds"], "--part", 3)
    assert (code, out) == (2, "") and "has no part 3" in err


def test_two_folders_of_mixed_sizes_at_whole_resolution(runs: Runs, tmp_path: Path, command: Command) -> None:
    sizes = ((96, 64), (41, 67), (64, 64))
    references, candidates = write_folders(tmp_path, 3, ("Swin_IR", "B"), sizes)
    code, out, err = command(references, candidates, "--run", runs["linear"], "--size", "native")
    assert code == 0
    rows = rows_of(out)
    assert [row["pair_id"] for row in rows] == [f"{model}_s{n}" for n in range(3) for model in ("B", "Swin_IR")]
    files = [(Path(row["reference"]), Path(row["candidate"])) for row in rows]
    assert all(y.name == f"{row['origin']}_{x.name}" for row, (x, y) in zip(rows, files, strict=True))
    expected = naive_scores(regressor(runs, "linear"), files, None)
    np.testing.assert_allclose([float(row["difference"]) for row in rows], expected, atol=1e-5)
    assert [row["size"] for row in rows] == [f"{sizes[n][0]}x{sizes[n][1]} native" for n in (0, 0, 1, 1, 2, 2)]
    assert "size native" in err and "B: " in err and "Swin_IR: " in err


def test_two_files_print_one_number(toy: ToyScorer, tmp_path: Path, command: Command) -> None:
    x, y = write_picture(tmp_path / "x.png", 1, (80, 60)), write_picture(tmp_path / "y.png", 1, (80, 60), changed=3)
    code, out, err = command(x, y, "--run", "r")
    assert code == 0 and out == f"{toy_score(x, y, 64):.6f}\n" and "size 64x64 squash" in err
    assert command(x, y, "--run", "r", "--size", "native")[1] == f"{toy_score(x, y):.6f}\n"
    assert command(x, y, "--run", "r", "--size", "32")[1] == f"{toy_score(x, y, 32):.6f}\n"
    assert command(x, x, "--run", "r")[1] == "0.000000\n"


def test_formats_hold_equal_content(toy: ToyScorer, tmp_path: Path, command: Command) -> None:
    folders = write_folders(tmp_path, 2)
    (folders[1] / "C_s1.png").write_text("no image")
    (folders[1] / "stranger.png").write_bytes((folders[1] / "A_s0.png").read_bytes())
    for ending in ("csv", "json", "parquet"):
        code, out, err = command(*folders, "--run", "r", "--out", tmp_path / f"s.{ending}")
        assert (code, out) == (2, "") and f"scores: {tmp_path / f's.{ending}'}" in err
        assert "1 candidates without a reference" in err and "stranger.png" in err
    table = pd.read_csv(tmp_path / "s.csv", keep_default_na=False, dtype=str)
    content = json.loads((tmp_path / "s.json").read_text())
    arrow = pyarrow.parquet.read_table(tmp_path / "s.parquet").to_pylist()
    assert len(table) == len(content["pairs"]) == len(arrow) == 5
    assert content["extra"] == [str(folders[1] / "stranger.png")] and content["missing"] == []
    for row, own, other in zip(table.to_dict("records"), content["pairs"], arrow, strict=True):
        assert (float(row["difference"]) if row["difference"] != "" else None) == own["difference"]
        for key in ("pair_id", "reference", "candidate", "origin", "error", "size", "run", "weights", "precision"):
            assert str(row[key]) == str({**content["method"], **own}[key]) == str(other[key])
        assert own["difference"] == other["difference"]


def test_a_scoring_that_died_half_way_goes_on(
    toy: ToyScorer, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = write_folders(tmp_path, 4, ("A", "B", "C"))
    out = tmp_path / "s.csv"
    real = semfid.scoring.score.score_files

    def dying(*arguments: Any) -> Any:
        for number, scored in enumerate(real(*arguments)):
            if number == 7:
                raise MemoryError("killed")
            yield scored

    monkeypatch.setattr(semfid.scoring.score, "score_files", dying)
    with pytest.raises(MemoryError):
        command(*folders, "--run", "r", "--out", out)
    assert not out.exists() and (tmp_path / "s.csv.partial").exists()
    monkeypatch.setattr(semfid.scoring.score, "score_files", real)
    with (tmp_path / "s.csv.partial").open("rb+") as file:  # the last line went only half to the disk
        file.truncate(Path(file.name).stat().st_size - 30)
    toy.described = 0
    code, _, err = command(*folders, "--run", "r", "--out", out)
    assert code == 0 and "6 of 12 pairs were scored before" in err
    assert toy.described == 6 + 2, "the rest's candidates, and their two references"
    table = pd.read_csv(out)
    expected = [toy_score(Path(x), Path(y)) for x, y in zip(table["reference"], table["candidate"], strict=True)]
    np.testing.assert_allclose(table["difference"], expected, atol=1e-6)
    assert [path.name for path in tmp_path.glob("s.csv*")] == ["s.csv"]

    before, toy.described = out.read_bytes(), 0
    code, _, err = command(*folders, "--run", "r", "--out", out)
    assert code == 0 and toy.described == 0 and "12 of 12 pairs were scored before" in err
    assert out.read_bytes() == before
    changed = write_picture(folders[1] / "B_s2.png", 2, changed=99)
    later = out.stat().st_mtime + 2
    os.utime(changed, (later, later))
    command(*folders, "--run", "r", "--out", out)
    assert toy.described == 2
    row = pd.read_csv(out).set_index("pair_id").loc["B_s2"]
    assert row["difference"] == pytest.approx(toy_score(folders[0] / "s2.png", changed), abs=1e-6)
    toy.described = 0
    command(*folders, "--run", "r", "--out", out, "--size", "96")
    assert toy.described == 4 + 12, "another size is another scoring"


def test_failures_are_tried_again(toy: ToyScorer, tmp_path: Path, command: Command) -> None:
    folders = write_folders(tmp_path, 2)
    good = (folders[1] / "A_s1.png").read_bytes()
    (folders[1] / "A_s1.png").write_bytes(good[:50])
    arguments = (*folders, "--run", "r", "--out", tmp_path / "s.csv")
    code, _, err = command(*arguments)
    assert code == 2 and "A_s1 FAILED" in err and "3 pairs, mean difference" in err
    (folders[1] / "A_s1.png").write_bytes(good)
    toy.described = 0
    code, _, err = command(*arguments)
    assert code == 0 and toy.described == 2 and "FAILED" not in err
    assert pd.read_csv(tmp_path / "s.csv")["difference"].notna().all()


def test_every_bad_file_is_listed_and_the_rest_scored(toy: ToyScorer, tmp_path: Path, command: Command) -> None:
    references, candidates = write_folders(tmp_path, 2, ("A",))
    for number in range(12):
        (candidates / f"M{number:02d}_s0.png").write_text("no image")
    values = np.full((64, 64), 0.5, dtype=np.float32)
    values[9, 9] = np.nan
    Image.fromarray(values).save(candidates / "AA_s0.tiff")
    write_picture(candidates / "AB_s0.png", 0, (64, 48))
    code, out, err = command(references, candidates, "--run", "r")
    assert code == 2
    rows = {row["pair_id"]: row for row in rows_of(out)}
    assert len(rows) == 16
    assert [name for name, row in rows.items() if not row["error"]] == ["A_s0", "A_s1"]
    assert float(rows["A_s1"]["difference"]) == pytest.approx(
        toy_score(references / "s1.png", candidates / "A_s1.png"), abs=1e-6
    )
    assert "AA_s0 FAILED" in err and "pixels that are not finite" in err
    assert "AB_s0 FAILED" in err and "64x48 pixels, its reference s0.png 64x64" in err
    assert "M07_s0 FAILED" in err and "M08_s0 FAILED" not in err
    assert "and 4 more failed; all of them in the column error" in err
    assert rows["M11_s0"]["error"] and rows["M11_s0"]["difference"] == ""


def test_one_bad_pair_prints_no_number(toy: ToyScorer, tmp_path: Path, command: Command) -> None:
    x = write_picture(tmp_path / "x.png", 1)
    (tmp_path / "y.png").write_text("no")
    code, out, err = command(x, tmp_path / "y.png", "--run", "r")
    assert (code, out) == (2, "") and "semfid: y FAILED" in err and "is not an image" in err


def test_strict(toy: ToyScorer, tmp_path: Path, command: Command) -> None:
    references, candidates = write_folders(tmp_path, 2, ("A",))
    assert command(references, candidates, "--run", "r", "--strict")[0] == 0
    for number in range(12):
        write_picture(references / f"lonely{number:02d}.png", number)
    write_picture(candidates / "stranger.png", 5)
    toy.described = 0
    code, out, err = command(references, candidates, "--run", "r", "--strict", "--out", tmp_path / "s.csv")
    assert (code, out, toy.described) == (2, "", 0) and not (tmp_path / "s.csv").exists()
    lines = err.strip().splitlines()
    assert lines[0].startswith("semfid: 12 references without a candidate: lonely00.png, ")
    assert lines[0].endswith("lonely09.png and 2 more")
    assert lines[1] == f"semfid: 1 candidates without a reference: {candidates / 'stranger.png'}"
    assert lines[2].startswith("semfid: --strict: nothing was scored") and len(lines) == 3
    code, out, err = command(references, candidates, "--run", "r")
    assert code == 0 and len(rows_of(out)) == 2 and "12 references without" in err


def test_maps(runs: Runs, linear_scorer: Scorer, tmp_path: Path, command: Command) -> None:
    references, candidates = write_folders(tmp_path, 2, ("A",), ((96, 64), (67, 41)))
    (candidates / "deep" / "er").mkdir(parents=True)
    (candidates / "A_s1.png").rename(candidates / "deep" / "er" / "s1.png")
    maps = tmp_path / "maps"
    arguments = (references, candidates, "--run", runs["linear"], "--size", "native", "--map", maps)
    assert command(*arguments)[0] == 0
    kinds = ("heat.png", "map.npy", "map.png", "overlay.png")
    names = sorted(str(path.relative_to(maps)) for path in maps.rglob("*.*"))
    assert names == [f"{name}_{kind}" for name in ("A_s0", "deep/er/s1") for kind in kinds]
    for name, candidate, reference, size in (
        ("A_s0", "A_s0.png", "s0.png", (96, 64)),
        ("deep/er/s1", "deep/er/s1.png", "s1.png", (67, 41)),
    ):
        grey, heat, overlay = (Image.open(maps / f"{name}_{kind}.png") for kind in ("map", "heat", "overlay"))
        assert grey.size == size and (grey.mode, heat.mode, overlay.mode) == ("L", "RGB", "RGB")
        assert heat.size == overlay.size and heat.height == size[1] and heat.width > size[0] + 15, (
            "a colour bar beside it"
        )
        x, y = (
            torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)[None] / 255
            for path in (references / reference, candidates / candidate)
        )
        with torch.no_grad():
            small = linear_scorer.maps(linear_scorer.describe(x), linear_scorer.describe(y))
        expected = torch.nn.functional.interpolate(small, size[::-1], mode="bilinear", align_corners=False)[0, 0]
        assert float(expected.std()) > 1e-3
        raw = np.load(maps / f"{name}_map.npy")
        assert raw.dtype == np.float32 and raw.shape == size[::-1]
        np.testing.assert_allclose(raw, expected.numpy(), atol=1e-5)
        assert np.abs(np.asarray(grey) / 255 - expected.clamp(0, 1).numpy()).max() <= 1 / 255
        np.testing.assert_array_equal(np.asarray(heat)[:, : size[0]], colours(raw))
    same = tmp_path / "same"
    assert command(references / "s0.png", references / "s0.png", "--run", runs["linear"], "--map", same)[0] == 0
    assert not np.asarray(Image.open(same / "s0_map.png")).any()
    code, _, err = command(references, candidates, "--run", runs["embedding"], "--map", tmp_path / "none")
    assert code == 2 and "gives no maps; use a run of a local map model, or one with an lpips_linear head" in err
    assert not (tmp_path / "none").exists()


def test_names_of_maps_neither_meet_nor_leave_the_folder(toy: ToyScorer, tmp_path: Path, command: Command) -> None:
    write_folders(tmp_path, 1, ("A",))
    names = ["a b", "a_b", "a:b", "a/b", "a__b", "кухня", "台所", "../../up", "/root", ".hidden", "..", "a%b", "x*?"]
    table = pd.DataFrame({"pair_id": names, "reference": "HQ/s0.png", "candidate": "SR/A_s0.png"})
    table.to_csv(tmp_path / "t.csv", index=False)
    before = set(tmp_path.rglob("*"))
    maps = tmp_path / "in" / "maps"
    code, _, err = command("--pairs", tmp_path / "t.csv", "--run", "r", "--map", maps, "--out", tmp_path / "s.csv")
    assert code == 0, err
    new = [path for path in set(tmp_path.rglob("*")) - before if path.is_file() and path.suffix == ".png"]
    assert len(new) == 3 * len(names) and all(path.is_relative_to(maps) for path in new)
    assert {"a b_map.png", "a_b_map.png", "кухня_map.png", "台所_map.png"} <= {path.name for path in new}
    assert not [path for path in new if path.name.startswith(".")]


def test_a_resumed_scoring_makes_the_maps_that_are_missing(toy: ToyScorer, tmp_path: Path, command: Command) -> None:
    folders = write_folders(tmp_path, 2)
    maps = tmp_path / "maps"
    arguments = (*folders, "--run", "r", "--out", tmp_path / "s.csv")
    assert command(*arguments)[0] == 0
    assert command(*arguments, "--map", maps)[0] == 0
    assert len(list(maps.iterdir())) == 16

    def again(lost: str, described: int, *more: str) -> None:
        before = (maps / "B_s0_overlay.png").stat().st_mtime_ns
        whole = (maps / lost).read_bytes()
        (maps / lost).unlink()
        toy.described = 0
        assert command(*arguments, "--map", maps, *more)[0] == 0
        assert toy.described == described and (maps / lost).read_bytes() == whole and len(list(maps.iterdir())) == 16
        assert (maps / "B_s0_overlay.png").stat().st_mtime_ns == before, "what is drawn is left alone"

    again("A_s1_overlay.png", 0)  # out of the raw map
    again("A_s1_map.npy", 2)
    again("A_s1_map.png", 2)

    toy.facts = dataclasses.replace(toy.facts, weights_hash="1" * 16)  # another run: its maps are made anew
    toy.described = 0
    assert command(*folders, "--run", "r", "--out", tmp_path / "other.csv", "--map", maps)[0] == 0
    assert toy.described == 6
    toy.facts = dataclasses.replace(toy.facts, weights_hash="0" * 16)
    toy.described = 0
    assert command(*arguments, "--map", maps)[0] == 0
    assert toy.described == 6, "the journal knows the scores, the maps are the other run's"


def test_one_scale_over_a_folder(toy: ToyScorer, tmp_path: Path, command: Command) -> None:
    folders = write_folders(tmp_path, 3)
    (folders[1] / "B_s2.png").write_text("no image")
    maps = tmp_path / "maps"
    arguments = (*folders, "--run", "r", "--out", tmp_path / "s.csv", "--map", maps)
    assert "on one scale from 0 to 1\n" in command(*arguments)[2]
    raw = {path.name[: -len("_map.npy")]: np.load(path) for path in sorted(maps.glob("*.npy"))}
    assert len(raw) == 5
    grey = (maps / "A_s0_map.png").read_bytes()
    first = np.asarray(Image.open(maps / "A_s0_heat.png"))

    toy.described = 0
    code, _, err = command(*arguments, "--map-scale", "auto")
    top = float(np.percentile(np.concatenate([values.ravel() for values in raw.values()]), 99.9))
    assert (
        code == 2
        and toy.described == 0
        and f"on one scale from 0 to {top:.2g}"[:-1] in err
        and "99.9th percentile" in err
    )
    for name, values in raw.items():
        heat = np.asarray(Image.open(maps / f"{name}_heat.png"))
        expected = colours(values, top)
        assert np.abs(heat[:, : values.shape[1]].astype(int) - expected).max() <= 2, "one scale for all of them"
    assert (maps / "A_s0_map.png").read_bytes() == grey, "the table's form keeps its scale"

    assert command(*arguments, "--map-scale", "0.25")[0] == 2
    heat = np.asarray(Image.open(maps / "A_s0_heat.png"))
    np.testing.assert_array_equal(heat[:, :64], colours(raw["A_s0"], 0.25))
    assert command(*arguments)[0] == 2 and toy.described == 0
    np.testing.assert_array_equal(np.asarray(Image.open(maps / "A_s0_heat.png")), first)

    x = write_picture(tmp_path / "x.png", 1)
    _, _, err = command(x, x, "--run", "r", "--map", tmp_path / "same", "--map-scale", "auto")
    assert "on one scale from 0 to 1, " in err, "nothing differs"
    np.save(maps / "A_s0_map.npy", raw["A_s0"][:3])
    (maps / "A_s1_map.npy").write_bytes(b"cut off")
    code, _, err = command(*arguments, "--map-scale", "auto")
    assert code == 2 and "A_s1_map.npy cannot be read; remove it and score again" in err


def test_a_map_that_is_made_again_is_never_shown_with_the_old_pictures(
    toy: ToyScorer, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies between the raw map and its pictures."""
    folders = write_folders(tmp_path, 1, ("A",))
    arguments = (*folders, "--run", "r", "--out", tmp_path / "s.csv", "--map", tmp_path / "maps", "--map-scale", "auto")
    assert command(*arguments)[0] == 0
    old = (tmp_path / "maps" / "A_s0_overlay.png").read_bytes()
    later = (tmp_path / "s.csv").stat().st_mtime + 2
    os.utime(write_picture(folders[1] / "A_s0.png", 0, changed=77), (later, later))
    monkeypatch.setattr(MapFolder, "finish", lambda *_: (_ for _ in ()).throw(MemoryError("killed")))
    with pytest.raises(MemoryError):
        command(*arguments)
    monkeypatch.undo()
    monkeypatch.setattr(semfid.scoring.score, "load_scorer", lambda *_: toy)
    toy.described = 0
    assert command(*arguments)[0] == 0 and toy.described == 0
    assert (tmp_path / "maps" / "A_s0_overlay.png").read_bytes() != old


REFUSED: list[tuple[list[str], str]] = [
    (["{hq}"], "give REFERENCE and CANDIDATE"),
    ([], "give REFERENCE and CANDIDATE"),
    (["{hq}", "{sr}", "--pairs", "{t}"], "--pairs names the images"),
    (["{hq}", "{root}/gone"], "no file or folder"),
    (["{hq}", "{sr}/A_s0.png"], "give two files or two folders"),
    (["{hq}", "{root}/empty"], "no images in"),
    (["{hq}", "{root}/other"], "no name in"),
    (["--pairs", "{root}/gone.csv"], "cannot be read as a table"),
    (["{hq}", "{sr}", "--size", "20"], "--size 20"),
    (["{hq}", "{sr}", "--device", "warp"], "--device warp"),
    (["{hq}", "{sr}", "--out", "{root}/s.txt"], "the ending must be one of"),
    (["{hq}", "{sr}", "--out", "{t}"], "exists and holds no scores"),
    (["{hq}", "{sr}", "--map", "{t}"], "choose another --map"),
    (["{hq}", "{sr}", "--map", "{root}/m", "--map-scale", "0"], "--map-scale 0: give unit"),
    (["{hq}", "{sr}", "--map", "{root}/m", "--map-scale", "much"], "--map-scale much: give unit"),
    (["{hq}", "{sr}", "--out", "{t}/s.csv"], "cannot write"),
]


@pytest.mark.parametrize(("words", "says"), REFUSED, ids=[says for _, says in REFUSED])
def test_refused(toy: ToyScorer, tmp_path: Path, command: Command, words: list[str], says: str) -> None:
    references, candidates = write_folders(tmp_path, 1, ("A",))
    table = tmp_path / "t.csv"
    table.write_text("name,age\nAnn,3\n")
    (tmp_path / "empty").mkdir()
    write_picture(tmp_path / "other" / "zebra.png", 1)
    filled = [word.format(hq=references, sr=candidates, root=tmp_path, t=table) for word in words]
    code, out, err = command(*filled, "--run", "r")
    assert (code, out) == (2, "")
    (line,) = [line for line in err.splitlines() if line.startswith("semfid: ")]
    assert says in line and len(line) < 600
    assert table.read_text() == "name,age\nAnn,3\n"


def test_runs_that_cannot_score(runs: Runs, tmp_path: Path, command: Command) -> None:
    folders = write_folders(tmp_path, 1, ("A",))

    def says(text: str, run: Path | str, *more: str) -> None:
        code, out, err = command(*folders, "--run", run, *more)
        assert (code, out) == (2, "") and text in err.strip().splitlines()[-1], err

    says("no file or folder", tmp_path / "gone")
    says("is not a run folder", tmp_path)
    says("fits 2 paths", tmp_path / "*")
    (tmp_path / "scorer.onnx").write_bytes(b"x")
    says("is for onnxruntime", tmp_path / "scorer.onnx")
    (tmp_path / "scorer.pt2").write_bytes(b"x")
    says("is not a torch.export archive", tmp_path / "scorer.pt2")
    says("leave --part out", tmp_path / "scorer.pt2", "--part", "0")
    says("160x160 only", runs["fixed"], "--size", "native")
    pattern = str(runs["linear"].parent / "seed=0*")
    assert command(*folders, "--run", pattern)[0] == 0


def test_without_the_clone_or_its_environment(
    runs: Runs, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    import semfid.scoring.load

    folders = write_folders(tmp_path, 1, ("A",))
    monkeypatch.setattr(semfid.scoring.load, "in_clone", lambda: False)
    code, _, err = command(*folders, "--run", runs["linear"])
    assert code == 2 and "needs the clone of the repository; export it there first" in err
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "lightning_modules.scorer", None)
    code, _, err = command(*folders, "--run", runs["linear"])
    assert code == 2 and "needs the clone's environment" in err


def test_errors_of_scoring_are_one_kind() -> None:
    import semfid

    assert semfid.UserError is UserError
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = semfid.Nothing
