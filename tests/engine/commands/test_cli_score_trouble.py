"""`semfid score` on what cameras, disks and networks make of files: what is said, what is scored, what fails alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_damage import exif_faults
from PIL import Image, ImageCms
from scoring_support import ToyScorer, picture, toy_score

import semfid.scoring.score
from semfid.cli import main

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> ToyScorer:
    """Put in the place of the default metric."""
    scorer = ToyScorer()
    monkeypatch.setattr(semfid.scoring.score, "load_scorer", lambda *_: scorer)
    return scorer


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Run `semfid score HQ SR --size native`; returns exit code, standard output, standard error."""

    def run(*arguments: Any) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["score", *map(str, (tmp_path / "HQ", tmp_path / "SR", "--size", "native", *arguments))])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def rows_of(text: str) -> dict[str, dict[str, str]]:
    return {row["pair_id"]: row for row in csv.DictReader(io.StringIO(text))}


def save(
    path: Path, seed: int, size: tuple[int, int] = (64, 64), part: tuple[int, int] | None = None, **options: Any
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(picture(seed, size))
    (image if part is None else image.crop((0, 0, *part))).save(path, **options)
    return path


def test_photos_are_cut_to_what_the_network_made_of_them(tmp_path: Path, command: Command) -> None:
    save(tmp_path / "HQ/k.png", 1, (99, 83))
    save(tmp_path / "SR/A_k.png", 2, (96, 80))
    save(tmp_path / "SR/B_k.png", 1, (99, 83), part=(96, 80))
    save(tmp_path / "SR/C_k.png", 3, (99, 83))
    save(tmp_path / "SR/D_k.png", 3, (48, 40))
    code, _, _ = command("--out", tmp_path / "s.csv")
    rows = rows_of((tmp_path / "s.csv").read_text())
    assert code == 2 and [name for name, row in rows.items() if row["error"]] == ["A_k", "B_k", "D_k"]
    scale = "scale one of them to the other's size"
    assert rows["A_k"]["error"].endswith(f"{scale}, or use --fit crop, which cuts both to 96x80 from the top left")
    assert rows["D_k"]["error"].endswith(scale)

    code, _, err = command(
        "--fit", "crop", "--out", tmp_path / "s.csv", "--map", tmp_path / "maps", "--map-scale", "auto"
    )
    rows = rows_of((tmp_path / "s.csv").read_text())
    cut = save(tmp_path / "cut.png", 1, (99, 83), part=(96, 80))
    assert float(rows["A_k"]["difference"]) == pytest.approx(toy_score(cut, tmp_path / "SR/A_k.png"), abs=1e-6)
    assert float(rows["B_k"]["difference"]) == 0.0
    assert float(rows["C_k"]["difference"]) == pytest.approx(
        toy_score(tmp_path / "HQ/k.png", tmp_path / "SR/C_k.png"), abs=1e-6
    )
    assert [rows[f"{name}_k"]["size"] for name in "ABCD"] == [
        "96x80 native cropped",
        "96x80 native cropped",
        "99x83 native",
        "",
    ]
    assert code == 2 and "cut to the part that both images show: 2 of 4 pairs" in err
    assert np.load(tmp_path / "maps/A_k_map.npy").shape == (80, 96)


def test_cut_rows_serve_again_only_where_images_are_cut(tmp_path: Path, command: Command, toy: ToyScorer) -> None:
    save(tmp_path / "HQ/k.png", 1, (99, 83))
    save(tmp_path / "SR/k.png", 2, (96, 80))
    out = tmp_path / "s.csv"
    assert command("--fit", "crop", "--out", out)[0] == 0
    before = out.read_bytes()
    assert command("--fit", "crop", "--out", out)[0] == 0 and len(toy.passes) == 1 and out.read_bytes() == before
    assert command("--out", out)[0] == 2


def test_the_upright_size_is_cut(tmp_path: Path, command: Command) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.ascontiguousarray(np.rot90(picture(1, (99, 83))))
    (tmp_path / "HQ").mkdir()
    Image.fromarray(stored).save(tmp_path / "HQ/k.png", exif=exif)
    save(tmp_path / "SR/k.png", 1, (99, 83), part=(96, 80))
    assert command("--fit", "crop")[1].strip() == "0.000000"


def wide_profile() -> bytes:
    """sRGB under another name, in the profile's own characters."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace("sRGB built-in".encode("utf-16-be"), "Wide built-in".encode("utf-16-be"))


def test_a_profile_on_one_side_is_said(tmp_path: Path, command: Command) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name, left, right in (
        ("one", wide_profile(), None), ("other", None, wide_profile()), ("both", wide_profile(), wide_profile()),
        ("same", srgb, None), ("none", None, None), ("broken", b"no profile at all" * 20, None),
    ):  # fmt: skip
        save(tmp_path / f"HQ/{name}.png", 1, icc_profile=left)
        save(tmp_path / f"SR/{name}.png", 2, icc_profile=right)
    code, out, err = command()
    assert code == 0 and len({row["difference"] for row in rows_of(out).values()}) == 1
    said = sorted(line for line in err.splitlines() if "profile" in line)
    assert [line.split(": ")[1] for line in said] == ["broken", "one", "other"]
    assert "broken.png has the colour profile that cannot be read, broken.png none" in said[0]
    assert "one.png has the colour profile Wide built-in, one.png none: equal numbers are other colours" in said[1]


def test_metadata_of_a_wrong_type_stops_nothing(tmp_path: Path, command: Command) -> None:
    block, _ = exif_faults()["x resolution text"]
    for name in "ab":
        save(tmp_path / f"HQ/{name}.png", 1, (80, 64))
        save(tmp_path / f"SR/{name}.png", 1, (80, 64))
    Image.fromarray(np.ascontiguousarray(np.rot90(picture(1, (80, 64))))).save(tmp_path / "SR/a.png", exif=block)
    code, out, _ = command()
    assert code == 0 and {float(row["difference"]) for row in rows_of(out).values()} == {0.0}


def test_one_bad_file_costs_its_pair(tmp_path: Path, command: Command) -> None:
    for name in ("ok", "avif", "float", "moving", "cut"):
        save(tmp_path / f"HQ/{name}.png", 1)
    save(tmp_path / "SR/ok.png", 2)
    avif = save(tmp_path / "SR/avif.avif", 2).read_bytes()
    (tmp_path / "SR/avif.avif").write_bytes(avif.replace(b"ispe", b"isqe"))
    Image.fromarray(picture(2, (64, 64))[..., 0].astype(np.float32)).save(tmp_path / "SR/float.tif")
    frames = [Image.fromarray(picture(seed, (64, 64))) for seed in (1, 2)]
    frames[0].save(tmp_path / "SR/moving.gif", save_all=True, append_images=frames[1:])
    whole = save(tmp_path / "SR/cut.webp", 2).read_bytes()
    (tmp_path / "SR/cut.webp").write_bytes(whole[: len(whole) // 2])
    code, out, _ = command()
    rows = rows_of(out)
    assert code == 2 and [name for name, row in rows.items() if not row["error"]] == ["ok"]
    assert "beyond [0, 1]" in rows["float"]["error"] and "has 2 frames" in rows["moving"]["error"]
    assert "is corrupt" in rows["cut"]["error"] and "is not an image that Pillow can read" in rows["avif"]["error"]
    assert not any("\n" in row["error"] for row in rows.values())


@pytest.mark.parametrize("letter", ["x", "é", "台"])
def test_long_names_have_maps_too(tmp_path: Path, command: Command, letter: str) -> None:
    long = letter * (248 // len(letter.encode()))
    for name in (f"{long}1.png", f"{long}2.png"):
        save(tmp_path / "HQ" / name, 1)
        save(tmp_path / "SR" / name, 2)
    arguments = ("--out", tmp_path / "s.csv", "--map", tmp_path / "maps")
    code, _, _ = command(*arguments)
    assert code == 0 and len(list((tmp_path / "maps").iterdir())) == 8
    assert "2 of 2 pairs were scored before" in command(*arguments)[2]


def test_what_was_left_out_is_said(tmp_path: Path, command: Command) -> None:
    for side, seed in (("HQ", 1), ("SR", 2)):
        save(tmp_path / side / "k.png", seed)
        save(tmp_path / side / "@eaDir/k.png/SYNOPHOTO_THUMB_M.jpg", seed)
    code, out, err = command()
    assert code == 0 and len(out.split()) == 1
    assert f"semfid: {tmp_path / 'SR'}: left out 1 image in @eaDir" in err
