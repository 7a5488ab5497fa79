"""An ONNX file that scores as the run does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scoring_support import Runs, images, regressor

from lightning_modules.scorer import load_run
from semfid.cli import main


def test_onnxruntime_agrees(runs: Runs, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import onnxruntime

    target, finished = tmp_path / "deep" / "s.onnx", runs["tiny_folds"]  # whose training speaks too
    capfd.readouterr()
    assert main(["export", str(finished), "--format", "onnx", "--out", str(target)]) == 0
    printed = capfd.readouterr()
    assert printed.out == f"{target} (card: {target}.md)\n" and printed.err == ""
    session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    run = load_run(finished)
    facts = json.loads(session.get_modelmeta().custom_metadata_map["semfid"])["facts"]
    assert facts["run"] == run.facts.run and facts["weights_hash"] == run.facts.weights_hash
    module = [regressor(runs, "tiny_folds", part) for part in range(2)]
    for count, height, width in [(1, 64, 64), (2, 65, 99), (5, 96, 32)]:
        x, y = images(count, height, width), images(count, height, width, 1)
        score, maps = session.run(["difference", "map"], {"reference": x.numpy(), "candidate": y.numpy()})
        with torch.no_grad():
            expected = torch.stack([part(x, y) for part in module]).mean(dim=0)
            np.testing.assert_allclose(score, expected, atol=1e-4)
            np.testing.assert_allclose(maps, run.maps(run.describe(x), run.describe(y)), atol=1e-4)
    card = (target.parent / "s.onnx.md").read_text()
    assert "onnxruntime.InferenceSession" in card and "torch.export.load" not in card
