from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from sr_support import picture, silent

from data_tools.builders.core.importing import import_folders, run
from semfid.errors import UserError
from semfid.io.pair_table import read_pairs


def save(path: Path, height: int = 24, width: int = 32) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(len(path.name), height, width)).save(path)


@pytest.fixture
def authors(tmp_path: Path) -> Path:
    """The source project's layout: two photos, two models, a strength and none."""
    root = tmp_path / "koniq-10k_sr"
    for name in ("a", "b"):
        save(root / "HQ" / f"{name}.jpg")
        save(root / "LQ_x4_degfac_0.3_swinir_out" / f"{name}.png")
        save(root / "LQ_x4_see_sr_out" / f"{name}.png")
        save(root / "LQ_x4_degfac_0.3" / f"{name}.png", 6, 8)
    return root


def test_the_authors_layout_becomes_a_table(authors: Path) -> None:
    metrics = "image,lpips,ssimc,note\na.png,0.25,0.5,x\nb.png,0.5,0.75,y\n"
    (authors / "LQ_x4_see_sr_out" / "metrics.csv").write_text(metrics)
    (authors / "scores.csv").write_text("image_name,MOS,set\na.jpg,70,training\nb.jpg,71,test\n")
    out = authors.parent / "tables" / "pairs.csv"
    _, findings = import_folders(authors, out, silent, scores=str(authors / "scores.csv"), licence="CC BY")
    assert len(read_pairs(out)) == 4
    frame = pd.read_csv(out).set_index("pair_id")
    assert set(frame["origin"]) == {"swinir 0.3", "see_sr 1"} and len(frame) == 4
    row = frame.loc["b:LQ_x4_see_sr_out"]
    assert (row["model"], row["strength"], row["lpips"], row["ssimc"]) == ("see_sr", 1.0, 0.5, 0.75)
    assert (row["split"], row["photo_score"], row["licence"]) == ("test", 71.0, "CC BY")
    assert (out.parent / row["candidate"]).is_file() and (out.parent / row["reference"]).is_file()
    assert findings.ignored == ["LQ_x4_degfac_0.3: inputs of the models"]
    assert not (findings.missing or findings.extra or findings.wrong)


def test_missing_extra_and_wrong_files_are_named(authors: Path, tmp_path: Path) -> None:
    (authors / "LQ_x4_see_sr_out" / "a.png").unlink()
    save(authors / "LQ_x4_see_sr_out" / "c.png")
    save(authors / "LQ_x4_degfac_0.3_swinir_out" / "a.png", 26, 34)
    (authors / "LQ_x4_degfac_0.3_swinir_out" / "b.png").write_text("no image")
    said: list[str] = []
    assert run(str(authors), [], str(tmp_path / "pairs.parquet"), said.append, silent) == 1
    assert said == [
        "missing: LQ_x4_see_sr_out/a",
        "extra: LQ_x4_see_sr_out/c.png",
        "wrong: LQ_x4_degfac_0.3_swinir_out/a.png: 34x26, its photo is 32x24",
        "wrong: LQ_x4_degfac_0.3_swinir_out/b.png: no image",
        "ignored: LQ_x4_degfac_0.3: inputs of the models",
        f"{tmp_path / 'pairs.parquet'}: 1 pairs of 1 photos, 1 origins",
    ]


def test_any_folders_of_candidates_serve(tmp_path: Path) -> None:
    for folder in ("photos", "model one", "model_two"):
        save(tmp_path / "set" / folder / "x.png")
    out = tmp_path / "pairs.csv"
    with pytest.raises(UserError, match="no folder HQ, GT or reference; name the one with gt=FOLDER"):
        import_folders(tmp_path / "set", out, silent)
    table, _ = import_folders(tmp_path / "set", out, silent, gt="photos")
    assert sorted(table.frame["origin"]) == ["model one", "model_two"] and table.frame["strength"].isna().all()


def test_mistakes_are_named(authors: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "t.csv")
    for root, overrides, target, said in [
        (authors, [], None, "--out TABLE.csv"),
        (authors, [], "t.txt", "ends in .csv or .parquet"),
        (authors, ["gtt=HQ"], out, "unknown key 'gtt'"),
        (authors, ["gt=HO"], out, "has no folder 'HO'"),
        (authors / "nope", [], out, "no folder"),
        (authors, ["gt=LQ_x4_degfac_0.3"], out, "gives no pair: .* of a wrong size"),
    ]:
        with pytest.raises(UserError, match=said):
            run(str(root), overrides, target, print, silent)
