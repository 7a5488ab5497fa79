"""experiments/study_simulated.yaml on an export of the study platform, a few steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from experiment_support import tables
from run_support import ROOT, run_folders
from sqlalchemy import update

from semfid.cli import main
from semfid.io.pair_table import read_pairs
from user_study.core.folder import create_study
from user_study.core.settings import StudySettings
from user_study.database.schema import pair
from user_study.demo import TABLE
from user_study.exports.export import export
from user_study.imports.import_pairs import import_pairs


def test_a_regressor_trains_on_what_a_study_exports(shrink: Callable[[Path], list[str]], tmp_path: Path) -> None:
    demo = read_pairs(TABLE)
    whole = {side: [str(path) for path in demo.paths(side)[:16]] for side in ("reference", "candidate")}
    demo.frame.head(16).assign(**whole).to_csv(tmp_path / "pairs.csv", index=False)
    study = create_study(tmp_path / "study", StudySettings())
    import_pairs(study.database, study.images, [tmp_path / "pairs.csv"])
    with study.database.write() as c:
        for number in range(1, 17):
            c.execute(update(pair).where(pair.c.id == number).values(done=8, yes=number % 9, no=8 - number % 9))
    export(study.database, study.images, tmp_path / "export")
    study.database.close()
    path = ROOT / "experiments" / "study_simulated.yaml"
    words = [
        *shrink(path),
        f"data.answers={tmp_path / 'export' / 'pairs.csv'}",
        "data.split={by: source, folds: 2, val: 0}",
    ]
    assert main(["ablate", str(path), *words]) == 0
    table = tables(tmp_path / "runs", path.stem)
    assert len(table) == 2 + 2 and (table["n"] == 16).all() and (table["sources"] == 8).all()
    for run in run_folders(tmp_path / "runs"):
        assert json.loads((run / "status.json").read_text())["state"] == "done"
    assert (
        "noise ceiling of these labels (8 votes a pair)" in (tmp_path / "runs" / path.stem / "results.md").read_text()
    )
