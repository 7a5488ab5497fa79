"""Pairs among the candidates of one photo, beside those with the photo itself."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pandas as pd

from semfid.errors import UserError
from semfid.io.pair_table import PairTable

PAIRING = "pairing"
REFERENCE, CANDIDATES = "reference", "candidates"
CARRIED = ("source_id", "split", "fold")  # equal for all pairs of a source, or the split leaks


def with_candidate_pairs(table: PairTable) -> PairTable:
    """The table with each two candidates of a source as one more row, behind the others.

    The column ``pairing`` says ``reference`` or ``candidates``. A new row's pair_id and origin are those of its two, joined by
    ``~``; the first one is its reference. Labels and other columns are empty: they are of the pair with the photo. Rows that
    an earlier call has added stay as they are.

    Raises:
        UserError: a table with votes, which must be complete.
    """
    if "votes" in table.frame:
        raise UserError(
            f"{table.name} holds votes, and nobody has voted on pairs of two candidates; take pairs=reference, or a copy "
            "without the columns yes_votes and votes"
        )
    frame = table.frame
    kinds = frame[PAIRING] if PAIRING in frame else pd.Series(REFERENCE, index=frame.index)
    frame = frame.assign(**{PAIRING: kinds})
    have = set(frame["pair_id"])
    added: list[dict[str, Any]] = []
    own = frame[kinds != CANDIDATES]
    for _, rows in own.groupby("source_id", sort=False):
        distinct = rows.drop_duplicates("candidate")
        for (_, a), (_, b) in combinations(distinct.iterrows(), 2):
            name = f"{a['pair_id']}~{b['pair_id']}"
            if name in have:
                continue
            row = {column: a[column] for column in CARRIED if column in frame}
            row |= {"pair_id": name, "reference": a["candidate"], "candidate": b["candidate"], PAIRING: CANDIDATES}
            if "origin" in frame:
                row["origin"] = f"{a['origin']}~{b['origin']}"
            added.append(row)
    if not added:
        return table.with_frame(frame)
    more = pd.DataFrame(added)
    whole = pd.concat([frame, more], ignore_index=True)
    for column in map(str, frame.columns):
        if column not in more and not pd.api.types.is_numeric_dtype(frame[column]):
            whole[column] = whole[column].fillna("")
    return table.with_frame(whole)
