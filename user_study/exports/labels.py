"""pairs.csv: the pair table with votes that the `user_study` datamodule and the source project's loader read as it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Connection, select

from semfid.errors import UserError
from semfid.io.pair_table import SPLITS, PairTable, assign_splits, check_pairs, refuse_leak, write_pairs
from semfid.stats.votes import rate_interval
from user_study.analysis import statistics
from user_study.analysis.queries import count_if
from user_study.database.schema import image, pair, response
from user_study.exports.options import Options

VAL, TEST = 0.1, 0.2
OURS = (
    "img_names", "userStudyScores", "pair_id", "source_id", "reference", "candidate", "origin", "yes_votes", "votes",
    "difference", "wilson_low", "wilson_high", "beta_mean", "entropy", "yes", "no", "unsure", "quota", "split",
)  # fmt: skip
UNSURE_IS = 0.5  # of a yes


@dataclass(frozen=True)
class Pictures:
    """Paths of the pictures of an export: file of images/ -> path relative to the table."""

    paths: dict[tuple[int, str], str]
    files: dict[str, str]  # path in the export -> file in images/

    def of(self, pair_id: int, side: str) -> str:
        """Path of the `reference` or `candidate` of a pair."""
        return self.paths[(pair_id, side)]


def pictures(c: Connection) -> Pictures:
    """Names in folders HQ and SR after the files that were imported, so that all loaders find them."""
    files = {row.id: row.file for row in c.execute(select(image.c.id, image.c.file))}
    rows = c.execute(
        select(pair.c.id, pair.c.reference_image, pair.c.candidate_image, pair.c.reference_name, pair.c.candidate_name)
        .where(pair.c.kind == "main")
        .order_by(pair.c.id)
    ).all()
    paths: dict[tuple[int, str], str] = {}
    taken: dict[str, str] = {}
    for row in rows:
        for side, folder in (("reference", "HQ"), ("candidate", "SR")):
            file = files[getattr(row, f"{side}_image")]
            stem = Path(getattr(row, f"{side}_name")).stem
            path = f"{folder}/{stem}{Path(file).suffix}"
            if taken.setdefault(path, file) != file:  # two photos of two imports are called alike
                path = f"{folder}/{stem}-{file[:8]}{Path(file).suffix}"
                taken[path] = file
            paths[(row.id, side)] = path
    return Pictures(paths, taken)


def label_frame(c: Connection, options: Options) -> pd.DataFrame:
    """One row per active main pair that somebody answered, in the order of the import; without paths."""
    rows = c.execute(
        select(pair).where(pair.c.kind == "main", *(() if options.raw else (pair.c.active == 1,))).order_by(pair.c.id)
    ).all()
    tallies = _all_answers(c) if options.raw else {row.id: (row.yes, row.no, row.unsure) for row in rows}
    frame = pd.DataFrame(
        [
            {
                "id": row.id, "pair_id": row.pair_key, "source_id": row.source_key, "origin": row.origin,
                "img_names": row.candidate_name, "quota": row.quota,
                **dict(zip(("yes", "no", "unsure"), tallies.get(row.id, (0, 0, 0)), strict=True)), **_extra(row.extra),
            }
            for row in rows
        ]
    )  # fmt: skip
    if frame.empty:
        return frame
    frame = _split(frame, options.seed)
    frame["votes"] = frame["yes"] + frame["no"] + frame["unsure"]
    frame = frame[frame["votes"] > 0].reset_index(drop=True)
    yes = frame["yes"] + UNSURE_IS * frame["unsure"]
    frame["yes_votes"] = yes if frame["unsure"].any() else frame["yes"]
    votes = frame["votes"].to_numpy()
    frame["difference"] = frame["userStudyScores"] = yes / votes
    frame["wilson_low"], frame["wilson_high"] = rate_interval(yes, votes)
    frame["beta_mean"] = statistics.beta_mean(yes, votes)
    frame["entropy"] = statistics.entropy(yes, votes)
    for name in ("difference", "userStudyScores", "wilson_low", "wilson_high", "beta_mean", "entropy"):
        frame[name] = frame[name].round(6)
    return frame


def labels(c: Connection, path: Path, options: Options, where: Mapping[tuple[int, str], str]) -> int:
    """Write the table; `where` gives the path of each picture, relative to the table's folder."""
    frame = label_frame(c, options)
    if frame.empty:
        path.write_text(",".join(OURS) + "\n", encoding="utf-8")
        return 0
    for side in ("reference", "candidate"):
        frame[side] = [where[(int(number), side)] for number in frame["id"]]
    ours = [name for name in OURS if name in frame.columns]
    rest = [name for name in frame.columns if name not in (*OURS, "id")]
    table = check_pairs(PairTable(frame[[*ours, *rest]], path.parent, str(path)))
    write_pairs(table, path)
    return len(frame)


def _all_answers(c: Connection) -> dict[int, tuple[int, int, int]]:
    """Every answer to main pairs that was not taken back, whoever gave it."""
    found = c.execute(
        select(response.c.pair_id, *(count_if(response.c.answer == answer) for answer in ("yes", "no", "unsure")))
        .where(response.c.kind == "main", response.c.why_not.is_distinct_from("undone"))
        .group_by(response.c.pair_id)
    )
    return {row[0]: (int(row[1]), int(row[2]), int(row[3])) for row in found}


def _extra(body: str) -> dict[str, Any]:
    """Further columns of the imported table; those with a name of ours, or that no longer hold, get another name."""
    own: dict[str, Any] = json.loads(body)
    renamed = {*OURS, "id", "map", "fold", "kind", "truth"} - {"split"}
    return {f"imported_{name}" if name in renamed else name: value for name, value in own.items()}


def _split(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The imported table's own split where it has a whole one; else by photo, drawn over all pairs, answered or not."""
    if "split" in frame.columns:
        if frame["split"].isin(SPLITS).all():
            refuse_leak(frame, "split", "the study")
            return frame
        frame = frame.drop(columns="split")
    table = PairTable(frame.assign(reference="-", candidate="-"), Path(), "the study")
    try:
        side = assign_splits(table, VAL, TEST, seed).frame["split"]
    except UserError:  # fewer photos than parts: cross-validation is all that is possible with them
        return frame
    return frame.assign(split=np.asarray(side))
