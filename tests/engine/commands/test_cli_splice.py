"""`semfid splice` from the command line, with the tower of the tests."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from concept_support import plain, register_colour_tower
from PIL import Image

from engine.commands.splice import splice
from semfid.cli import main


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photos of plain colours in two folders, a list of words, and a working folder for the cache."""
    monkeypatch.chdir(tmp_path)
    register_colour_tower()
    for folder in ("hq", "sr", "photos"):
        (tmp_path / folder).mkdir()
    for number, colour in enumerate(np.random.default_rng(0).integers(0, 256, (12, 3))):
        plain(*colour).save(tmp_path / "photos" / f"{number}.png")
    for name, before, after in (("a", (230, 20, 230), (230, 20, 20)), ("b", (20, 230, 20), (20, 230, 20))):
        plain(*before).save(tmp_path / "hq" / f"{name}.png")
        plain(*after).save(tmp_path / "sr" / f"{name}.png")
    (tmp_path / "words.txt").write_text("stone\nloud\nriver & sea\ndark\nbright\nblue\ngreen\nred\n")
    return tmp_path


SETTINGS = ["tower=colour_tower", "vocabulary=words.txt", "image_mean=photos", "l1=0.4"]


def test_a_pair_in_words_chart_and_json(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for chart in ("c.png", "c.svg"):
        assert main(["splice", "hq/a.png", "sr/a.png", *SETTINGS, "--out", chart, "--json", "c.json"]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0].startswith("kept: red 0.") and lines[1].startswith("lost: blue 0.")
    assert lines[3].startswith("difference of weights 0.") and "8 words of words.txt" in said.err
    facts = json.loads((world / "c.json").read_text())
    assert [concept["word"] for concept in facts["lost"]] == ["blue"] and facts["tower"] == "colours"
    assert f"{facts['weights']:.6f}" in lines[3]
    with Image.open(world / "c.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert (pixels[0, 0] == 255).all() and (pixels == (0xD5, 0x5E, 0x00)).all(axis=2).sum() > 500, (
        "a bar of what is lost"
    )
    texts = [element.text for element in ElementTree.parse(world / "c.svg").iter() if element.tag.endswith("text")]
    assert {"red", "blue", "KEPT", "LOST", "GAINED", "reference", "candidate"} <= set(texts)


def test_two_folders(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (world / "sr" / "b.png").write_bytes(b"no image")
    plain(1, 2, 3).save(world / "sr" / "x.png")
    assert main(["splice", "hq", "sr", *SETTINGS, "--out", "t.csv", "--json", "t.json"]) == 2
    with (world / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["pair_id"] for row in rows] == ["a", "b"]
    assert rows[0]["lost"].startswith("blue 0.") and 0 < float(rows[0]["weights"]) <= 1 and not rows[0]["error"]
    assert "b.png" in rows[1]["error"] and rows[1]["weights"] == ""
    assert len(json.loads((world / "t.json").read_text())) == 1
    said = capsys.readouterr().err
    assert "1 candidates without a reference: sr/x.png" in said and "b FAILED" in said


def test_a_table_of_pairs(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (world / "p.csv").write_text("pair_id,reference,candidate\nx,hq/a.png,sr/a.png\ny,hq/a.png,hq/b.png\n")
    assert main(["splice", "--pairs", "p.csv", *SETTINGS]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["pair_id"] for row in rows] == ["x", "y"] and all(float(row["weights"]) > 0 for row in rows)


def test_from_python(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["splice", "hq/a.png", "sr/a.png", *SETTINGS, "--json", "typed.json"]) == 0
    typed = capsys.readouterr().out
    assert splice([world / "hq/a.png", world / "sr/a.png"], SETTINGS, as_json=world / "called.json") == 0
    assert capsys.readouterr().out == typed
    facts = [json.loads((world / name).read_text()) for name in ("typed.json", "called.json")]
    assert facts[0]["lost"] == facts[1]["lost"] and facts[0]["cosine"] == facts[1]["cosine"]


def test_identical_images(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for strategy in ("nonsymmetric", "symmetric"):
        assert main(["splice", "hq/a.png", "hq/a.png", *SETTINGS, f"strategy={strategy}"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[1:] == [
            "lost: none",
            "gained: none",
            "difference of weights 0.000000, of recomposed embeddings 0.000000, 1 - cosine of embeddings 0.000000",
        ]


def test_nothing_active(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["splice", "hq/a.png", "sr/a.png", *SETTINGS[:3], "l1=3", "--out", "c.png"]) == 0
    assert "no concept is active in either image; a lower l1 keeps more" in capsys.readouterr().out
    with Image.open(world / "c.png") as picture:
        assert picture.size[1] > 300


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hq/a.png", "sr/a.png", "tower=colour_tower"], "no image_mean: embeddings must be centred"),
        (["hq/a.png", "sr/a.png", *SETTINGS, "l2=1"], "unknown key 'l2'"),
        (["hq/a.png", "sr/a.png", *SETTINGS, "strategy=both"], "strategy='both' should be one of"),
        (["hq/a.png", "sr/a.png", *SETTINGS, "concepts=2"], "give l1 or concepts, not both"),
        (["hq/a.png", "sr/a.png", *SETTINGS[:3], "concepts=99"], "concepts=99 must be 1 to 8"),
        (["hq/a.png", "sr/a.png", *SETTINGS, "tower=colour_towr"], "did you mean 'colour_tower'"),
        (["hq/a.png", "sr/a.png", *SETTINGS, "image_mean=hq/none.pt"], "no file or folder hq/none.pt"),
        (["hq/a.png", "sr/a.png", *SETTINGS, "--out", "c.jpg"], "a chart ends in .png or .svg"),
        (["hq", "sr", *SETTINGS, "--out", "c.png"], "the table of two folders ends in .csv"),
        (["hq/a.png", "sr", *SETTINGS], "give two files or two folders"),
        (["hq/a.png", "gone.png", *SETTINGS], "no file or folder gone.png"),
        (["hq/a.png", *SETTINGS], "1 paths given; give REFERENCE and CANDIDATE"),
        (["hq/a.png", "--pairs", "p.csv", *SETTINGS], "--pairs names the images; leave hq/a.png out"),
        (["hq/a.png", "words.txt", *SETTINGS], "words.txt"),
        (["hq/a.png", "sr/a.png", "--run", "runs/x"], "runs/x"),
        (["hq/a.png", "sr/a.png", "--run", "runs/x", "l1=1"], "--run fixes the concepts; leave l1=1 out"),
    ],
)
def test_mistakes(world: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert main(["splice", *arguments]) == 2
    said = capsys.readouterr()
    assert message in said.err and said.err.count("Traceback") == 0 and said.out == ""


def test_a_learned_score_in_words(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Trained, scored, explained; the contributions sum to the score, and an export is refused before it begins."""
    settings = {
        "name": "colours",
        "data": {
            "name": "scenes",
            "scenes": 12,
            "candidates_per_scene": 2,
            "size": 64,
            "image_size": 48,
            "split": {"test": 0.4},
        },
        "model": {
            "name": "global_regressor",
            "backbone": {"name": "concepts", "tower": "colour_tower", "size": 40, "image_mean": "photos", "l1": 0.1},
            "head": {"name": "concept_linear", "output": "identity"},
        },
        "trainer": {"accelerator": "cpu", "devices": 1, "precision": "32-true", "max_epochs": 2},
    }
    (world / "e.yaml").write_text(json.dumps(settings))  # JSON is YAML
    assert main(["run", "e.yaml"]) == 0
    run = next(path.parent for path in (world / "runs" / "colours").glob("*/status.json"))
    capsys.readouterr()
    for folder in ("hq", "sr"):
        for name in ("a", "b"):
            with Image.open(world / folder / f"{name}.png") as picture:
                picture.resize((48, 48)).save(world / folder / f"{name}.png")
    assert main(["score", "hq/a.png", "sr/a.png", "--run", str(run)]) == 0
    score = float(capsys.readouterr().out)
    assert main(["splice", "hq/a.png", "sr/a.png", "--run", str(run), "--json", "e.json", "--out", "e.svg"]) == 0
    facts = json.loads((world / "e.json").read_text())
    assert facts["difference"] == pytest.approx(score, abs=1e-5) and score > 0
    assert sum(word["contribution"] for word in facts["contributions"]) == pytest.approx(facts["sum"], abs=1e-5)
    assert facts["sum"] == pytest.approx(facts["difference"], abs=1e-5), "the output function is the identity"
    assert f"difference {score:.4f}"[:-1] in capsys.readouterr().out and "contribution" in (world / "e.svg").read_text()
    assert main(["splice", "hq/b.png", "sr/b.png", "--run", str(run)]) == 0
    assert capsys.readouterr().out == "difference 0.000000: no concept differs\n"
    assert main(["splice", "hq", "sr", "--run", str(run), "--out", "e.csv"]) == 0
    with (world / "e.csv").open(newline="") as file:
        assert [float(row["difference"]) > 0 for row in csv.DictReader(file)] == [True, False]
    capsys.readouterr()
    assert main(["export", str(run)]) == 2
    assert "its backbone cannot be exported (a sparse decomposition takes" in capsys.readouterr().err
