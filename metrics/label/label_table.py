"""`label_images` for a whole table: in shards or at once, into a new table and a file that says what made its columns."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from metrics.label.image_labels import Caches, Kind, Labels, Tools, label_images
from metrics.label.pairing import with_candidate_pairs
from metrics.label.tables import locked, rebased
from models.segmenters.region_store import read_json, write_json
from semfid.errors import UserError
from semfid.io.pair_table import PairTable, write_pairs
from semfid.io.sharding import Shard
from semfid.progress import Stage

Pairs = Literal["reference", "all"]
ERROR = "label_error"
PATHS = ("reference", "candidate", "map", "map_before")


@dataclass(frozen=True)
class Request:
    """What is wanted, beside the models.

    Attributes:
        kind: the label.
        prompt: what the captioner is asked of each image.
        pairs: ``all``: each two candidates of a source are further rows.
        drop_unlabelled: leave rows out of the new table that got no label.
    """

    kind: Kind
    prompt: str
    pairs: Pairs = "reference"
    drop_unlabelled: bool = False


@dataclass(frozen=True)
class Outcome:
    """How it went, of this process's rows.

    Attributes:
        rows: how many there are.
        labelled: how many have the label.
        errors: pair_id to reason.
        warnings: sentences.
        waiting: shards that are not done yet; the last one to be done writes the table.
    """

    rows: int
    labelled: int
    errors: Mapping[str, str]
    warnings: list[str] = field(default_factory=list)
    waiting: int = 0


def label_table(
    table: PairTable, out: Path, request: Request, tools: Tools, caches: Caches, stage: Stage, shard: Shard
) -> Outcome:
    """Add the columns of a label to a table, which keeps its others.

    A pair that fails has its reason in ``label_error`` and no label; it is tried again by the next run. ``<out>.labels.json``
    says of each column which models made it.

    Args:
        out: the table to write; its paths are relative to its own folder.
        shard: its rows, by source, are this process's; the process that is done last writes the table.

    Raises:
        UserError: as `label_images` and `with_candidate_pairs`; no row is left where unlabelled ones are dropped.
    """
    whole = with_candidate_pairs(table) if request.pairs == "all" else table
    rows = [row for row, source in enumerate(whole.frame["source_id"]) if shard.holds(str(source))]
    part = PairTable(whole.frame.iloc[rows].reset_index(drop=True), whole.root, whole.name)
    labels = label_images(part, request.kind, tools, request.prompt, caches, stage)
    own = _Part.of(part, labels)
    made_with = _made_with(request, tools)
    waiting = 0
    if shard.count == 1:
        _write(whole, out, own, request, made_with)
    else:
        parts = out.with_name(f"{out.stem}_parts")
        key = _hash([request.kind, request.pairs, request.drop_unlabelled, made_with, whole.content_hash()])
        with locked(parts, wait=True):
            write_json(parts / f"{shard.index}-of-{shard.count}-{key}.json", own.as_json())
            files = [parts / f"{index}-of-{shard.count}-{key}.json" for index in range(shard.count)]
            waiting = sum(not file.is_file() for file in files)
            if not waiting:
                _write(whole, out, _Part.joined([_Part(**read_json(file)) for file in files]), request, made_with)
                shutil.rmtree(parts)
    return Outcome(len(part), own.labelled(request.kind), own.errors, labels.warnings, waiting)


@dataclass(frozen=True)
class _Part:
    """Labels by pair_id; a blank or missing value is no label."""

    columns: dict[str, dict[str, Any]]
    errors: dict[str, str]

    @classmethod
    def of(cls, table: PairTable, labels: Labels) -> _Part:
        ids = [str(value) for value in table.frame["pair_id"]]
        columns = {name: dict(zip(ids, values, strict=True)) for name, values in labels.columns.items()}
        return cls(columns, {ids[row]: reason for row, reason in sorted(labels.errors.items())})

    @classmethod
    def joined(cls, parts: list[_Part]) -> _Part:
        columns: dict[str, dict[str, Any]] = {}
        for part in parts:
            for name, values in part.columns.items():
                columns.setdefault(name, {}).update(
                    {key: math.nan if one is None else one for key, one in values.items()}
                )
        return cls(columns, {key: reason for part in parts for key, reason in part.errors.items()})

    def as_json(self) -> dict[str, Any]:
        columns = {
            name: {key: None if _is_blank(value) and value != "" else value for key, value in values.items()}
            for name, values in self.columns.items()
        }
        return {"columns": columns, "errors": self.errors}

    def labelled(self, kind: Kind) -> int:
        return len(self.complete(kind))

    def complete(self, kind: Kind) -> set[str]:
        """The pairs that have the label: all its captions, or its difference."""
        names = list(self.columns) if kind == "captions" else [kind]
        pairs = [{key for key, value in self.columns[name].items() if not _is_blank(value)} for name in names]
        return set.intersection(*pairs) if pairs else set()


def _is_blank(value: Any) -> bool:
    return value == "" or (isinstance(value, float) and math.isnan(value))


def _made_with(request: Request, tools: Tools) -> dict[str, dict[str, str]]:
    """Of each column, what determines it."""
    captions = (
        {"captioner": tools.captioner.identity, "prompt": request.prompt} if tools.captioner else {"captions": "table"}
    )
    columns: dict[str, dict[str, str]] = {}
    if request.kind != "i2i" and tools.captioner:
        columns["caption_reference"] = captions
    if request.kind in ("captions", "c2c") and tools.captioner:
        columns["caption_candidate"] = captions
    if tools.embedder:
        columns["c2c"] = {**captions, "embedder": tools.embedder.identity}
    if tools.tower:
        columns[request.kind] = {**(captions if request.kind == "c2i" else {}), "tower": tools.tower.identity}
    return columns


def _write(whole: PairTable, out: Path, labels: _Part, request: Request, made_with: Mapping[str, Any]) -> None:
    frame = whole.frame
    ids = [str(value) for value in frame["pair_id"]]
    for column in PATHS:
        if column in frame:
            frame = frame.assign(**{column: [rebased(str(path), whole.root, out.parent) for path in frame[column]]})
    frame = frame.assign(
        **{name: [values[one] for one in ids] for name, values in labels.columns.items()},
        **{ERROR: [labels.errors.get(one, "") for one in ids]},
    )
    if request.drop_unlabelled:
        complete = labels.complete(request.kind)
        frame = frame[[one in complete for one in ids]].reset_index(drop=True)
        if not len(frame):
            raise UserError(
                f"no pair of {whole.name} got a label ({_first(labels.errors)}); leave drop_unlabelled out to see why"
            )
    before = Path(whole.name).with_suffix(".labels.json")
    known = read_json(before).get("columns", {}) if before.is_file() else {}
    kept = {name: value for name, value in known.items() if name in frame and name not in made_with}
    write_pairs(PairTable(frame, out.parent, str(out)), out)
    write_json(out.with_suffix(".labels.json"), {"columns": {**kept, **made_with}})


def _first(errors: Mapping[str, str]) -> str:
    return next(iter(errors.values()), "all captions are empty")


def _hash(content: Any) -> str:
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=6).hexdigest()
