"""`semfid.score` from Python: rows, settings by name, mistakes as exceptions."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from scoring_support import ToyScorer, toy_score, write_folders

import semfid.scoring.score
from semfid import ScoreTable, UserError, score


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> ToyScorer:
    """Put in the place of the default metric."""
    scorer = ToyScorer()
    monkeypatch.setattr(semfid.scoring.score, "load_scorer", lambda *_: scorer)
    return scorer


def test_two_images_give_one_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    references, candidates = write_folders(tmp_path, 1)
    reference, candidate = next(references.glob("*.png")), sorted(candidates.rglob("*.png"))[0]
    table = score(reference, candidate, size="native")
    assert isinstance(table, ScoreTable) and len(table) == 1
    assert table.rows[0]["difference"] == pytest.approx(toy_score(reference, candidate), abs=1e-6)
    assert capsys.readouterr() == ("", "")


def test_two_folders_give_a_row_per_pair(tmp_path: Path) -> None:
    references, candidates = write_folders(tmp_path, 3)
    (candidates / "broken.png").write_bytes(b"no image")
    (references / "broken.png").write_bytes(b"no image")
    (references / "lonely.png").write_bytes(b"")
    table = score(str(references), str(candidates), size="native", out=tmp_path / "s.csv")
    good = [row for row in table if not row["error"]]
    assert len(table) == len(good) + 1 and len(good) >= 3 and table.missing == ["lonely.png"]
    for row in good:
        assert row["difference"] == pytest.approx(toy_score(Path(row["reference"]), Path(row["candidate"])), abs=1e-6)
    assert (tmp_path / "s.csv").read_text() == table.as_csv()
    assert [row["pair_id"] for row in csv.DictReader(io.StringIO(table.as_csv()))] == [row["pair_id"] for row in table]


def test_mistakes_are_user_errors(tmp_path: Path) -> None:
    references, candidates = write_folders(tmp_path, 1)
    (references / "lonely.png").write_bytes(b"")
    for keywords, fault in (
        ({"strict": True}, "--strict: nothing was scored"),
        ({"size": "huge"}, "--size huge: give train, native"),
        ({"map_scale": "-1"}, "--map-scale -1"),
        ({"pairs": "table.csv"}, "leave REFERENCE and CANDIDATE out"),
    ):
        with pytest.raises(UserError, match=fault):
            score(references, candidates, **keywords)  # type: ignore[arg-type]
