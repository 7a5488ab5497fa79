"""One file that scores as the run does, without this repository; the card beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from scoring_support import Runs, images, regressor

import engine.export
from engine.export import export_run
from lightning_modules.scorer import load_run
from semfid.cli import main
from semfid.errors import UserError
from semfid.scoring.exported import load_exported


def test_torch_alone_can_call_the_file(runs: Runs, exported: Path) -> None:
    score, module = torch.export.load(str(exported)).module(), regressor(runs, "linear")
    for number, (count, height, width) in enumerate([(1, 64, 64), (4, 96, 64), (2, 65, 99), (1, 47, 33), (7, 32, 32)]):
        x, y = images(count, height, width, number), images(count, height, width, 50 + number)
        with torch.no_grad():
            torch.testing.assert_close(score(x, y), module(x, y), atol=1e-5, rtol=0)
            assert module(x, y).abs().min() > 1e-3


def test_the_card_holds_provenance_and_figures(runs: Runs, exported: Path) -> None:
    card, run = Path(f"{exported}.md").read_text(), runs["linear"]
    figures = json.loads((run / "metrics.json").read_text())
    provenance = json.loads((run / "provenance.json").read_text())
    assert f"`linear/{run.name}`" in card and f"weights {load_run(run).facts.weights_hash}" in card
    for key in ("srcc", "krcc", "plcc", "mse", "mae"):
        low, high = figures["interval"].get(key, (None, None))
        interval = f"{low:.4f} to {high:.4f}" if low is not None else ""
        assert f"| {key.upper()} | {figures['pooled'][key]:.4f} | {interval} |" in card
    assert figures["interval"]["srcc"][0] < figures["interval"]["srcc"][1]
    assert f"({figures['pooled']['n']} pairs)" in card
    for key in ("commit", "table_hash", "trunk_identity"):
        assert json.dumps(provenance[key]) in card
    assert provenance["versions"]["torch"] in card
    assert (run / "config.yaml").read_text().strip() in card
    assert "any of at least 32x32; trained on 64x64 (squash)" in card and "LEAKY" not in card


def test_a_leaky_run_says_so_and_a_constant_one_too(runs: Runs) -> None:
    run = runs["tiny_folds"]
    provenance, metrics = run / "provenance.json", run / "metrics.json"
    before = provenance.read_text(), metrics.read_text()
    try:
        provenance.write_text(json.dumps({**json.loads(before[0]), "leaky": True}))
        figures = json.loads(before[1])
        figures["pooled"]["srcc"] = None
        metrics.write_text(json.dumps(figures))
        card = engine.export._card(run, load_run(run), "torch", "s.pt2")
    finally:
        provenance.write_text(before[0])
        metrics.write_text(before[1])
    assert "**LEAKY**" in card and "| SRCC | constant |" in card


def test_one_fold_over_a_target_that_exists(runs: Runs, tmp_path: Path, capsys: Any) -> None:
    target = tmp_path / "s.pt2"
    target.write_text("mine")
    arguments = ["export", str(runs["tiny_folds"]), "--part", "1", "--out", str(target)]
    capsys.readouterr()
    assert main(arguments) == 2
    assert f"semfid: {target} exists; choose another --out, or --replace it" in capsys.readouterr().err
    assert target.read_text() == "mine" and not (tmp_path / "s.pt2.md").exists()
    assert main([*arguments, "--replace"]) == 0
    assert (tmp_path / "s.pt2.md").exists()
    x, y = images(2, 48, 48), images(2, 48, 48, 1)
    with torch.no_grad():
        expected = regressor(runs, "tiny_folds", 1)(x, y)
        torch.testing.assert_close(load_exported(target)(x, y), expected, atol=1e-5, rtol=0)


def test_what_cannot_be_exported(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def says(text: str, *arguments: str) -> None:
        capsys.readouterr()
        assert main(["export", *arguments]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert text in lines[-1] and lines[-1].startswith("semfid: "), lines

    tiny = str(runs["tiny_embedding"])
    says("is not a run folder", str(tmp_path))
    says("is not a run folder", str(tmp_path / "gone"))
    says("has no part 5", tiny, "--part", "5")
    says("does not go with --format torch", tiny, "--out", str(tmp_path / "s.onnx"))
    says("does not go with --format onnx", tiny, "--out", str(tmp_path / "s.pt2"), "--format", "onnx")
    (tmp_path / "file").touch()
    says("file", tiny, "--out", str(tmp_path / "file" / "s.pt2"))

    def refuses(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a shape is\nnot known")

    monkeypatch.setattr(torch.export, "export", refuses)
    says("this run's backbone cannot be exported by torch", tiny, "--out", str(tmp_path / "s.pt2"))
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    says("needs the packages onnx and onnxscript", tiny, "--format", "onnx", "--out", str(tmp_path / "s.onnx"))
    assert not list(tmp_path.glob("s.*"))
    with pytest.raises(UserError, match="is not finished"):
        (tmp_path / "status.json").write_text('{"state": "failed"}')
        export_run(tmp_path, "torch", None, None, False)
