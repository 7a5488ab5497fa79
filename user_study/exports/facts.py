"""study.json: under which settings and rules the answers were given, and what is in the export."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select

from user_study.analysis.overview import reliability
from user_study.core import study_state
from user_study.core.clock import now_ms
from user_study.core.version import version
from user_study.database.schema import pair, participant, response, settings_version
from user_study.exports.options import Options, iso
from user_study.trial import screening

FORMAT = 1  # raise it when a file or a column changes its meaning


def study_facts(c: Connection, options: Options, files: Mapping[str, int], folder: Path) -> dict[str, Any]:
    """JSON values.

    Args:
        files: name of each table -> its number of rows; they are in `folder` and are hashed.
    """
    facts = study_state.facts(c)
    since = study_state.live_since(c)
    return {
        "format": FORMAT,
        "program": {"name": "semfid", "version": version()},
        "exported_at": iso(now_ms()),
        "kind": "raw" if options.raw else "clean",
        "split_seed": options.seed,
        "state": facts.state,
        "live_since": iso(since) or None,
        "settings": facts.settings.to_dict(),
        "settings_hash": facts.settings.hash,
        "settings_versions": _versions(c),
        "exclusion": {
            "rules": facts.settings.to_dict()["rules"],
            "rules_hash": screening.rules_hash(facts.settings.rules),
            "meaning": "failing the traps excludes; of the other rules one asks for a review, two exclude",
        },
        "counts": _counts(c),
        "reliability": _reliability(c, facts.settings.answers == "unsure"),
        "files": {
            name: {"rows": rows, "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()}
            for name, rows in files.items()
        },
    }


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _versions(c: Connection) -> list[dict[str, Any]]:
    """Every settings version that answers were given under, or that is in force."""
    tally = c.execute(select(response.c.settings_id, func.count()).group_by(response.c.settings_id))
    used = {number: count for number, count in tally}
    rows = c.execute(select(settings_version).order_by(settings_version.c.id)).all()
    return [
        {
            "id": row.id, "hash": row.hash, "saved_at": iso(row.created_at), "answers": used.get(row.id, 0),
            "settings": json.loads(row.body),
        }
        for row in rows
        if row.id in used or row is rows[-1]
    ]  # fmt: skip


def _counts(c: Connection) -> dict[str, Any]:
    main = [pair.c.kind == "main", pair.c.active == 1]
    pairs = c.execute(select(func.count(), func.sum(pair.c.done), func.sum(pair.c.quota)).where(*main)).one()
    unanswered = c.execute(select(func.count()).where(*main, pair.c.done == 0)).scalar_one()
    people = c.execute(
        select(participant.c.role, participant.c.standing, func.count()).group_by(
            participant.c.role, participant.c.standing
        )
    ).all()
    reasons = c.execute(
        select(response.c.kind, response.c.counted, response.c.why_not, func.count())
        .group_by(response.c.kind, response.c.counted, response.c.why_not)
        .order_by(response.c.kind, response.c.counted)
    ).all()
    return {
        "main_pairs": int(pairs[0]),
        "main_pairs_without_answer": int(unanswered),
        "answers_counted": int(pairs[1] or 0),
        "answers_wanted": int(pairs[2] or 0),
        "participants": {f"{role} {standing}": count for role, standing, count in people},
        "answers": [
            {"kind": kind, "counted": counted, "why_not": why_not, "answers": count}
            for kind, counted, why_not, count in reasons
        ],
    }


def _reliability(c: Connection, unsure: bool) -> dict[str, Any]:
    found = reliability(c, unsure)
    values = {**vars(found.agreement), "split_half_srcc": found.split_half}
    return {name: _finite(value) for name, value in values.items()}


def _finite(value: float) -> float | None:
    """JSON has no nan; whole numbers stay whole."""
    if not math.isfinite(value):
        return None
    return round(value, 6) if isinstance(value, float) else value
