"""`semfid score A B`, the metric and the loss, right after installation: with the metric of the package."""

from __future__ import annotations

import copy
import csv
import io
import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from default_metric_support import heads, spec, timm_network
from PIL import Image
from scoring_support import loaded_image, write_folders, write_picture
from torchmetrics import MetricCollection

import semfid.scoring.default_metric as module
import semfid.scoring.text
from semfid import SemanticDifference, SemanticDifferenceLoss, UserError
from semfid.cli import main
from semfid.scoring.default_metric import DefaultMetric, load_default_metric

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `semfid score` without the extra `text`; returns exit code, standard output, standard error."""
    monkeypatch.setattr(semfid.scoring.text, "available", lambda: False)

    def run(*arguments: Any) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["score", *map(str, arguments)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def scorer() -> DefaultMetric:
    return load_default_metric()


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return write_picture(tmp_path / "x.png", 1, (120, 90)), write_picture(tmp_path / "y.png", 1, (120, 90), changed=3)


def score_of(scorer: DefaultMetric, x: Path, y: Path, side: int | None = None) -> float:
    with torch.no_grad():
        return float(scorer(loaded_image(x, side), loaded_image(y, side)))


def test_two_images(scorer: DefaultMetric, pair: tuple[Path, Path], command: Command) -> None:
    code, out, err = command(*pair)
    difference = score_of(scorer, *pair)
    assert code == 0 and out == f"{float(out):.6f}\n" and float(out) == pytest.approx(difference, abs=2e-6)
    lines = err.strip().splitlines()
    assert lines[0] == f"in words: {scorer.word(difference)}" and lines[1].startswith("where: x ")
    assert lines[1].endswith("%) of the map") and 1 <= lines[1].count("), x ") + 1 <= 3
    assert lines[2] == f"{scorer.facts.run}, weights {scorer.facts.weights_hash}, size native" and len(lines) == 3
    small = float(command(*pair, "--size", "64")[1])
    assert small == pytest.approx(score_of(scorer, *pair, 64), abs=2e-6) and small != float(out)


def test_the_same_image_twice(scorer: DefaultMetric, pair: tuple[Path, Path], command: Command) -> None:
    code, out, err = command(pair[0], pair[0])
    assert (code, out) == (0, "0.000000\n")
    assert f"in words: {scorer.word(0.0)}\n" in err and "where" not in err


def test_what_is_written_is_told_where_the_extra_is(
    pair: tuple[Path, Path], command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(semfid.scoring.text, "available", lambda: True)
    monkeypatch.setattr(semfid.scoring.text, "compare_text", lambda *images: seen.append(images))
    monkeypatch.setattr(semfid.scoring.text, "describe", lambda _: "text: OUTDOOR -> SUTOOOR (changed)")
    code, out, err = command(*pair)
    assert code == 0 and len(out.split()) == 1 and "text: OUTDOOR -> SUTOOOR (changed)\n" in err
    assert seen == [pair]


def test_two_folders(scorer: DefaultMetric, tmp_path: Path, command: Command) -> None:
    folders = write_folders(tmp_path, 2, ("A", "B"), ((64, 48), (90, 70)))
    code, out, err = command(*folders)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0 and len(rows) == 4 and "in words" not in err
    for row in rows:
        difference = score_of(scorer, Path(row["reference"]), Path(row["candidate"]))
        assert float(row["difference"]) == pytest.approx(difference, abs=1e-5)
        assert row["word"] == scorer.word(difference) and row["regions"] == "" and row["size"].endswith(" native")
    code, _, err = command(*folders, "--out", tmp_path / "s.json", "--map", tmp_path / "maps", "--size", "64")
    assert code == 0 and len(list((tmp_path / "maps").iterdir())) == 16
    for own in json.loads((tmp_path / "s.json").read_text())["pairs"]:
        values = np.load(tmp_path / "maps" / f"{own['pair_id']}_map.npy")
        assert values.shape == (64, 64) and 1 <= len(own["regions"]) <= 3 and own["size"] == "64x64 squash"
        for one in own["regions"]:
            inside = values[one["y"] : one["y"] + one["height"], one["x"] : one["x"] + one["width"]]
            assert one["share"] == pytest.approx(inside.sum() / values.sum(), abs=1e-3)


def test_a_finished_table_of_before_serves_again(scorer: DefaultMetric, tmp_path: Path, command: Command) -> None:
    """Its columns were fewer."""
    folders = write_folders(tmp_path, 1, ("A", "B"))
    out = tmp_path / "s.csv"
    assert command(*folders, "--out", out)[0] == 0
    table = pd.read_csv(out)
    table.drop(columns=["word", "regions"]).to_csv(out, index=False)
    code, _, err = command(*folders, "--out", out)
    assert code == 0 and "2 of 2 pairs were scored before" in err
    again = pd.read_csv(out)
    assert (
        again["word"].tolist() == table["word"].tolist()
        and again["difference"].tolist() == table["difference"].tolist()
    )


@pytest.mark.parametrize(
    ("size", "changed", "words", "says"),
    [
        ((120, 90), (120, 80), [], "y.png has 120x80 pixels, its reference x.png 120x90; scale one of them"),
        ((40, 31), (40, 31), [], "x.png has 40x31 pixels; at least 32x32"),
        ((64, 64), (64, 64), ["--part", "0"], "the default metric has one head; leave --part out"),
        ((64, 64), (64, 64), ["--size", "16"], "--size 16: give train, native, or a number of pixels of at least 32"),
    ],
)
def test_refused(
    tmp_path: Path, command: Command, size: tuple[int, int], changed: tuple[int, int], words: list[str], says: str
) -> None:
    x, y = write_picture(tmp_path / "x.png", 1, size), write_picture(tmp_path / "y.png", 1, changed)
    code, out, err = command(x, y, *words)
    assert (code, out) == (2, "")
    (line,) = [line for line in err.splitlines() if line.startswith("semfid: ")]
    assert says in line


def test_a_damaged_file_is_named_by_hash(
    pair: tuple[Path, Path], tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from semfid.scoring.weights import FILE, SHA256

    shutil.copy(module.PACKAGED / FILE, tmp_path / FILE)
    with (tmp_path / FILE).open("r+b") as file:
        file.seek(5000)
        file.write(b"damage")
    monkeypatch.setattr(module, "PACKAGED", tmp_path)
    code, out, err = command(*pair)
    assert (code, out) == (2, "") and len(err.splitlines()) == 1
    assert f"{FILE} is damaged: its SHA-256 is " in err and f"not {SHA256}; install semfid again" in err


def test_another_metric_of_the_kind(pair: tuple[Path, Path], tmp_path: Path, command: Command) -> None:
    from engine.default_metric_file import save_default_metric

    network, (predictor, map_head) = timm_network(), heads()
    save_default_metric(tmp_path / "m.pt", network.state_dict(), predictor, map_head, spec())
    code, out, err = command(*pair, "--run", tmp_path / "m.pt")
    assert code == 0 and float(out) > 0 and "random metric, weights " in err and "in words: " in err
    flat = replace(spec(), map_input=None, map_head=None)
    save_default_metric(tmp_path / "flat.pt", network.state_dict(), predictor, None, flat)
    code, again, err = command(*pair, "--run", tmp_path / "flat.pt")
    assert code == 0 and again == out and "in words: " in err and "where" not in err
    code, out, err = command(*pair, "--run", tmp_path / "flat.pt", "--map", tmp_path / "maps")
    assert (code, out) == (2, "") and "random metric gives no maps" in err and "leave --run out" in err


def test_metric_and_loss_without_arguments(scorer: DefaultMetric) -> None:
    draw = torch.Generator().manual_seed(0)
    x, y = torch.rand(3, 3, 48, 40, generator=draw), torch.rand(3, 3, 48, 40, generator=draw)
    expected = scorer(x, y)
    metric, loss = SemanticDifference(reduction="none"), SemanticDifferenceLoss(reduction="none")
    metric.update(x, y)
    torch.testing.assert_close(metric.compute(), expected, atol=1e-6, rtol=0)
    changing = y.clone().requires_grad_()
    value = loss(x, changing)
    torch.testing.assert_close(value, expected, atol=1e-6, rtol=0)
    value.sum().backward()
    assert changing.grad is not None and float(changing.grad.abs().max()) > 0
    same = x.clone().requires_grad_()
    value = loss(loss.describe(x), same)
    value.sum().backward()
    assert not value.any() and same.grad is not None and bool(same.grad.isfinite().all())
    for held in (metric, loss):
        assert held.state_dict() == {}
        for made in (copy.deepcopy(held), pickle.loads(pickle.dumps(held))):
            assert torch.equal(made.scorer(x, y), expected)
    with pytest.raises(UserError, match="reference has 40x31 pixels; at least 32x32"):
        loss(x[..., :31, :], y[..., :31, :])
    collection = MetricCollection({"a": SemanticDifference(), "b": SemanticDifference(scorer)})
    collection.update(x, y)
    assert float(collection.compute()["a"]) == pytest.approx(float(expected.mean()), abs=1e-6)


def test_descent_on_a_candidate_lowers_the_loss() -> None:
    """From a blurred photo-like image towards its reference."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
    sharp = torch.from_numpy(np.asarray(small.resize((72, 72), Image.Resampling.NEAREST)).transpose(2, 0, 1).copy())
    x = sharp[None].float() / 255
    y = torch.nn.functional.avg_pool2d(x, 9, 1, 4).requires_grad_()
    loss, values = SemanticDifferenceLoss(), []
    optimizer = torch.optim.Adam([y], lr=0.02)
    for _ in range(12):
        optimizer.zero_grad()
        value = loss(x, y.clamp(0, 1))
        value.backward()
        optimizer.step()
        values.append(float(value.detach()))
    assert values[-1] < 0.9 * values[0], values
