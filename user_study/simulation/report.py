"""What a simulation proves: who was excluded, whether the scores recover the truth, whether every quota is exact."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sqlalchemy import select

from semfid.io.pair_table import read_pairs
from semfid.stats.correlation import srcc
from user_study.core.folder import StudyFolder
from user_study.database.schema import pair
from user_study.exports.export import export
from user_study.exports.options import Options
from user_study.simulation.people import KINDS
from user_study.simulation.running import Outcome


@dataclass(frozen=True)
class Recovery:
    """Exported scores against the known rates.

    Attributes:
        pairs, votes: that the figures are over.
        srcc: Spearman's correlation.
        mse: mean squared error; `chance`: what it would be if only the dice were at fault, mean of p (1 - p) / votes.
    """

    pairs: int
    votes: float
    srcc: float
    mse: float
    chance: float


@dataclass(frozen=True)
class Report:
    """All figures.

    Attributes:
        people: by kind: people, answers, excluded, flagged (a review is asked for, nothing more).
        clean, raw: with and without exclusion; None without the rates or without answers.
        quota: answers wanted of a pair; `over`: pairs that have more; `full`: pairs that have exactly that many.
    """

    people: pd.DataFrame
    clean: Recovery | None
    raw: Recovery | None
    quota: int
    pairs: int
    full: int
    over: int
    miscounted: int
    seconds: float

    @property
    def wrongly_excluded(self) -> int:
        """Honest people who are out."""
        return int(self.people.loc[self.people.index == "honest", "excluded"].sum())

    def lines(self) -> list[str]:
        """In words."""
        out = [f"{'kind':14}{'people':>8}{'answers':>9}{'excluded':>10}{'flagged':>9}"]
        for kind, row in self.people.iterrows():
            out.append(f"{kind!s:14}{row['people']:8}{row['answers']:9}{row['excluded']:10}{row['flagged']:9}")
        for name, found in (("with exclusion", self.clean), ("without", self.raw)):
            if found is not None:
                out.append(
                    f"{name}: SRCC {found.srcc:.3f}, MSE {found.mse:.4f} (chance alone {found.chance:.4f}) against the true "
                    f"rates, {found.pairs} pairs, {found.votes:.1f} votes each"
                )
        out.append(
            f"quota {self.quota}: {self.full} of {self.pairs} pairs full, {self.over} over it, "
            f"{self.miscounted} whose counters differ from their answers"
        )
        out.append(f"{self.seconds:.0f} s")
        return out


def make_report(study: StudyFolder, outcomes: Sequence[Outcome], seconds: float) -> Report:
    """Read everything from exports and counters, as a researcher would."""
    with tempfile.TemporaryDirectory(prefix="semfid-simulate-") as work:
        folder = Path(work)
        export(study.database, study.images, folder / "raw.csv", "pairs", Options(raw=True))
        export(study.database, study.images, folder / "clean.csv", "pairs")
        export(study.database, study.images, folder / "people.csv", "participants", Options(raw=True, names=True))
        export(study.database, study.images, folder / "responses.csv", "responses")
        clean, raw = (_recovery(folder / name) for name in ("clean.csv", "raw.csv"))
        people = _people(pd.read_csv(folder / "people.csv", dtype={"nickname": str}, keep_default_na=False), outcomes)
        responses = pd.read_csv(folder / "responses.csv", dtype={"pair_id": str}, keep_default_na=False)
    counted = responses[responses["counted"] == 1].groupby("pair_id").size()
    with study.database.read() as c:
        rows = c.execute(
            select(pair.c.pair_key, pair.c.done, pair.c.quota).where(pair.c.kind == "main", pair.c.active == 1)
        ).all()
    return Report(
        people,
        clean,
        raw,
        quota=max((row.quota for row in rows), default=0),
        pairs=len(rows),
        full=sum(row.done == row.quota for row in rows),
        over=sum(int(counted.get(row.pair_key, 0)) > row.quota for row in rows),
        miscounted=sum(int(counted.get(row.pair_key, 0)) != row.done for row in rows),
        seconds=seconds,
    )


def _recovery(table: Path) -> Recovery | None:
    if len(table.read_text(encoding="utf-8").splitlines()) < 2:
        return None
    frame = read_pairs(table).frame
    if "true_rate" not in frame.columns:
        return None
    truth, scores = frame["true_rate"].to_numpy(float), frame["difference"].to_numpy(float)
    votes = frame["votes"].to_numpy(float)
    return Recovery(
        len(frame),
        float(votes.mean()),
        srcc(scores, truth),
        float(np.mean((scores - truth) ** 2)),
        float(np.mean(truth * (1 - truth) / votes)),
    )


def _people(exported: pd.DataFrame, outcomes: Sequence[Outcome]) -> pd.DataFrame:
    known = {row["nickname"]: row for row in exported.to_dict("records")}
    rows = []
    for outcome in outcomes:
        person = known.get(outcome.nickname)
        if person is None:
            continue  # came too late, or was not let in
        out = person["standing"] == "excluded"
        rows.append((outcome.kind, 1, outcome.answered, int(out), int(not out and person["flags"] != "")))
    frame = pd.DataFrame(rows, columns=["kind", "people", "answers", "excluded", "flagged"])
    summed = frame.groupby("kind").sum()
    return summed.reindex([kind for kind in KINDS if kind in summed.index])
