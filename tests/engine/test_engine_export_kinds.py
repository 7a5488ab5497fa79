"""Exported files of every kind of head, of several folds, and of a backbone for images of one size score as their runs do."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from scoring_support import Runs, images, regressor

from engine.export import export_run
from lightning_modules.scorer import load_run
from semfid.scoring.exported import load_exported


@pytest.mark.parametrize(
    "name", ["tiny_folds", "tiny_poolings", "tiny_embedding", "tiny_evidence", "tiny_unet", "fixed"]
)
def test_other_heads_folds_and_backbones_of_one_size(runs: Runs, tmp_path: Path, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # torch's doubts are not the user's
        target = export_run(runs[name], "torch", tmp_path / "s.pt2", None, False)
    scorer, run = load_exported(target), load_run(runs[name])
    assert scorer.facts == run.facts
    module = [regressor(runs, name, part) for part in range(2 if name == "tiny_folds" else 1)]
    sizes = [(1, 160, 160), (3, 160, 160)] if name == "fixed" else [(1, 65, 99), (3, 64, 64)]
    for count, height, width in sizes:
        x, y = images(count, height, width), images(count, height, width, 1)
        with torch.no_grad():
            expected = torch.stack([part(x, y) for part in module]).mean(dim=0)
            torch.testing.assert_close(scorer(x, y), expected, atol=1e-5, rtol=0)
            if run.facts.gives_maps:
                expected_map = run.maps(run.describe(x), run.describe(y))
                torch.testing.assert_close(
                    scorer.maps(scorer.describe(x), scorer.describe(y)), expected_map, atol=1e-5, rtol=1e-4
                )
            else:
                with pytest.raises(NotImplementedError, match="gives no maps"):
                    scorer.maps(scorer.describe(x), scorer.describe(y))
    card = (tmp_path / "s.pt2.md").read_text()
    assert f"heads averaged: {len(module)}" in card
    assert ("160x160 only" in card) == (name == "fixed")
